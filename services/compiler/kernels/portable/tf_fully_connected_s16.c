/* Fully connected layer, int16 activations and int8 weights. */
#include "tinyfarm_kernels.h"

void tf_fully_connected_s16(const tf_fully_connected_s16_params *p, const tf_region *region, const int16_t *input,
                            int16_t *output)
{
    int32_t b, o;
    for (b = region->col_start; b < region->col_stop; ++b) {
        const int16_t *x = input + b * p->in_features;
        const int8_t *w = p->weights;
        int16_t *out = output + b * p->out_features;
        for (o = 0; o < p->out_features; o += 2) {
            const int32_t step = o + 1 < p->out_features ? 1 : 0; /* an odd last row is computed with itself */
            tf_sums_s16 sums = tf_sums_from(p->sum.bias[o], p->sum.bias[o + step]);
            tf_dot2_s16(x, w, w + step * p->in_features, p->in_features, &sums);
            tf_add_parts(&sums);
            out[o] = tf_output_s16(sums.total0, o, &p->sum);
            if (step != 0) {
                out[o + 1] = tf_output_s16(sums.total1, o + 1, &p->sum);
            }
            w += 2 * p->in_features;
        }
    }
}
