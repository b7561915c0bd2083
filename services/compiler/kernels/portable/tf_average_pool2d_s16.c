/* Average over windows; padding is not counted; the quotient is rounded half away from zero. */
#include "tinyfarm_kernels.h"

void tf_average_pool2d_s16(const tf_pool2d_s8_params *p, const tf_region *region, const int16_t *input,
                          int16_t *output)
{
    const tf_window *k = &p->window;
    int32_t oy, ox, c, y, x;
    for (oy = region->row_start; oy < region->row_stop; ++oy) {
        const int32_t top = oy * k->stride_h - k->pad_top;
        const int32_t y0 = top < 0 ? 0 : top;
        const int32_t y1 = top + k->kernel_h < k->in_h ? top + k->kernel_h : k->in_h;
        int16_t *out = output + oy * p->out_row_stride + region->col_start * p->channels;
        for (ox = region->col_start; ox < region->col_stop; ++ox) {
            const int32_t left = ox * k->stride_w - k->pad_left;
            const int32_t x0 = left < 0 ? 0 : left;
            const int32_t x1 = left + k->kernel_w < k->in_w ? left + k->kernel_w : k->in_w;
            const int32_t count = (y1 - y0) * (x1 - x0);
            for (c = 0; c < p->channels; ++c) {
                int32_t sum = 0;
                for (y = y0; y < y1; ++y) {
                    const int16_t *in = input + tf_row_offset(p->in_row_stride, region, y) + x0 * p->channels + c;
                    for (x = x0; x < x1; ++x) {
                        sum += *in;
                        in += p->channels;
                    }
                }
                sum = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
                *out++ = (int16_t)(sum < p->out.min ? p->out.min : sum > p->out.max ? p->out.max : sum);
            }
        }
    }
}
