/* Add of two tensors of one shape, with TensorFlow Lite's arithmetic in 32 bits.
 *
 * Both inputs are raised by 2^20 and scaled to twice the larger scale. The input of the larger scale has the multiplier
 * 1/2: its scaled value is the byte, less its zero point, << 19. The other's is floor((a * m + 2^10) / 2^11). */
#include "tinyfarm_thumb1.h"

/* x / 2^shift, ties away from zero; shift is at least 1. */
static inline int32_t divide(int32_t x, int32_t shift)
{
    return (((x + (x >> 31)) >> (shift - 1)) + 1) >> 1;
}

void tf_add_thumb1_s8(const tf_add_thumb1_params *p, const tf_region *region, const int8_t *plain,
                      const int8_t *scaled, int8_t *output)
{
    const int32_t start = region->row_start * p->row_stride, stop = region->row_stop * p->row_stride;
    const int32_t high = p->scaled_multiplier >> 16, low = p->scaled_multiplier & 0xffff;
    int32_t i;
    for (i = start; i < stop; ++i) {
        const int32_t a = plain[i] - p->plain_zero_point, b = scaled[i] - p->scaled_zero_point;
        int32_t sum = b * high * 32 + ((b * low + 1024) >> 11), value;
        if (p->scaled_shift > 0) {
            sum = divide(sum, p->scaled_shift);
        }
        sum += a * (1 << 19);
        value = divide(tf_multiply_high(sum, p->out_multiplier), p->out_shift) + p->out_zero_point;
        value = value < -128 ? -128 : value;
        output[i] = (int8_t)(value > 127 ? 127 : value);
    }
}
