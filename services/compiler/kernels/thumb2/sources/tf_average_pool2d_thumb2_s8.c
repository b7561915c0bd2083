/* Average over windows of at most 255 pixels, four channels at a time; padding is not counted. */
#include "tinyfarm_thumb2.h"

/* Rounded half away from zero. */
static inline int8_t quotient(int32_t sum, int32_t count, const tf_output *out)
{
    sum = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
    return (int8_t)(sum < out->min ? out->min : sum > out->max ? out->max : sum);
}

/* Some last channels of one pixel, byte by byte. */
static void channels(const tf_pool2d_s8_params *p, const tf_region *region, const int8_t *input,
                     const tf_pool_window *w, int32_t c, int8_t *out)
{
    const int32_t count = (w->y1 - w->y0) * (w->x1 - w->x0);
    int32_t y, x;
    for (; c < p->channels; ++c) {
        int32_t sum = 0;
        for (y = w->y0; y < w->y1; ++y) {
            const int8_t *in = tf_row(input, p->in_row_stride, region, y) + w->x0 * p->channels + c;
            for (x = w->x0; x < w->x1; ++x, in += p->channels) {
                sum += *in;
            }
        }
        *out++ = quotient(sum, count, &p->out);
    }
}

void tf_average_pool2d_thumb2_s8(const tf_pool2d_s8_params *p, const tf_region *region, const int8_t *input,
                                 int8_t *output)
{
    int32_t oy, ox, c, y, x;
    for (oy = region->row_start; oy < region->row_stop; ++oy) {
        int8_t *out = output + oy * p->out_row_stride + region->col_start * p->channels;
        for (ox = region->col_start; ox < region->col_stop; ++ox) {
            const tf_pool_window w = tf_window_at(&p->window, oy, ox);
            const int32_t count = (w.y1 - w.y0) * (w.x1 - w.x0);
            const int8_t *first = tf_row(input, p->in_row_stride, region, w.y0) + w.x0 * p->channels;
            for (c = 0; c + 4 <= p->channels; c += 4, out += 4) {
                uint32_t even = 0, odd = 0;
                const int8_t *line = first + c;
                for (y = w.y0; y < w.y1; line = tf_next_row(line, p->in_row_stride, region, ++y)) {
                    const int8_t *in = line;
                    for (x = w.x1 - w.x0; x > 0; --x, in += p->channels) {
                        tf_add_bytes(&even, &odd, tf_load_word(in));
                    }
                }
                out[0] = quotient((int16_t)even, count, &p->out);
                out[1] = quotient((int16_t)odd, count, &p->out);
                out[2] = quotient((int32_t)even >> 16, count, &p->out);
                out[3] = quotient((int32_t)odd >> 16, count, &p->out);
            }
            channels(p, region, input, &w, c, out);
            out += p->channels - c;
        }
    }
}
