/* Fully connected layer, int8 activations and int4 weights: two rows at once from the nibbles of a byte. */
#include "tinyfarm_kernels.h"

void tf_fully_connected_s4(const tf_fully_connected_s8_params *p, const tf_region *region, const int8_t *input,
                           int8_t *output)
{
    int32_t b, o, each;
    for (b = region->col_start; b < region->col_stop; ++b) {
        const int8_t *x = input + b * p->in_features;
        const int8_t *w = p->weights;
        int8_t *out = output + b * p->out_features;
        for (o = 0; o < p->out_features; o += 2) {
            const int32_t rows = o + 1 < p->out_features ? 2 : 1; /* beside an odd last row lie zeros */
            int32_t acc[2];
            acc[0] = p->bias[o];
            acc[1] = p->bias[o + rows - 1];
            tf_dot2_s4(x, w, p->in_features, &acc[0], &acc[1]);
            w += p->in_features;
            for (each = 0; each < rows; ++each) {
                const int32_t channel = (o + each) * p->channel_step;
                out[o + each] = tf_clamp(tf_requantize(acc[each], p->multiplier[channel], p->shift[channel]), &p->out);
            }
        }
    }
}
