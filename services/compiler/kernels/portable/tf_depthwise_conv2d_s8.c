/* Depthwise convolution straight from the input, pixel by pixel; needs no scratch. */
#include "tinyfarm_kernels.h"

static TF_NOINLINE void inside(const tf_depthwise_conv2d_s8_params *p, const int8_t *input, int8_t *output)
{
    const tf_window *k = &p->window;
    const int32_t col_step = k->dilation_w * p->in_c;
    const int32_t row_step = k->dilation_h * p->in_row_stride - k->kernel_w * col_step;
    const int8_t *w = p->weights;
    int32_t c, m, o = 0;
    for (c = 0; c < p->in_c; ++c) {
        for (m = 0; m < p->channel_multiplier; ++m, ++o) {
            const int8_t *x = input + c;
            int32_t acc = p->bias[o], ky, kx;
            for (ky = k->kernel_h; ky > 0; --ky) {
                for (kx = k->kernel_w; kx > 0; --kx) {
                    acc += *x * *w++;
                    x += col_step;
                }
                x += row_step;
            }
            output[o] = tf_clamp(tf_requantize(acc, p->multiplier[o], p->shift[o]), &p->out);
        }
    }
}

/* Part of the window is padding, which counts as the input's zero point: the bias has it folded in. Or a ring of
 * rows turns within the window. */
static TF_NOINLINE void border(const tf_depthwise_conv2d_s8_params *p, const tf_region *region, const int8_t *input,
                               int32_t y, int32_t x, int8_t *output)
{
    const tf_window *k = &p->window;
    const int8_t *w = p->weights;
    int32_t c, m, o = 0;
    for (c = 0; c < p->in_c; ++c) {
        for (m = 0; m < p->channel_multiplier; ++m, ++o) {
            int32_t acc = p->bias[o], ky, kx;
            for (ky = 0; ky < k->kernel_h; ++ky) {
                const int32_t iy = y + ky * k->dilation_h;
                const int8_t *row = tf_row(input, p->in_row_stride, region, iy);
                for (kx = 0; kx < k->kernel_w; ++kx) {
                    const int32_t ix = x + kx * k->dilation_w;
                    const int outside = iy < 0 || iy >= k->in_h || ix < 0 || ix >= k->in_w;
                    acc += *w++ * (outside ? p->in_zero_point : row[ix * p->in_c + c]);
                }
            }
            output[o] = tf_clamp(tf_requantize(acc, p->multiplier[o], p->shift[o]), &p->out);
        }
    }
}

void tf_depthwise_conv2d_s8(const tf_depthwise_conv2d_s8_params *p, const tf_region *region, const int8_t *input,
                            int8_t *output)
{
    const tf_window *k = &p->window;
    const int32_t out_c = p->in_c * p->channel_multiplier;
    const int32_t last_y = k->in_h - (k->kernel_h - 1) * k->dilation_h - 1;
    const int32_t last_x = k->in_w - (k->kernel_w - 1) * k->dilation_w - 1;
    int32_t oy, ox;
    for (oy = region->row_start; oy < region->row_stop; ++oy) {
        const int32_t y = oy * k->stride_h - k->pad_top;
        const int32_t end = y + (k->kernel_h - 1) * k->dilation_h;
        const int turns = y < region->wrap_row && end >= region->wrap_row;
        const int8_t *row = tf_row(input, p->in_row_stride, region, y);
        int8_t *out = output + oy * p->out_row_stride + region->col_start * out_c;
        for (ox = region->col_start; ox < region->col_stop; ++ox) {
            const int32_t x = ox * k->stride_w - k->pad_left;
            if (y >= 0 && y <= last_y && x >= 0 && x <= last_x && !turns) {
                inside(p, row + x * p->in_c, out);
            } else {
                border(p, region, input, y, x, out);
            }
            out += out_c;
        }
    }
}
