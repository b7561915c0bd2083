/* Conv2D through a pair of expanded windows and a matrix routine. */
#include "tinyfarm_thumb2.h"

/* One kernel row of a window: in place where it lies in the image, else assembled in `stage`. */
static const int8_t *window_row(const tf_conv2d_thumb2_params *p, const int8_t *input, int32_t y, int32_t x,
                                int8_t *stage)
{
    const tf_window *k = &p->window;
    const int32_t last_x = x + (k->kernel_w - 1) * k->dilation_w;
    int8_t *out = stage;
    int32_t kx;
    if (y >= 0 && y < k->in_h && x >= 0 && last_x < k->in_w && k->dilation_w == 1) {
        return input + y * p->in_row_stride + x * p->in_c;
    }
    for (kx = 0; kx < k->kernel_w; ++kx, x += k->dilation_w, out += p->in_c) {
        if (y >= 0 && y < k->in_h && x >= 0 && x < k->in_w) {
            tf_copy_bytes(out, input + y * p->in_row_stride + x * p->in_c, p->in_c);
        } else {
            tf_fill_bytes(out, p->in_zero_point, p->in_c);
        }
    }
    return stage;
}

/* A whole window whose rows are no multiple of four bytes, one row after the other. */
static const int8_t *window(const tf_conv2d_thumb2_params *p, const int8_t *input, int32_t y, int32_t x,
                            int8_t *stage)
{
    const tf_window *k = &p->window;
    const int32_t run = k->kernel_w * p->in_c;
    int32_t ky;
    for (ky = 0; ky < k->kernel_h; ++ky, y += k->dilation_h) {
        int8_t *out = stage + ky * run;
        const int8_t *row = window_row(p, input, y, x, out);
        if (row != out) {
            tf_copy_bytes(out, row, run);
        }
    }
    return stage;
}

void tf_conv2d_thumb2_s8(const tf_conv2d_thumb2_params *p, const tf_region *region, const int8_t *input,
                         int8_t *output, int8_t *scratch)
{
    const tf_window *k = &p->window;
    const int32_t run = k->kernel_w * p->in_c, depth = p->shape.x_bytes / 4;
    int16_t *x = (int16_t *)(void *)scratch;
    int8_t *spill = scratch + p->shape.x_bytes;
    int8_t *stage0 = spill + p->out_c, *stage1 = stage0 + depth;
    int32_t oy = region->row_start, ox = region->col_start;
    int32_t left = (region->row_stop - oy) * (region->col_stop - ox);
    while (left > 0) {
        int32_t y[2], c[2], i, ky;
        int8_t *out[2];
        for (i = 0; i < 2; ++i) {
            if (i == 1 && left == 1) { /* the missing second pixel of an odd pair repeats the first */
                y[1] = y[0];
                c[1] = c[0];
                out[1] = spill;
                break;
            }
            y[i] = oy * k->stride_h - k->pad_top;
            c[i] = ox * k->stride_w - k->pad_left;
            out[i] = output + oy * p->out_row_stride + ox * p->out_c;
            if (++ox == region->col_stop) {
                ox = region->col_start;
                ++oy;
            }
        }
        left -= 2;
        if (run % 4 != 0) {
            const int8_t *a = window(p, input, y[0], c[0], stage0);
            tf_expand_pair_s8(x, a, window(p, input, y[1], c[1], stage1), depth);
        } else {
            int16_t *next = x;
            for (ky = 0; ky < k->kernel_h; ++ky) {
                const int8_t *a = window_row(p, input, y[0] + ky * k->dilation_h, c[0], stage0);
                next = tf_expand_pair_s8(
                    next, a, window_row(p, input, y[1] + ky * k->dilation_h, c[1], stage1), run);
            }
        }
        p->gemm(x, p->weights, out[0], out[1], &p->shape);
    }
}
