/* Conv2D, int16 activations and int8 weights: every window is copied, then multiplied with all filters. */
#include "tinyfarm_thumb2.h"

static int16_t *fill(int16_t *to, int32_t count)
{
    for (; count > 0; --count) {
        TF_KEEP_LOOP(to);
        *to++ = 0;
    }
    return to;
}

/* `count` taps of a row of a window from column `x` on, one beside the other; outside of the image lie zeros. */
static int16_t *taps(const tf_conv2d_thumb2_s16_params *p, const int16_t *row, int32_t x, int32_t count, int16_t *to)
{
    const int32_t c = p->in_c, in_w = p->window.in_w;
    const int32_t from = x < 0 ? (x + count < 0 ? count : -x) : 0;
    const int32_t stop = in_w - x < count ? in_w - x : count;
    if (from >= stop) {
        return fill(to, count * c);
    }
    to = fill(to, from * c);
    to = tf_copy_halves(to, row + (x + from) * c, (stop - from) * c);
    return fill(to, (count - stop) * c);
}

static void window(const tf_conv2d_thumb2_s16_params *p, const tf_region *region, const int16_t *input, int32_t y,
                   int32_t x, int16_t *to)
{
    const tf_window *k = &p->window;
    const int32_t run = k->dilation_w == 1 ? k->kernel_w : 1; /* neighbors */
    int32_t ky, kx;
    for (ky = 0; ky < k->kernel_h; ++ky, y += k->dilation_h) {
        if (y < 0 || y >= k->in_h) {
            to = fill(to, k->kernel_w * p->in_c);
            continue;
        }
        for (kx = 0; kx < k->kernel_w; kx += run) {
            to = taps(p, input + tf_row_offset(p->in_row_stride, region, y), x + kx * k->dilation_w, run, to);
        }
    }
}

void tf_conv2d_thumb2_s16(const tf_conv2d_thumb2_s16_params *p, const tf_region *region, const int16_t *input,
                          int16_t *output, int16_t *scratch)
{
    const tf_window *k = &p->window;
    const int32_t depth = k->kernel_h * k->kernel_w * p->in_c;
    int32_t oy, ox;
    fill(scratch + depth, p->x_bytes / 2 - depth);
    for (oy = region->row_start; oy < region->row_stop; ++oy) {
        int16_t *out = output + oy * p->out_row_stride + region->col_start * p->out_c;
        for (ox = region->col_start; ox < region->col_stop; ++ox) {
            window(p, region, input, oy * k->stride_h - k->pad_top, ox * k->stride_w - k->pad_left, scratch);
            p->dot(scratch, p->weights, out, p->x_bytes, out + p->out_c);
            out += p->out_c;
        }
    }
}
