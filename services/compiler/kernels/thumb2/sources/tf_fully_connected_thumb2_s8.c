/* FullyConnected through an expanded vector and a matrix routine. */
#include "tinyfarm_thumb2.h"

void tf_fully_connected_thumb2_s8(const tf_fully_connected_thumb2_params *p, const tf_region *region,
                                  const int8_t *input, int8_t *output, int8_t *scratch)
{
    int16_t *x = (int16_t *)(void *)scratch;
    const int32_t whole = p->in_features / 4 * 4, rest = p->in_features - whole;
    int32_t column;
    for (column = region->col_start; column < region->col_stop; ++column) {
        const int8_t *in = input + column * p->in_features;
        int16_t *next = x;
        if (whole > 0) {
            next = tf_expand_s8(x, in, whole);
        }
        if (rest > 0) { /* x0, x2, x1, x3 */
            next[0] = in[whole];
            next[1] = rest > 2 ? in[whole + 2] : 0;
            next[2] = rest > 1 ? in[whole + 1] : 0;
            next[3] = 0;
        }
        p->dot(x, p->weights, output + column * p->out_features, &p->shape);
    }
}
