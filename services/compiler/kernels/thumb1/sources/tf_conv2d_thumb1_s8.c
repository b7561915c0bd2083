/* Conv2D, four output pixels at a time, through their expanded windows and a matrix routine. */
#include "tinyfarm_thumb1.h"

#define PIXELS 4

/* Output row and column of a pixel, in reading order of the region. */
typedef struct {
    int32_t y, x;
} position;

static inline void advance(position *at, const tf_region *region)
{
    if (++at->x == region->col_stop) {
        at->x = region->col_start;
        ++at->y;
    }
}

static inline const int8_t *input_at(const tf_conv2d_thumb1_params *p, const tf_region *region, const int8_t *input,
                                     int32_t y, int32_t x)
{
    return tf_row(input, p->in_row_stride, region, y) + x * p->in_c;
}

/* Whether the window's rows lie one below the other: in the image, and not across the end of a ring. */
static inline int inside(const tf_window *k, const tf_region *region, int32_t y, int32_t x)
{
    return y >= 0 && y + k->kernel_h <= k->in_h && x >= 0 && x + k->kernel_w <= k->in_w && k->dilation_w == 1
           && k->dilation_h == 1 && tf_rows_together(region, y, k->kernel_h) == k->kernel_h;
}

/* Windows that leave the image or are dilated, tap by tap: `padding` takes the place of pixels outside. */
static __attribute__((noinline)) void expand_taps(const tf_conv2d_thumb1_params *p, const tf_region *region,
                                                  const int8_t *input, const position *first, uint32_t *x, const int8_t *padding)
{
    const tf_window *k = &p->window;
    int32_t ky, kx, i;
    for (ky = 0; ky < k->kernel_h; ++ky) {
        for (kx = 0; kx < k->kernel_w; ++kx) {
            const int8_t *pixels[PIXELS];
            for (i = 0; i < PIXELS; ++i) {
                const int32_t iy = first[i].y + ky * k->dilation_h, ix = first[i].x + kx * k->dilation_w;
                const int in_image = iy >= 0 && iy < k->in_h && ix >= 0 && ix < k->in_w;
                pixels[i] = in_image ? input_at(p, region, input, iy, ix) : padding;
            }
            x = tf_expand_four_s8(x, pixels, p->in_c);
        }
    }
}

/* The windows of four pixels whose outputs are `at`. */
static void expand_windows(const tf_conv2d_thumb1_params *p, const tf_region *region, const int8_t *input,
                           const position *at, uint32_t *x, const int8_t *padding)
{
    const tf_window *k = &p->window;
    const int8_t *rows[PIXELS];
    position first[PIXELS];
    int32_t i, ky;
    int all_inside = 1;
    for (i = 0; i < PIXELS; ++i) {
        first[i].y = at[i].y * k->stride_h - k->pad_top;
        first[i].x = at[i].x * k->stride_w - k->pad_left;
        all_inside &= inside(k, region, first[i].y, first[i].x);
        rows[i] = input_at(p, region, input, first[i].y, first[i].x);
    }
    if (!all_inside) {
        expand_taps(p, region, input, first, x, padding);
        return;
    }
    for (ky = 0; ky < k->kernel_h; ++ky) {
        x = tf_expand_four_s8(x, rows, k->kernel_w * p->in_c);
        for (i = 0; i < PIXELS; ++i) {
            rows[i] += p->in_row_stride;
        }
    }
}

/* `count` output pixels from `next`, written one after the other from `out`; a last tile repeats its last pixel. */
static void run_pixels(const tf_conv2d_thumb1_params *p, const tf_region *region, position next, int32_t count,
                       const int8_t *input, int8_t *out, int8_t *scratch)
{
    uint32_t *const x = (uint32_t *)(void *)scratch;
    const int8_t *const padding = scratch + p->shape.x_bytes;
    for (; count > 0; count -= PIXELS, out += PIXELS * p->shape.channels) {
        const int32_t pixels = count < PIXELS ? count : PIXELS;
        position at[PIXELS];
        int32_t i;
        for (i = 0; i < PIXELS; ++i) {
            at[i] = i < pixels ? next : at[i - 1];
            if (i < pixels) {
                advance(&next, region);
            }
        }
        expand_windows(p, region, input, at, x, padding);
        p->gemm(x, p->weights, out, &p->shape, pixels);
    }
}

void tf_conv2d_thumb1_s8(const tf_conv2d_thumb1_params *p, const tf_region *region, const int8_t *input,
                         int8_t *output, int8_t *scratch)
{
    const int32_t columns = region->col_stop - region->col_start, rows = region->row_stop - region->row_start;
    position at = {region->row_start, region->col_start};
    int8_t *out = output + at.y * p->out_row_stride + at.x * p->shape.channels;
    tf_fill_bytes(scratch + p->shape.x_bytes, p->in_zero_point, p->in_c);
    if (columns * p->shape.channels == p->out_row_stride) { /* whole rows: all pixels are one run */
        run_pixels(p, region, at, rows * columns, input, out, scratch);
        return;
    }
    for (; at.y < region->row_stop; ++at.y, out += p->out_row_stride) {
        run_pixels(p, region, at, columns, input, out, scratch);
    }
}
