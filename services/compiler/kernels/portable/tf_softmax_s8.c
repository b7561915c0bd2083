/* Softmax over the last dimension in fixed point; the exponentials come from a table, since an int8 difference has
 * only 256 values. Source of the arithmetic: TFLite reference_ops::Softmax and gemmlowp fixedpoint. */
#include "tinyfarm_kernels.h"

#define ACCUMULATION_INTEGER_BITS 12

static int32_t shift_right_rounded(int32_t x, int32_t exponent)
{
    return exponent == 0 ? x : (((x + (x >> 31)) >> (exponent - 1)) + 1) >> 1;
}

static int32_t leading_zeros(uint32_t x)
{
    int32_t count = 0;
    for (; (x & 0x80000000u) == 0u; x <<= 1) {
        ++count;
    }
    return count;
}

static void vector(const tf_softmax_s8_params *p, const int8_t *input, int8_t *output)
{
    int32_t i, best = input[0], sum = 0, headroom, reciprocal, exponent;
    for (i = 1; i < p->depth; ++i) {
        best = input[i] > best ? input[i] : best;
    }
    for (i = 0; i < p->depth; ++i) {
        const int32_t distance = best - input[i];
        if (distance < p->exp_entries) {
            sum += shift_right_rounded(p->exp_table[distance], ACCUMULATION_INTEGER_BITS);
        }
    }
    headroom = leading_zeros((uint32_t)sum);
    reciprocal = tf_one_over_one_plus((int32_t)(((uint32_t)sum << headroom) - 0x80000000u));
    exponent = ACCUMULATION_INTEGER_BITS - headroom + 31 - 8;
    for (i = 0; i < p->depth; ++i) {
        const int32_t distance = best - input[i];
        int32_t value = -128;
        if (distance < p->exp_entries) {
            value += shift_right_rounded(tf_mul_q31(reciprocal, p->exp_table[distance]), exponent);
        }
        output[i] = (int8_t)(value > 127 ? 127 : value);
    }
}

void tf_softmax_s8(const tf_softmax_s8_params *p, const tf_region *region, const int8_t *input, int8_t *output)
{
    int32_t i;
    for (i = region->col_start; i < region->col_stop; ++i) {
        vector(p, input + i * p->depth, output + i * p->depth);
    }
}
