/* Softmax on int16 by two tables: exp over [-10, 0] and 1 / (1 + x) over [0, 1], both with lines between entries.
 * The exponentials wait in the output. Source of the arithmetic: TensorFlow Lite Micro's reference kernel. */
#include "tinyfarm_kernels.h"

static int32_t limited(int32_t value)
{
    return value < INT16_MIN ? INT16_MIN : value > INT16_MAX ? INT16_MAX : value;
}

static int32_t look_up(const int16_t *curve, int32_t x)
{
    const int16_t *at = curve + 256 + (x >> 7);
    return at[0] + (((at[1] - at[0]) * (x & 0x7F) + 64) >> 7);
}

/* Zero bits above the highest one; the sum is at least the exponential of 0. */
static int32_t zeros_above(int32_t sum)
{
    int32_t zeros = 0;
    for (; sum > 0; sum = (int32_t)((uint32_t)sum << 1)) {
        ++zeros;
    }
    return zeros;
}

static void vector(const tf_softmax_s16_params *p, const int16_t *in, int16_t *out)
{
    int32_t largest = in[0], sum = 0, zeros, reciprocal, c;
    for (c = 1; c < p->depth; ++c) {
        largest = in[c] > largest ? in[c] : largest;
    }
    for (c = 0; c < p->depth; ++c) {
        const int32_t steps = tf_requantize(in[c] - largest, p->multiplier, p->shift);
        out[c] = (int16_t)look_up(p->exp_curve, limited(steps + INT16_MAX));
        sum += out[c];
    }
    zeros = zeros_above(sum);
    reciprocal = (int32_t)((((int64_t)sum << (zeros - 1)) + (1 << 13)) >> 14) - (1 << 15) - (1 << 16);
    reciprocal = look_up(p->reciprocal_curve, limited(reciprocal));
    for (c = 0; c < p->depth; ++c) {
        const int32_t shift = 31 - zeros;
        const int32_t value = (int32_t)(((int64_t)out[c] * reciprocal + ((int64_t)1 << (shift - 1))) >> shift);
        out[c] = (int16_t)(value < 0 ? 0 : limited(value));
    }
}

void tf_softmax_s16(const tf_softmax_s16_params *p, const tf_region *region, const int16_t *input, int16_t *output)
{
    int32_t x;
    for (x = region->col_start; x < region->col_stop; ++x) {
        vector(p, input + x * p->depth, output + x * p->depth);
    }
}
