/* DepthwiseConv2D, channel by channel through a plane of raised bytes that holds some rows at a time. */
#include "tinyfarm_thumb1.h"

/* int8 as unsigned, 128 higher */
#define RAISED 0x80

static void fill(uint8_t *to, int32_t value, int32_t count)
{
    tf_fill_bytes((int8_t *)to, value ^ RAISED, count);
}

/* One channel's bytes of one row. */
static inline void gather(uint8_t *to, const int8_t *from, int32_t step, int32_t count)
{
    for (; count >= 4; count -= 4, to += 4) {
        const int32_t a = from[0], b = from[step];
        from += 2 * step;
        to[0] = (uint8_t)(a ^ RAISED);
        to[1] = (uint8_t)(b ^ RAISED);
        to[2] = (uint8_t)(from[0] ^ RAISED);
        to[3] = (uint8_t)(from[step] ^ RAISED);
        from += 2 * step;
    }
    for (; count > 0; --count) {
        *to++ = (uint8_t)(*from ^ RAISED);
        from += step;
    }
}

/* Columns of the image that a region reads, and the plane's columns of padding before them. */
typedef struct {
    int32_t left, count;
} columns;

/* Those in the windows of a region, the first of which is at x + left. */
static columns columns_of(const tf_window *k, const tf_region *region, int32_t x)
{
    const int32_t last = x + (region->col_stop - region->col_start - 1) * k->stride_w;
    const int32_t stop = last + (k->kernel_w - 1) * k->dilation_w + 1;
    columns found;
    found.left = x < 0 ? -x : 0;
    found.count = (stop < k->in_w ? stop : k->in_w) - x - found.left;
    return found;
}

/* Input rows [y, y + rows) into the plane, whose columns of padding are filled: rows outside the image are padding. */
static void load_rows(const tf_depthwise_thumb1_params *p, const tf_region *region, const int8_t *input, int32_t y,
                      int32_t rows, const columns *read, uint8_t *to)
{
    const tf_window *k = &p->window;
    for (; rows > 0; --rows, ++y, to += p->plane_w) {
        if (y < 0 || y >= k->in_h) {
            fill(to, p->in_zero_point, p->plane_w);
        } else {
            gather(to + read->left, tf_row(input, p->in_row_stride, region, y), p->shape.channels, read->count);
        }
    }
}

static void move_down(uint8_t *to, const uint8_t *from, int32_t count)
{
    for (; count > 0; --count) {
        *to++ = *from++;
        TF_KEEP_LOOP(to);
    }
}

/* So many output rows of a channel, the windows of which begin with the plane. */
static void run_rows(const tf_depthwise_thumb1_params *p, const uint8_t *plane, int8_t *output, const int8_t *record,
                     int32_t rows)
{
    const int32_t step = p->call_rows;
    for (; rows > 0; rows -= step) {
        p->channel(plane, output, record, &p->shape, rows < step ? rows : step);
        plane += step * p->window.stride_h * p->plane_w;
        output += step * p->out_row_stride;
    }
}

void tf_depthwise_thumb1_s8(const tf_depthwise_thumb1_params *p, const tf_region *region, const int8_t *input,
                            int8_t *output, int8_t *scratch)
{
    const tf_window *k = &p->window;
    uint8_t *const plane = (uint8_t *)scratch;
    const int32_t reach = (k->kernel_h - 1) * k->dilation_h + 1;
    const int32_t kept = reach > k->stride_h ? reach - k->stride_h : 0;
    const int8_t *record = (const int8_t *)(const void *)p->records;
    const int32_t x = region->col_start * k->stride_w - k->pad_left;
    const columns read = columns_of(k, region, x);
    int32_t c;
    input += (x + read.left) * p->shape.channels;
    output += region->col_start * p->shape.channels;
    fill(plane, p->in_zero_point, ((p->chunk_rows - 1) * k->stride_h + reach) * p->plane_w);
    for (c = 0; c < p->shape.channels; ++c, record += p->record_bytes) {
        int32_t oy = region->row_start, held = 0;
        for (;;) {
            const int32_t left = region->row_stop - oy, rows = left < p->chunk_rows ? left : p->chunk_rows;
            const int32_t needed = (rows - 1) * k->stride_h + reach;
            load_rows(p, region, input + c, oy * k->stride_h - k->pad_top + held, needed - held, &read,
                      plane + held * p->plane_w);
            run_rows(p, plane, output + oy * p->out_row_stride + c, record, rows);
            if (left == rows) {
                break;
            }
            oy += rows;
            move_down(plane, plane + rows * k->stride_h * p->plane_w, kept * p->plane_w);
            held = kept; /* the next rows' windows begin with the last rows held */
        }
    }
}
