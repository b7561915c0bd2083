/* The padded copy of one channel that the depthwise kernels go through, and the outputs made from it. */
#include "tinyfarm_kernels.h"

tf_plane_box tf_plane_box_of(const tf_depthwise_conv2d_s8_params *p, const tf_region *region)
{
    const tf_window *k = &p->window;
    tf_plane_box box;
    box.y = region->row_start * k->stride_h - k->pad_top;
    box.x = region->col_start * k->stride_w - k->pad_left;
    box.h = (region->row_stop - region->row_start - 1) * k->stride_h + (k->kernel_h - 1) * k->dilation_h + 1;
    box.w = (region->col_stop - region->col_start - 1) * k->stride_w + (k->kernel_w - 1) * k->dilation_w + 1;
    return box;
}

static void fill_row(const tf_depthwise_conv2d_s8_params *p, const tf_plane_box *box, const int8_t *row, int8_t *plane)
{
    const int32_t in_w = p->window.in_w;
    const int32_t step = p->in_c;
    int32_t x = box->x, stop = box->x + box->w;
    const int32_t image_stop = stop < in_w ? stop : in_w;
    for (; x < 0 && x < stop; ++x) {
        *plane++ = (int8_t)p->in_zero_point;
    }
    row += x * step;
    for (; x < image_stop; ++x) {
        *plane++ = *row;
        row += step;
    }
    for (; x < stop; ++x) {
        *plane++ = (int8_t)p->in_zero_point;
    }
}

void tf_fill_plane(const tf_depthwise_conv2d_s8_params *p, const tf_region *region, const tf_plane_box *box,
                   const int8_t *channel, int8_t *plane)
{
    int32_t y;
    for (y = box->y; y < box->y + box->h; ++y) {
        if (y < 0 || y >= p->window.in_h) {
            tf_fill_bytes(plane, p->in_zero_point, box->w);
        } else {
            fill_row(p, box, tf_row(channel, p->in_row_stride, region, y), plane);
        }
        plane += box->w;
    }
}

static int32_t taps3x3(const int8_t *x, const int8_t *w, int32_t row)
{
    const int8_t *x1 = x + row, *x2 = x1 + row;
    return x[0] * w[0] + x[1] * w[1] + x[2] * w[2] + x1[0] * w[3] + x1[1] * w[4] + x1[2] * w[5] + x2[0] * w[6] +
           x2[1] * w[7] + x2[2] * w[8];
}

static int32_t taps(const tf_window *k, const int8_t *x, const int8_t *w, int32_t row)
{
    const int32_t row_step = k->dilation_h * row - k->kernel_w * k->dilation_w;
    int32_t acc = 0, ky, kx;
    for (ky = k->kernel_h; ky > 0; --ky) {
        for (kx = k->kernel_w; kx > 0; --kx) {
            acc += *x * *w++;
            x += k->dilation_w;
        }
        x += row_step;
    }
    return acc;
}

void tf_plane_channel(const tf_depthwise_conv2d_s8_params *p, const tf_region *region, const tf_plane_box *box,
                      const int8_t *plane, const int8_t *w, int32_t o, int8_t *output)
{
    const tf_window *k = &p->window;
    const int32_t out_c = p->in_c * p->channel_multiplier;
    const int32_t bias = p->bias[o], multiplier = p->multiplier[o], shift = p->shift[o];
    const int is3x3 = k->kernel_h == 3 && k->kernel_w == 3 && k->dilation_h == 1 && k->dilation_w == 1;
    int32_t oy, ox;
    for (oy = region->row_start; oy < region->row_stop; ++oy) {
        const int8_t *x = plane + (oy - region->row_start) * k->stride_h * box->w;
        int8_t *out = output + oy * p->out_row_stride + region->col_start * out_c + o;
        for (ox = region->col_start; ox < region->col_stop; ++ox) {
            const int32_t acc = bias + (is3x3 ? taps3x3(x, w, box->w) : taps(k, x, w, box->w));
            *out = tf_clamp(tf_requantize(acc, multiplier, shift), &p->out);
            x += k->stride_w;
            out += out_c;
        }
    }
}
