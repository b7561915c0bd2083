/* float32 to int8 or uint8 on cores with an FPU; the portable kernel where the compiler has none to use. */
#include "tinyfarm_thumb2.h"

#if defined(__ARM_FP)
/* Rounded half away from zero. VCVT to a fixed point of one bit truncates twice the quotient, saturates, and makes 0 of
 * NaN; `offset` is 2 * zero point + 1, so that a last shift rounds. */
static inline int32_t doubled(float quotient, int32_t offset)
{
    int32_t value;
    __asm__("vcvt.s32.f32 %1, %1, #1\n\tvmov %0, %1" : "=r"(value), "+t"(quotient));
    __asm__("ssat %0, #20, %1" : "=r"(value) : "r"(value));
    return value + (value >> 31) + offset;
}

static void to_int8(const float *in, int8_t *out, int32_t count, float scale, int32_t offset)
{
    for (; count > 0; --count) {
        int32_t value = doubled(*in++ / scale, offset);
        TF_KEEP_LOOP(count);
        __asm__("ssat %0, #8, %1, asr #1" : "=r"(value) : "r"(value));
        *out++ = (int8_t)value;
    }
}

static void to_uint8(const float *in, int8_t *out, int32_t count, float scale, int32_t offset)
{
    for (; count > 0; --count) {
        int32_t value = doubled(*in++ / scale, offset);
        TF_KEEP_LOOP(count);
        __asm__("usat %0, #8, %1, asr #1" : "=r"(value) : "r"(value));
        *out++ = (int8_t)value;
    }
}

void tf_quantize_thumb2_f32(const tf_quantize_params *p, const tf_region *region, const float *input, int8_t *output)
{
    const int32_t count = (region->col_stop - region->col_start) * p->col_elements, offset = 2 * p->zero_point + 1;
    int32_t y;
    for (y = region->row_start; y < region->row_stop; ++y) {
        const float *in = input + y * p->in_row_stride + region->col_start * p->col_elements;
        int8_t *out = output + y * p->out_row_stride + region->col_start * p->col_elements;
        if (p->min < 0) {
            to_int8(in, out, count, p->scale, offset);
        } else {
            to_uint8(in, out, count, p->scale, offset);
        }
    }
}
#else
void tf_quantize_thumb2_f32(const tf_quantize_params *p, const tf_region *region, const float *input, int8_t *output)
{
    tf_quantize_f32(p, region, input, output);
}
#endif
