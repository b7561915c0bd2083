/* Mean over any of the dimensions [N, H, W, C]; the division is part of the multiplier. */
#include "tinyfarm_kernels.h"

static int32_t sum(const tf_mean_s8_params *p, const int8_t *input)
{
    int32_t outer, inner, total = 0;
    for (outer = p->reduced[0]; outer > 0; --outer, input += p->reduced_stride[0]) {
        const int8_t *in = input;
        for (inner = p->reduced[1]; inner > 0; --inner, in += p->reduced_stride[1]) {
            total += *in;
        }
    }
    return total;
}

void tf_mean_s8(const tf_mean_s8_params *p, const tf_region *region, const int8_t *input, int8_t *output)
{
    const int32_t row_stop = region->row_stop < p->kept[1] ? region->row_stop : p->kept[1];
    const int32_t col_stop = region->col_stop < p->kept[2] ? region->col_stop : p->kept[2];
    int32_t n, y, x, c;
    for (n = 0; n < p->kept[0]; ++n) {
        for (y = region->row_start; y < row_stop; ++y) {
            for (x = region->col_start; x < col_stop; ++x) {
                const int8_t *in = input + n * p->in_stride[0] + y * p->in_stride[1] + x * p->in_stride[2];
                int8_t *out = output + n * p->out_stride[0] + y * p->out_stride[1] + x * p->out_stride[2];
                for (c = 0; c < p->kept[3]; ++c) {
                    const int32_t acc = p->bias + sum(p, in);
                    *out = tf_clamp(tf_requantize(acc, p->multiplier, p->shift), &p->out);
                    in += p->in_stride[3];
                    out += p->out_stride[3];
                }
            }
        }
    }
}
