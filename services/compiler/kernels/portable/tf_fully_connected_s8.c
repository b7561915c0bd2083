/* Fully connected layer, int8, one multiplier for all rows or one a row. */
#include "tinyfarm_kernels.h"

void tf_fully_connected_s8(const tf_fully_connected_s8_params *p, const tf_region *region, const int8_t *input,
                           int8_t *output)
{
    int32_t b, o;
    for (b = region->col_start; b < region->col_stop; ++b) {
        const int8_t *w = p->weights;
        int8_t *out = output + b * p->out_features;
        for (o = 0; o < p->out_features; ++o) {
            const int8_t *x = input + b * p->in_features;
            int32_t acc = p->bias[o], count = p->in_features;
            for (; count >= 4; count -= 4) {
                acc += x[0] * w[0];
                acc += x[1] * w[1];
                acc += x[2] * w[2];
                acc += x[3] * w[3];
                x += 4;
                w += 4;
            }
            for (; count > 0; --count) {
                acc += *x++ * *w++;
            }
            *out++ = tf_clamp(
                tf_requantize(acc, p->multiplier[o * p->channel_step], p->shift[o * p->channel_step]), &p->out);
        }
    }
}
