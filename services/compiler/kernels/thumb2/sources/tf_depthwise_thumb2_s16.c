/* Depthwise convolution, int16 activations and int8 weights, two channels of a pixel at a time, straight from the
 * input. Sums of products fit 32 bits; the bias, which has 64, comes last. */
#include "tinyfarm_thumb2.h"

/* Of a window along one axis: where it starts in the image, and which of its taps lie there. */
typedef struct {
    int32_t first, from, count;
} tap_range;

static tap_range taps_inside(int32_t start, int32_t taps, int32_t dilation, int32_t size)
{
    tap_range range;
    int32_t to = taps;
    range.from = 0;
    while (range.from < taps && start + range.from * dilation < 0) {
        TF_KEEP_LOOP(range.from);
        ++range.from;
    }
    while (to > range.from && start + (to - 1) * dilation >= size) {
        TF_KEEP_LOOP(to);
        --to;
    }
    range.first = start + range.from * dilation;
    range.count = to - range.from;
    return range;
}

/* Sums of both channels of a word. */
typedef struct {
    int32_t low, high;
} sums;

static sums row_sums(sums total, const int16_t *x, int32_t step, const uint32_t *w, int32_t count)
{
    for (; count > 0; --count, x += step) {
        const uint32_t values = tf_load_word((const int8_t *)x), weights = *w++;
        TF_KEEP_LOOP(count);
        __asm__("smlabb %0, %1, %2, %0" : "+r"(total.low) : "r"(values), "r"(weights));
        __asm__("smlatt %0, %1, %2, %0" : "+r"(total.high) : "r"(values), "r"(weights));
    }
    return total;
}

/* The same of a last channel alone. */
static sums last_sums(sums total, const int16_t *x, int32_t step, const uint32_t *w, int32_t count)
{
    for (; count > 0; --count, x += step) {
        TF_KEEP_LOOP(count);
        total.low += *x * (int16_t)*w++;
    }
    return total;
}

/* `end`: bias in two words, multiplier, shift of the upper word of the product less 1. */
static inline int16_t output_of(int32_t sum, const uint32_t *end, int32_t negative)
{
    const int64_t total = (int64_t)((uint64_t)end[1] << 32 | end[0]) + sum;
    int32_t value = ((int32_t)((total * (int32_t)end[2]) >> 32) >> end[3]) + 1;
    __asm__("ssat %0, #16, %1, asr #1" : "=r"(value) : "r"(value));
    return (int16_t)(value & (negative | ~(value >> 31)));
}

static TF_NOINLINE void pixel(const tf_depthwise_thumb2_s16_params *p, const tf_region *region, const int16_t *input,
                              int32_t y, int32_t x, int16_t *out)
{
    const tf_window *k = &p->window;
    const tap_range rows = taps_inside(y, k->kernel_h, k->dilation_h, k->in_h);
    const tap_range columns = taps_inside(x, k->kernel_w, k->dilation_w, k->in_w);
    const int32_t step = k->dilation_w * p->channels, taps = k->kernel_h * k->kernel_w;
    const uint32_t *record = p->weights;
    int32_t c, ky;
    input += columns.first * p->channels;
    for (c = 0; c < p->channels; c += 2, input += 2, record += taps + 8) {
        const uint32_t *w = record + rows.from * k->kernel_w + columns.from, *end = record + taps;
        const int32_t is_last = c + 1 == p->channels;
        sums total = {0, 0};
        for (ky = 0; ky < rows.count; ++ky, w += k->kernel_w) {
            const int16_t *row = input + tf_row_offset(p->in_row_stride, region, rows.first + ky * k->dilation_h);
            total = is_last ? last_sums(total, row, step, w, columns.count)
                            : row_sums(total, row, step, w, columns.count);
        }
        *out++ = output_of(total.low, end, p->negative);
        if (!is_last) {
            *out++ = output_of(total.high, end + 4, p->negative);
        }
    }
}

void tf_depthwise_thumb2_s16(const tf_depthwise_thumb2_s16_params *p, const tf_region *region, const int16_t *input,
                             int16_t *output)
{
    const tf_window *k = &p->window;
    int32_t oy, ox;
    for (oy = region->row_start; oy < region->row_stop; ++oy) {
        int16_t *out = output + oy * p->out_row_stride + region->col_start * p->channels;
        for (ox = region->col_start; ox < region->col_stop; ++ox, out += p->channels) {
            pixel(p, region, input, oy * k->stride_h - k->pad_top, ox * k->stride_w - k->pad_left, out);
        }
    }
}
