/* Depthwise convolution, int16 activations and int8 weights, straight from the input; padding adds nothing. */
#include "tinyfarm_kernels.h"

static TF_NOINLINE void pixel(const tf_depthwise_conv2d_s16_params *p, const tf_region *region, const int16_t *input,
                              int32_t y, int32_t x, int16_t *output)
{
    const tf_window *k = &p->window;
    const int8_t *w = p->weights;
    int32_t c, m, ky, kx, o = 0;
    for (c = 0; c < p->in_c; ++c) {
        for (m = 0; m < p->channel_multiplier; ++m, ++o) {
            int64_t acc = p->sum.bias[o];
            for (ky = 0; ky < k->kernel_h; ++ky) {
                const int32_t iy = y + ky * k->dilation_h;
                const int16_t *row = input + tf_row_offset(p->in_row_stride, region, iy) + c;
                int32_t sum = 0; /* of up to 256 products */
                for (kx = 0; kx < k->kernel_w; ++kx) {
                    const int32_t ix = x + kx * k->dilation_w;
                    if (iy >= 0 && iy < k->in_h && ix >= 0 && ix < k->in_w) {
                        sum += row[ix * p->in_c] * *w;
                    }
                    ++w;
                    if ((kx & 255) == 255) {
                        acc += sum;
                        sum = 0;
                    }
                }
                acc += sum;
            }
            output[o] = tf_output_s16(acc, o, &p->sum);
        }
    }
}

void tf_depthwise_conv2d_s16(const tf_depthwise_conv2d_s16_params *p, const tf_region *region, const int16_t *input,
                             int16_t *output)
{
    const tf_window *k = &p->window;
    const int32_t out_c = p->in_c * p->channel_multiplier;
    int32_t oy, ox;
    for (oy = region->row_start; oy < region->row_stop; ++oy) {
        int16_t *out = output + oy * p->out_row_stride + region->col_start * out_c;
        for (ox = region->col_start; ox < region->col_stop; ++ox) {
            pixel(p, region, input, oy * k->stride_h - k->pad_top, ox * k->stride_w - k->pad_left, out);
            out += out_c;
        }
    }
}
