/* Conv2D, int8 activations and weights, int32 accumulators, one multiplier an output channel. */
#include "tinyfarm_kernels.h"

/* Two filters at once share the loads of the input. */
static inline void dot2(const int8_t *x, const int8_t *w0, const int8_t *w1, int32_t count, int32_t *acc0,
                        int32_t *acc1)
{
    int32_t a0 = *acc0, a1 = *acc1;
    for (; count >= 4; count -= 4) {
        a0 += x[0] * w0[0];
        a1 += x[0] * w1[0];
        a0 += x[1] * w0[1];
        a1 += x[1] * w1[1];
        a0 += x[2] * w0[2];
        a1 += x[2] * w1[2];
        a0 += x[3] * w0[3];
        a1 += x[3] * w1[3];
        x += 4;
        w0 += 4;
        w1 += 4;
    }
    for (; count > 0; --count) {
        a0 += *x * *w0++;
        a1 += *x++ * *w1++;
    }
    *acc0 = a0;
    *acc1 = a1;
}

/* The whole window lies in the image: rows of it are runs of consecutive bytes (one, if not dilated). Its row `turn`
 * and all after it lie `wrap_bytes` lower. */
static TF_NOINLINE void inside(const tf_conv2d_s8_params *p, const int8_t *input, int32_t turn, int32_t wrap_bytes,
                               int8_t *output)
{
    const tf_window *k = &p->window;
    const int32_t runs = k->dilation_w == 1 ? 1 : k->kernel_w;
    const int32_t length = k->dilation_w == 1 ? k->kernel_w * p->in_c : p->in_c;
    const int32_t filter = k->kernel_h * k->kernel_w * p->in_c;
    const int8_t *w0 = p->weights;
    int32_t o;
    for (o = 0; o < p->out_c; o += 2) {
        const int32_t step = o + 1 < p->out_c ? 1 : 0; /* an odd last filter is computed with itself */
        const int8_t *w1 = w0 + step * filter;
        const int8_t *w = w0, *row = input;
        int32_t acc0 = p->bias[o], acc1 = p->bias[o + step], ky, run;
        for (ky = 0; ky < k->kernel_h; ++ky) {
            const int8_t *x;
            if (ky == turn) {
                row -= wrap_bytes;
            }
            x = row;
            for (run = 0; run < runs; ++run) {
                dot2(x, w, w1, length, &acc0, &acc1);
                x += k->dilation_w * p->in_c;
                w += length;
                w1 += length;
            }
            row += k->dilation_h * p->in_row_stride;
        }
        output[o] = tf_clamp(tf_requantize(acc0, p->multiplier[o], p->shift[o]), &p->out);
        if (step != 0) {
            output[o + 1] = tf_clamp(tf_requantize(acc1, p->multiplier[o + 1], p->shift[o + 1]), &p->out);
        }
        w0 += 2 * filter;
    }
}

static int32_t sum(const int8_t *w, int32_t count)
{
    int32_t total = 0;
    for (; count > 0; --count) {
        total += *w++;
    }
    return total;
}

static int32_t dot(const int8_t *x, const int8_t *w, int32_t count)
{
    int32_t total = 0;
    for (; count > 0; --count) {
        total += *x++ * *w++;
    }
    return total;
}

static int32_t clipped(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* Part of the window is padding, which counts as the input's zero point: the bias has it folded in. */
static TF_NOINLINE void border(const tf_conv2d_s8_params *p, const tf_region *region, const int8_t *input, int32_t y,
                               int32_t x, int8_t *output)
{
    const tf_window *k = &p->window;
    const int32_t c = p->in_c;
    const int32_t taps = k->dilation_w == 1 ? k->kernel_w : 1; /* neighbors in a run */
    const int8_t *w = p->weights;
    int32_t o, ky, kx;
    for (o = 0; o < p->out_c; ++o) {
        int32_t acc = p->bias[o];
        for (ky = 0; ky < k->kernel_h; ++ky) {
            const int32_t iy = y + ky * k->dilation_h;
            for (kx = 0; kx < k->kernel_w; kx += taps) {
                const int32_t ix = x + kx * k->dilation_w;
                const int32_t from = iy < 0 || iy >= k->in_h ? taps : clipped(-ix, 0, taps);
                const int32_t to = clipped(k->in_w - ix, from, taps);
                acc += p->in_zero_point * (sum(w, from * c) + sum(w + to * c, (taps - to) * c));
                if (from < to) {
                    const int8_t *row = tf_row(input, p->in_row_stride, region, iy);
                    acc += dot(row + (ix + from) * c, w + from * c, (to - from) * c);
                }
                w += taps * c;
            }
        }
        output[o] = tf_clamp(tf_requantize(acc, p->multiplier[o], p->shift[o]), &p->out);
    }
}

void tf_conv2d_s8(const tf_conv2d_s8_params *p, const tf_region *region, const int8_t *input, int8_t *output)
{
    const tf_window *k = &p->window;
    const int32_t last_y = k->in_h - (k->kernel_h - 1) * k->dilation_h - 1;
    const int32_t last_x = k->in_w - (k->kernel_w - 1) * k->dilation_w - 1;
    int32_t oy, ox;
    for (oy = region->row_start; oy < region->row_stop; ++oy) {
        const int32_t y = oy * k->stride_h - k->pad_top;
        const int8_t *row = tf_row(input, p->in_row_stride, region, y);
        const int32_t turn = tf_turn_of(k, region, y), wrap_bytes = turn > 0 ? region->wrap_bytes : 0;
        int8_t *out = output + oy * p->out_row_stride + region->col_start * p->out_c;
        for (ox = region->col_start; ox < region->col_stop; ++ox) {
            const int32_t x = ox * k->stride_w - k->pad_left;
            if (y >= 0 && y <= last_y && x >= 0 && x <= last_x) {
                inside(p, row + x * p->in_c, turn, wrap_bytes, out);
            } else {
                border(p, region, input, y, x, out);
            }
            out += p->out_c;
        }
    }
}
