/* Conv2D through blocks of expanded windows and a matrix routine. */
#include "tinyfarm_thumb2.h"

/* One kernel row of a window that leaves the image or is dilated, value by value. */
static __attribute__((noinline)) void border_row(const tf_conv2d_thumb2_params *p, const tf_region *region,
                                                 const int8_t *input, int32_t y, int32_t x, int8_t *out)
{
    const tf_window *k = &p->window;
    int32_t kx;
    for (kx = 0; kx < k->kernel_w; ++kx, x += k->dilation_w, out += p->in_c) {
        if (y >= 0 && y < k->in_h && x >= 0 && x < k->in_w) {
            tf_copy_bytes(out, tf_row(input, p->in_row_stride, region, y) + x * p->in_c, p->in_c);
        } else {
            tf_fill_bytes(out, p->in_zero_point, p->in_c);
        }
    }
}

static inline int inside(const tf_window *k, int32_t y, int32_t x)
{
    return y >= 0 && y < k->in_h && x >= 0 && x + k->kernel_w <= k->in_w && k->dilation_w == 1;
}

/* One kernel row of a window: in place where it lies in the image, else assembled in `stage`. */
static inline const int8_t *window_row(const tf_conv2d_thumb2_params *p, const tf_region *region,
                                       const int8_t *input, int32_t y, int32_t x, int8_t *stage)
{
    if (inside(&p->window, y, x)) {
        return tf_row(input, p->in_row_stride, region, y) + x * p->in_c;
    }
    border_row(p, region, input, y, x, stage);
    return stage;
}

/* A whole window, one row after the other: for rows that are no multiple of four bytes. */
static const int8_t *window(const tf_conv2d_thumb2_params *p, const tf_region *region, const int8_t *input, int32_t y,
                            int32_t x, int8_t *stage)
{
    const tf_window *k = &p->window;
    const int32_t run = k->kernel_w * p->in_c, step = k->dilation_h * p->in_row_stride;
    int8_t *out = stage, *const end = stage + k->kernel_h * run;
    const int32_t last = y + (k->kernel_h - 1) * k->dilation_h;
    if (inside(k, y, x) && last < k->in_h && (y >= region->wrap_row || last < region->wrap_row)) {
        const int8_t *row = tf_row(input, p->in_row_stride, region, y) + x * p->in_c;
        for (; out != end; out += run, row += step) {
            tf_copy_run(out, row, run);
        }
        return stage;
    }
    for (; out != end; out += run, y += k->dilation_h) {
        if (inside(k, y, x)) {
            tf_copy_run(out, tf_row(input, p->in_row_stride, region, y) + x * p->in_c, run);
        } else {
            border_row(p, region, input, y, x, out);
        }
    }
    return stage;
}

/* Where the output pixels' windows begin, in reading order of the region. */
typedef struct {
    int32_t y, x; /* output row and column */
} position;

static inline position after(position at, int32_t pixels, const tf_region *region)
{
    const int32_t columns = region->col_stop - region->col_start, column = at.x - region->col_start + pixels;
    const position found = {at.y + column / columns, region->col_start + column % columns};
    return found;
}

static inline void advance(position *at, const tf_region *region)
{
    if (++at->x == region->col_stop) {
        at->x = region->col_start;
        ++at->y;
    }
}

static void expand_windows(const tf_conv2d_thumb2_params *p, const tf_region *region, const int8_t *input, position a,
                           position b, int16_t *x, int8_t *stage)
{
    const tf_window *k = &p->window;
    const int32_t run = k->kernel_w * p->in_c, depth = p->shape.x_bytes / 4;
    int32_t ay = a.y * k->stride_h - k->pad_top, ax = a.x * k->stride_w - k->pad_left, ky;
    int32_t by = b.y * k->stride_h - k->pad_top, bx = b.x * k->stride_w - k->pad_left;
    if (run % 4 != 0) {
        const int8_t *first = window(p, region, input, ay, ax, stage);
        tf_expand_pair_s8(x, first, window(p, region, input, by, bx, stage + depth), depth);
        return;
    }
    for (ky = 0; ky < k->kernel_h; ++ky, ay += k->dilation_h, by += k->dilation_h) {
        const int8_t *first = window_row(p, region, input, ay, ax, stage);
        x = tf_expand_pair_s8(x, first, window_row(p, region, input, by, bx, stage + depth), run);
    }
}

/* `count` output pixels from `at`, written one after the other from `out`. A block's pairs are of a pixel of its first
 * half and one of its second; in an odd block the halves share a pixel. */
static void run_pixels(const tf_conv2d_thumb2_params *p, const tf_region *region, position at, int32_t count,
                       const int8_t *input, int8_t *out, int8_t *scratch)
{
    int16_t *const x = (int16_t *)(void *)scratch;
    int8_t *const stage = scratch + p->block_pairs * p->shape.x_bytes;
    while (count > 0) {
        const int32_t block = count < 2 * p->block_pairs ? count : 2 * p->block_pairs;
        const int32_t pairs = (block + 1) / 2;
        position second = after(at, block - pairs, region);
        int32_t i;
        for (i = 0; i < pairs; ++i, advance(&at, region), advance(&second, region)) {
            expand_windows(p, region, input, at, second, x + i * (p->shape.x_bytes / 2), stage);
        }
        p->gemm(x, p->weights, out, out + (block - pairs) * p->out_c, &p->shape, pairs);
        at = second;
        out += block * p->out_c;
        count -= block;
    }
}

void tf_conv2d_thumb2_s8(const tf_conv2d_thumb2_params *p, const tf_region *region, const int8_t *input,
                         int8_t *output, int8_t *scratch)
{
    const int32_t columns = region->col_stop - region->col_start, rows = region->row_stop - region->row_start;
    position at = {region->row_start, region->col_start};
    int8_t *out = output + at.y * p->out_row_stride + at.x * p->out_c;
    if (columns * p->out_c == p->out_row_stride) { /* whole rows: all pixels are one run */
        run_pixels(p, region, at, rows * columns, input, out, scratch);
        return;
    }
    for (; at.y < region->row_stop; ++at.y, out += p->out_row_stride) {
        run_pixels(p, region, at, columns, input, out, scratch);
    }
}
