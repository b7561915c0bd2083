/* Product of two int16 tensors with numpy broadcasting. */
#include "tinyfarm_kernels.h"

static void row(const tf_mul_s8_params *p, const int16_t *in1, const int16_t *in2, int16_t *out)
{
    const int32_t step1 = p->shape.in1_stride[3], step2 = p->shape.in2_stride[3], step = p->shape.out_stride[3];
    int32_t count;
    for (count = p->shape.size[3]; count > 0; --count) {
        const int32_t product = *in1 * *in2; /* zero points of int16 are 0 */
        *out = tf_clamp_s16(tf_requantize(product, p->multiplier, p->shift), &p->out);
        in1 += step1;
        in2 += step2;
        out += step;
    }
}

void tf_mul_s16(const tf_mul_s8_params *p, const tf_region *region, const int16_t *in1, const int16_t *in2,
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
