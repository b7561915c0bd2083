/* Depthwise convolution with int4 weights straight from the input, pixel by pixel, two outputs at once. */
#include "tinyfarm_kernels.h"

/* Input channels of two neighboring outputs: `first`, and `beside` from it to the second one's. */
typedef struct {
    int32_t first, beside, next; /* `next` counts the outputs that the first channel has already had */
} tf_channel_pair;

static tf_channel_pair pair_at_start(const tf_depthwise_conv2d_s8_params *p)
{
    tf_channel_pair pair;
    pair.first = 0;
    pair.next = 0;
    pair.beside = p->channel_multiplier == 1 && p->in_c > 1 ? 1 : 0;
    return pair;
}

static void advance(const tf_depthwise_conv2d_s8_params *p, tf_channel_pair *pair)
{
    int32_t each;
    for (each = 0; each < 2; ++each) {
        if (++pair->next == p->channel_multiplier) {
            pair->next = 0;
            ++pair->first;
        }
    }
    pair->beside = pair->next + 1 == p->channel_multiplier && pair->first + 1 < p->in_c ? 1 : 0;
}

static void write2(const tf_depthwise_conv2d_s8_params *p, int32_t o, int32_t count, const int32_t *acc,
                   int8_t *output)
{
    int32_t each;
    for (each = 0; each < count; ++each) {
        const int32_t scaled = tf_requantize(acc[each], p->multiplier[o + each], p->shift[o + each]);
        output[o + each] = tf_clamp(scaled, &p->out);
    }
}

static TF_NOINLINE void inside(const tf_depthwise_conv2d_s8_params *p, const int8_t *input, int8_t *output)
{
    const tf_window *k = &p->window;
    const int32_t col_step = k->dilation_w * p->in_c;
    const int32_t row_step = k->dilation_h * p->in_row_stride - k->kernel_w * col_step;
    const int32_t out_c = p->in_c * p->channel_multiplier;
    const int8_t *w = p->weights;
    tf_channel_pair pair = pair_at_start(p);
    int32_t o;
    for (o = 0; o < out_c; o += 2) {
        const int32_t count = o + 1 < out_c ? 2 : 1; /* beside an odd last filter lie zeros */
        const int8_t *x = input + pair.first;
        const int32_t beside = pair.beside;
        int32_t acc[2], acc0 = p->bias[o], acc1 = p->bias[o + count - 1], ky, kx;
        for (ky = k->kernel_h; ky > 0; --ky) {
            for (kx = k->kernel_w; kx > 0; --kx) {
                const int32_t weights = *w++;
                acc0 += x[0] * tf_low4(weights);
                acc1 += x[beside] * tf_high4(weights);
                x += col_step;
            }
            x += row_step;
        }
        acc[0] = acc0;
        acc[1] = acc1;
        write2(p, o, count, acc, output);
        advance(p, &pair);
    }
}

/* Part of the window is padding, which counts as the input's zero point: the bias has it folded in. Or a ring of
 * rows turns within the window. */
static TF_NOINLINE void border(const tf_depthwise_conv2d_s8_params *p, const tf_region *region, const int8_t *input,
                               int32_t y, int32_t x, int8_t *output)
{
    const tf_window *k = &p->window;
    const int32_t out_c = p->in_c * p->channel_multiplier;
    const int8_t *w = p->weights;
    tf_channel_pair pair = pair_at_start(p);
    int32_t o;
    for (o = 0; o < out_c; o += 2) {
        const int32_t count = o + 1 < out_c ? 2 : 1;
        int32_t acc[2], ky, kx;
        acc[0] = p->bias[o];
        acc[1] = p->bias[o + count - 1];
        for (ky = 0; ky < k->kernel_h; ++ky) {
            const int32_t iy = y + ky * k->dilation_h;
            const int8_t *row = tf_row(input, p->in_row_stride, region, iy);
            for (kx = 0; kx < k->kernel_w; ++kx) {
                const int32_t ix = x + kx * k->dilation_w;
                const int outside = iy < 0 || iy >= k->in_h || ix < 0 || ix >= k->in_w;
                const int8_t *at = outside ? input : row + ix * p->in_c + pair.first;
                const int32_t weights = *w++;
                acc[0] += (outside ? p->in_zero_point : at[0]) * tf_low4(weights);
                acc[1] += (outside ? p->in_zero_point : at[pair.beside]) * tf_high4(weights);
            }
        }
        write2(p, o, count, acc, output);
        advance(p, &pair);
    }
}

void tf_depthwise_conv2d_s4(const tf_depthwise_conv2d_s8_params *p, const tf_region *region, const int8_t *input,
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
