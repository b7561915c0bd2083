/* Values below zero times a slope that broadcasts, usually one a channel; others only change their scale. */
#include "tinyfarm_kernels.h"

static void row(const tf_prelu_s8_params *p, const int8_t *input, const int8_t *alpha, int8_t *out)
{
    const int32_t step1 = p->shape.in1_stride[3], step2 = p->shape.in2_stride[3], step = p->shape.out_stride[3];
    int32_t count;
    for (count = p->shape.size[3]; count > 0; --count) {
        const int32_t x = *input - p->in_zero_point;
        const int32_t scaled = x >= 0 ? tf_requantize(x, p->multiplier, p->shift)
                                      : tf_requantize(x * (*alpha - p->alpha_zero_point), p->alpha_multiplier,
                                                      p->alpha_shift);
        *out = tf_clamp(scaled, &p->out);
        input += step1;
        alpha += step2;
        out += step;
    }
}

void tf_prelu_s8(const tf_prelu_s8_params *p, const tf_region *region, const int8_t *input, const int8_t *alpha,
                 int8_t *output)
{
    const tf_broadcast *s = &p->shape;
    int32_t n, y, x;
    for (n = 0; n < s->size[0]; ++n) {
        for (y = region->row_start; y < region->row_stop; ++y) {
            for (x = region->col_start; x < region->col_stop; ++x) {
                row(p, input + n * s->in1_stride[0] + y * s->in1_stride[1] + x * s->in1_stride[2],
                    alpha + n * s->in2_stride[0] + y * s->in2_stride[1] + x * s->in2_stride[2],
                    output + n * s->out_stride[0] + y * s->out_stride[1] + x * s->out_stride[2]);
            }
        }
    }
}
