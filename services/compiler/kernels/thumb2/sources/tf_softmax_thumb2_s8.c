/* Softmax over the last dimension, four values at a time. With its full table no difference needs a comparison; the
 * arithmetic is that of the portable kernel. */
#include "tinyfarm_thumb2.h"

/* Sums of exponentials have 12 integer bits. */
#define ACCUMULATION_SHIFT 12

static int32_t largest(const int8_t *in, int32_t count)
{
    int32_t best = *in;
    if (count >= 4) {
        uint32_t words = tf_load_word(in);
        for (; count >= 4; count -= 4, in += 4) {
            words = tf_larger(words, tf_load_word(in));
        }
        words = tf_larger(words, words >> 16 | words << 16);
        best = (int8_t)tf_larger(words, words >> 8 | words << 24);
    }
    for (; count > 0; --count, ++in) {
        TF_KEEP_LOOP(count);
        best = *in > best ? *in : best;
    }
    return best;
}

static inline uint32_t addend(int32_t exp)
{
    return ((uint32_t)exp + (1u << (ACCUMULATION_SHIFT - 1))) >> ACCUMULATION_SHIFT;
}

static uint32_t total(const int32_t *exps, const int8_t *in, int32_t count)
{
    uint32_t sum = 0;
    for (; count >= 4; count -= 4, in += 4) {
        const uint32_t x = tf_load_word(in);
        TF_KEEP_LOOP(count);
        sum += addend(exps[(int8_t)x]);
        sum += addend(exps[(int8_t)(x >> 8)]);
        sum += addend(exps[(int8_t)(x >> 16)]);
        sum += addend(exps[(int32_t)x >> 24]);
    }
    for (; count > 0; --count) {
        TF_KEEP_LOOP(count);
        sum += addend(exps[*in++]);
    }
    return sum;
}

/* The reciprocal r of a sum: 2r as 32 bits, and all ones if these, as a signed number, are 2^32 too small. `shift` is
 * the right shift of products less 1. */
typedef struct {
    int32_t twice, wrapped, shift;
} divisor;

/* (2 r e + 2^31) >> 32 is SMMULR of 2r and e, or, where 2r lacks 2^32, SMMLAR with e added. */
static inline int8_t quotient(int32_t exp, const divisor *by)
{
    int32_t value;
    __asm__("smmlar %0, %1, %2, %3" : "=r"(value) : "r"(by->twice), "r"(exp), "r"(exp & by->wrapped));
    value = (value >> by->shift) + 1 - 256;
    __asm__("ssat %0, #8, %1, asr #1" : "=r"(value) : "r"(value));
    return (int8_t)value;
}

static void divide(const int32_t *exps, divisor by, const int8_t *in, int8_t *out, int32_t count)
{
    for (; count >= 4; count -= 4, in += 4, out += 4) {
        const uint32_t x = tf_load_word(in);
        TF_KEEP_LOOP(count);
        out[0] = quotient(exps[(int8_t)x], &by);
        out[1] = quotient(exps[(int8_t)(x >> 8)], &by);
        out[2] = quotient(exps[(int8_t)(x >> 16)], &by);
        out[3] = quotient(exps[(int32_t)x >> 24], &by);
    }
    for (; count > 0; --count) {
        TF_KEEP_LOOP(count);
        *out++ = quotient(exps[*in++], &by);
    }
}

static divisor reciprocal(uint32_t sum)
{
    const int32_t headroom = __builtin_clz(sum);
    const int32_t twice = (int32_t)((uint32_t)tf_one_over_one_plus((int32_t)((sum << headroom) - 0x80000000u)) << 1);
    const int32_t shift = ACCUMULATION_SHIFT - headroom + 31 - 8 - 1;
    const divisor by = {twice, twice >> 31, shift < 31 ? shift : 31};
    return by;
}

void tf_softmax_thumb2_s8(const tf_softmax_thumb2_params *p, const tf_region *region, const int8_t *input,
                          int8_t *output)
{
    const int32_t depth = p->depth;
    const int8_t *in = input + region->col_start * depth;
    int8_t *out = output + region->col_start * depth;
    int32_t i;
    for (i = region->col_start; i < region->col_stop; ++i, in += depth, out += depth) {
        const int32_t *exps = p->exps + 255 - largest(in, depth); /* by value */
        divide(exps, reciprocal(total(exps, in, depth)), in, out, depth);
    }
}
