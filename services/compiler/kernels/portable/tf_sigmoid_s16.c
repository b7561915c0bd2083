/* Logistic function and hyperbolic tangent on int16: tanh(x) = 2 * logistic(2 * x) - 1, so both read one table.
 * Source of the arithmetic: TensorFlow Lite Micro's reference kernels. */
#include "tinyfarm_kernels.h"

/* The table at `magnitude`, with `bits` more fraction bits, between entries by a straight line. */
static int32_t interpolated(const uint16_t *table, int32_t magnitude, int32_t bits, int32_t saturated)
{
    const int32_t index = magnitude >> bits;
    int32_t low;
    if (index >= 255) {
        return saturated;
    }
    low = table[index];
    return (int32_t)((uint32_t)low << bits) + (magnitude & ((1 << bits) - 1)) * (table[index + 1] - low);
}

static int32_t logistic(const uint16_t *table, int32_t x)
{
    const int32_t value = interpolated(table, x < 0 ? -x : x, 9, 0x7FFF << 10);
    return (x >= 0 ? value + (1 << 9) : (1 << 25) - value + (1 << 9) - 1) >> 10;
}

static int32_t hyperbolic(const uint16_t *table, int32_t x)
{
    const int32_t value = interpolated(table, x < 0 ? -x : x, 8, 0xFFFF << 8);
    return (x >= 0 ? value - (1 << 23) + (1 << 7) : (1 << 23) - value + (1 << 7) - 1) >> 8;
}

void tf_sigmoid_s16(const tf_sigmoid_s16_params *p, const tf_region *region, const int16_t *input, int16_t *output)
{
    const int32_t half = p->shift > 0 ? (int32_t)1 << (p->shift - 1) : 0;
    int32_t y;
    for (y = region->row_start; y < region->row_stop; ++y) {
        const int16_t *in = input + y * p->row_stride + region->col_start * p->col_elements;
        int16_t *out = output + y * p->row_stride + region->col_start * p->col_elements;
        int32_t count = (region->col_stop - region->col_start) * p->col_elements;
        for (; count > 0; --count) {
            const int32_t x = (*in++ * p->multiplier + half) >> p->shift;
            *out++ = (int16_t)(p->tangent != 0 ? hyperbolic(p->table, x) : logistic(p->table, x));
        }
    }
}
