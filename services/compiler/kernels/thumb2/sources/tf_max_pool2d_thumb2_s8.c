/* Maximum over windows, four channels at a time; padding never wins. */
#include "tinyfarm_thumb2.h"

/* Of four bytes each. */
static inline uint32_t smaller(uint32_t a, uint32_t b)
{
    uint32_t result;
    __asm__("ssub8 %0, %1, %2\n\tsel %0, %2, %1" : "=&r"(result) : "r"(a), "r"(b) : "cc");
    return result;
}

static inline uint32_t four_times(int32_t value)
{
    return (uint32_t)(value & 0xff) * 0x01010101u;
}

/* Some last channels of one pixel, byte by byte. */
static void channels(const tf_pool2d_s8_params *p, const tf_region *region, const int8_t *input,
                     const tf_pool_window *w, int32_t c, int8_t *out)
{
    int32_t y, x;
    for (; c < p->channels; ++c) {
        int32_t best = p->out.min;
        for (y = w->y0; y < w->y1; ++y) {
            const int8_t *in = tf_row(input, p->in_row_stride, region, y) + w->x0 * p->channels + c;
            for (x = w->x0; x < w->x1; ++x, in += p->channels) {
                best = *in > best ? *in : best;
            }
        }
        *out++ = (int8_t)(best > p->out.max ? p->out.max : best);
    }
}

void tf_max_pool2d_thumb2_s8(const tf_pool2d_s8_params *p, const tf_region *region, const int8_t *input,
                             int8_t *output)
{
    const uint32_t least = four_times(p->out.min), most = four_times(p->out.max);
    int32_t oy, ox, c, y, x;
    for (oy = region->row_start; oy < region->row_stop; ++oy) {
        int8_t *out = output + oy * p->out_row_stride + region->col_start * p->channels;
        for (ox = region->col_start; ox < region->col_stop; ++ox) {
            const tf_pool_window w = tf_window_at(&p->window, oy, ox);
            const int8_t *first = tf_row(input, p->in_row_stride, region, w.y0) + w.x0 * p->channels;
            for (c = 0; c + 4 <= p->channels; c += 4, out += 4) {
                uint32_t best = least;
                const int8_t *line = first + c;
                for (y = w.y0; y < w.y1; line = tf_next_row(line, p->in_row_stride, region, ++y)) {
                    const int8_t *in = line;
                    for (x = w.x1 - w.x0; x > 0; --x, in += p->channels) {
                        best = tf_larger(best, tf_load_word(in));
                    }
                }
                tf_store_word(out, smaller(best, most));
            }
            channels(p, region, input, &w, c, out);
            out += p->channels - c;
        }
    }
}
