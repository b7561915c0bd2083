/* Conv2D over an image of one column, a signal: the rows of a window lie one after the other. */
#include "tinyfarm_thumb2.h"

static inline int32_t lesser(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* A window that leaves the image, crosses a ring's end or does not fill words: runs of its rows, padding between. */
static TF_NOINLINE const int8_t *assembled(const tf_conv2d_thumb2_params *p, const tf_region *region,
                                           const int8_t *input, int32_t y, int8_t *stage)
{
    const int32_t stop = y + p->window.kernel_h, end = p->window.in_h, wrap = region->wrap_row;
    int8_t *out = stage;
    while (y < stop) {
        int32_t run;
        if (y < 0 || y >= end) {
            run = (y < 0 ? lesser(0, stop) : stop) - y;
            tf_fill_bytes(out, p->in_zero_point, run * p->in_c);
        } else {
            run = lesser(lesser(stop, end), y < wrap ? wrap : stop) - y;
            tf_copy_run(out, tf_row(input, p->in_row_stride, region, y), run * p->in_c);
        }
        out += run * p->in_c;
        y += run;
    }
    return stage;
}

/* The window that begins with row y: in place where it lies in one piece and fills words. */
static inline const int8_t *window(const tf_conv2d_thumb2_params *p, const tf_region *region, const int8_t *input,
                                   int32_t y, int8_t *stage)
{
    const int32_t last = y + p->window.kernel_h - 1, bytes = p->window.kernel_h * p->in_c;
    if (y >= 0 && last < p->window.in_h && (y >= region->wrap_row || last < region->wrap_row) && bytes % 4 == 0) {
        return tf_row(input, p->in_row_stride, region, y);
    }
    return assembled(p, region, input, y, stage);
}

/* A block's pairs are of a pixel of its first half and one of its second; in an odd block the halves share a pixel. */
void tf_conv2d_column_thumb2_s8(const tf_conv2d_thumb2_params *p, const tf_region *region, const int8_t *input,
                                int8_t *output, int8_t *scratch)
{
    int16_t *const x = (int16_t *)(void *)scratch;
    int8_t *const stage = scratch + p->block_pairs * p->shape.x_bytes;
    const int32_t step = p->window.stride_h, depth = p->shape.x_bytes / 4;
    int32_t y = region->row_start * step - p->window.pad_top, count = region->row_stop - region->row_start;
    int8_t *out = output + region->row_start * p->out_row_stride;
    while (count > 0) {
        const int32_t block = lesser(count, 2 * p->block_pairs), pairs = (block + 1) / 2, second = block - pairs;
        int16_t *next = x;
        int32_t i;
        for (i = 0; i < pairs; ++i, y += step) {
            const int8_t *one = window(p, region, input, y, stage);
            next = tf_expand_pair_s8(next, one, window(p, region, input, y + second * step, stage + depth), depth);
        }
        p->gemm(x, p->weights, out, out + second * p->out_c, &p->shape, pairs);
        y += second * step;
        out += block * p->out_c;
        count -= block;
    }
}
