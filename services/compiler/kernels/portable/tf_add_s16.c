/* Sum or difference of two int16 tensors with numpy broadcasting. */
#include "tinyfarm_kernels.h"

/* TFLite raises both inputs by 2^15 before it brings them to their common scale. */
#define INPUT_SHIFT 15

static void row(const tf_add_s8_params *p, const int16_t *in1, const int16_t *in2, int16_t *out)
{
    const int32_t step1 = p->shape.in1_stride[3], step2 = p->shape.in2_stride[3], step = p->shape.out_stride[3];
    int32_t count;
    for (count = p->shape.size[3]; count > 0; --count) {
        const int32_t a = (*in1 - p->in1_zero_point) * (1 << INPUT_SHIFT);
        const int32_t b = (*in2 - p->in2_zero_point) * (1 << INPUT_SHIFT);
        const int32_t sum = tf_requantize(a, p->in1_multiplier, p->in1_shift) +
                            p->sign * tf_requantize(b, p->in2_multiplier, p->in2_shift);
        *out = tf_clamp_s16(tf_requantize(sum, p->out_multiplier, p->out_shift), &p->out);
        in1 += step1;
        in2 += step2;
        out += step;
    }
}

void tf_add_s16(const tf_add_s8_params *p, const tf_region *region, const int16_t *in1, const int16_t *in2,
               int16_t *output)
{
    const tf_broadcast *s = &p->shape;
    int32_t n, y, x;
    for (n = 0; n < s->size[0]; ++n) {
        for (y = region->row_start; y < region->row_stop; ++y) {
            for (x = region->col_start; x < region->col_stop; ++x) {
                row(p, in1 + n * s->in1_stride[0] + y * s->in1_stride[1] + x * s->in1_stride[2],
                    in2 + n * s->in2_stride[0] + y * s->in2_stride[1] + x * s->in2_stride[2],
                    output + n * s->out_stride[0] + y * s->out_stride[1] + x * s->out_stride[2]);
            }
        }
    }
}
