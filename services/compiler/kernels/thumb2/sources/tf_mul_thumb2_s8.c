/* Product of two int8 tensors, the second's or first's pixels repeated where they are fewer; four elements at a time. */
#include "tinyfarm_thumb2.h"

/* A product of two bytes less their zero points, doubled, to the output; `shift` and `offset` as in the matrix
 * routines: the right shift less 1, and 2 * output zero point + 1. */
static inline int8_t scaled(int32_t doubled, int32_t multiplier, int32_t shift, int32_t offset)
{
    int32_t value;
    __asm__("smmulr %0, %1, %2" : "=r"(value) : "r"(doubled), "r"(multiplier));
    value += value >> 31;
    value = (value >> shift) + offset;
    __asm__("ssat %0, #8, %1, asr #1" : "=r"(value) : "r"(value));
    return (int8_t)value;
}

/* value + byte `n` of a word */
#define WITH_BYTE(result, value, word, n) \
    __asm__("sxtab %0, %1, %2" n : "=r"(result) : "r"(value), "r"(word))

static void row(const tf_mul_s8_params *p, const int8_t *in1, const int8_t *in2, int8_t *out)
{
    const int32_t multiplier = p->multiplier, shift = -p->shift - 1, offset = 2 * p->out.zero_point + 1;
    const int32_t less1 = -p->in1_zero_point, less2 = -p->in2_zero_point;
    int32_t count = p->shape.size[3];
    for (; count >= 4; count -= 4, in1 += 4, in2 += 4, out += 4) {
        const uint32_t a = tf_load_word(in1), b = tf_load_word(in2);
        int32_t x0, x1, x2, x3, y0, y1, y2, y3;
        WITH_BYTE(x0, less1, a, "");
        WITH_BYTE(y0, less2, b, "");
        WITH_BYTE(x1, less1, a, ", ror #8");
        WITH_BYTE(y1, less2, b, ", ror #8");
        out[0] = scaled(x0 * y0 * 2, multiplier, shift, offset);
        WITH_BYTE(x2, less1, a, ", ror #16");
        WITH_BYTE(y2, less2, b, ", ror #16");
        out[1] = scaled(x1 * y1 * 2, multiplier, shift, offset);
        WITH_BYTE(x3, less1, a, ", ror #24");
        WITH_BYTE(y3, less2, b, ", ror #24");
        out[2] = scaled(x2 * y2 * 2, multiplier, shift, offset);
        out[3] = scaled(x3 * y3 * 2, multiplier, shift, offset);
    }
    for (; count > 0; --count) {
        *out++ = scaled((*in1++ + less1) * (*in2++ + less2) * 2, multiplier, shift, offset);
    }
}

void tf_mul_thumb2_s8(const tf_mul_s8_params *p, const tf_region *region, const int8_t *in1, const int8_t *in2,
                      int8_t *output)
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
