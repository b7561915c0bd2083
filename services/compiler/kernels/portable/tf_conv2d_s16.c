/* Conv2D, int16 activations and int8 weights: padding adds nothing, since the zero point of int16 is 0. */
#include "tinyfarm_kernels.h"

static int32_t clipped(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

static TF_NOINLINE void pixel(const tf_conv2d_s16_params *p, const tf_region *region, const int16_t *input, int32_t y,
                              int32_t x, int16_t *output)
{
    const tf_window *k = &p->window;
    const int32_t c = p->in_c, filter = k->kernel_h * k->kernel_w * c;
    const int32_t taps = k->dilation_w == 1 ? k->kernel_w : 1; /* neighbors in a run */
    const int8_t *w = p->weights;
    int32_t o, ky, kx;
    for (o = 0; o < p->out_c; o += 2) {
        const int32_t step = o + 1 < p->out_c ? 1 : 0; /* an odd last filter is computed with itself */
        const int8_t *beside = w + step * filter;
        tf_sums_s16 sums = tf_sums_from(p->sum.bias[o], p->sum.bias[o + step]);
        for (ky = 0; ky < k->kernel_h; ++ky) {
            const int32_t iy = y + ky * k->dilation_h;
            const int16_t *row = input + tf_row_offset(p->in_row_stride, region, iy);
            for (kx = 0; kx < k->kernel_w; kx += taps) {
                const int32_t ix = x + kx * k->dilation_w;
                const int32_t from = iy < 0 || iy >= k->in_h ? taps : clipped(-ix, 0, taps);
                const int32_t to = clipped(k->in_w - ix, from, taps);
                if (from < to) {
                    const int16_t *seen = row + (ix + from) * c;
                    tf_dot2_s16(seen, w + from * c, beside + from * c, (to - from) * c, &sums);
                }
                w += taps * c;
                beside += taps * c;
            }
        }
        w += step * filter;
        tf_add_parts(&sums);
        output[o] = tf_output_s16(sums.total0, o, &p->sum);
        if (step != 0) {
            output[o + 1] = tf_output_s16(sums.total1, o + 1, &p->sum);
        }
    }
}

void tf_conv2d_s16(const tf_conv2d_s16_params *p, const tf_region *region, const int16_t *input, int16_t *output)
{
    const tf_window *k = &p->window;
    int32_t oy, ox;
    for (oy = region->row_start; oy < region->row_stop; ++oy) {
        int16_t *out = output + oy * p->out_row_stride + region->col_start * p->out_c;
        for (ox = region->col_start; ox < region->col_stop; ++ox) {
            pixel(p, region, input, oy * k->stride_h - k->pad_top, ox * k->stride_w - k->pad_left, out);
            out += p->out_c;
        }
    }
}
