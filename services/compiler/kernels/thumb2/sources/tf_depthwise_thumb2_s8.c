/* DepthwiseConv2D, channel by channel through an int16 plane that holds some rows at a time. */
#include "tinyfarm_thumb2.h"

/* Input rows that so many output rows reach over. */
static int32_t rows_of(const tf_window *k, int32_t rows)
{
    return (rows - 1) * k->stride_h + (k->kernel_h - 1) * k->dilation_h + 1;
}

static void fill(int16_t *to, int32_t value, int32_t count)
{
    for (; count > 0; --count) {
        *to++ = (int16_t)value;
        TF_KEEP_LOOP(to);
    }
}

/* The image's columns in the windows of a region, the first of which is at x + left. */
static tf_columns columns_of(const tf_window *k, const tf_region *region, int32_t x)
{
    const int32_t last = x + (region->col_stop - region->col_start - 1) * k->stride_w;
    const int32_t stop = last + (k->kernel_w - 1) * k->dilation_w + 1;
    tf_columns columns;
    columns.left = x < 0 ? -x : 0;
    columns.count = (stop < k->in_w ? stop : k->in_w) - x - columns.left;
    return columns;
}

/* Input rows [y, y + rows) of the image, some of them perhaps behind the end of a ring. */
static void gather(const tf_depthwise_thumb2_params *p, const tf_region *region, const int8_t *input, int32_t y,
                   int32_t rows, const tf_columns *columns, int16_t *to)
{
    const int32_t together = tf_rows_together(region, y, rows);
    p->gather(to, tf_row(input, p->in_row_stride, region, y), together, columns);
    if (together < rows) {
        p->gather(to + together * p->plane_w, tf_row(input, p->in_row_stride, region, y + together), rows - together,
                  columns);
    }
}

/* Input rows [y, y + rows) into the plane, with rows of padding where they lie outside the image. */
static void load_rows(const tf_depthwise_thumb2_params *p, const tf_region *region, const int8_t *input, int32_t y,
                      int32_t rows, const tf_columns *columns, int16_t *to)
{
    const tf_window *k = &p->window;
    for (; rows > 0 && y < 0; --rows, ++y, to += p->plane_w) {
        fill(to, p->in_zero_point, p->plane_w);
    }
    if (rows > 0 && y < k->in_h) {
        const int32_t inside = rows < k->in_h - y ? rows : k->in_h - y;
        gather(p, region, input, y, inside, columns, to);
        to += inside * p->plane_w;
        rows -= inside;
    }
    for (; rows > 0; --rows, to += p->plane_w) {
        fill(to, p->in_zero_point, p->plane_w);
    }
}

/* Every output channel of the input channel in the plane. */
static void run_channel(const tf_depthwise_thumb2_params *p, const int16_t *plane, int8_t *output,
                        const int8_t *record, int32_t rows)
{
    int32_t left = p->channel_multiplier;
    do {
        p->channel(plane, output++, record, rows);
        record += p->record_bytes;
    } while (--left > 0);
}

/* All rows fit the plane: its padding is filled once and stays. What a channel needs is read once, for all of them:
 * parameters lie in flash, and a short loop leaves the instruction cache to the routines. */
static void run_whole(const tf_depthwise_thumb2_params *p, const tf_region *region, const int8_t *input,
                      int8_t *output, const tf_columns *columns, int16_t *plane)
{
    const tf_window *k = &p->window;
    const int32_t rows = region->row_stop - region->row_start;
    const int32_t y = region->row_start * k->stride_h - k->pad_top, stop = y + rows_of(k, rows);
    const int32_t first = y < 0 ? 0 : y, inside = (stop < k->in_h ? stop : k->in_h) - first;
    const int32_t together = tf_rows_together(region, first, inside), apart = inside - together;
    const int8_t *head = tf_row(input, p->in_row_stride, region, first);
    const int8_t *tail = apart > 0 ? tf_row(input, p->in_row_stride, region, first + together) : head;
    int16_t *const to = plane + (first - y) * p->plane_w, *const behind = to + together * p->plane_w;
    const int32_t multiplier = p->channel_multiplier, record_bytes = p->record_bytes;
    tf_depthwise_channel *const channel = p->channel;
    tf_depthwise_gather *const load = p->gather;
    const int8_t *record = p->channels, *const end = record + p->in_c * multiplier * record_bytes;
    output += region->row_start * p->out_row_stride;
    if (multiplier == 1 && apart <= 0) { /* the usual case, in the fewest lines of the instruction cache */
        for (; record != end; record += record_bytes) {
            load(to, head++, together, columns);
            channel(plane, output++, record, rows);
        }
        return;
    }
    while (record != end) {
        int32_t left = multiplier;
        load(to, head++, together, columns);
        if (apart > 0) {
            load(behind, tail, apart, columns);
        }
        ++tail;
        do {
            channel(plane, output++, record, rows);
            record += record_bytes;
        } while (--left > 0);
    }
}

void tf_depthwise_thumb2_s8(const tf_depthwise_thumb2_params *p, const tf_region *region, const int8_t *input,
                            int8_t *output, int16_t *plane)
{
    const tf_window *k = &p->window;
    const int32_t rows_held = rows_of(k, p->chunk_rows);
    const int32_t kept = rows_of(k, 0) > 0 ? rows_of(k, 0) : 0;
    const int8_t *record = p->channels;
    const int32_t x = region->col_start * k->stride_w - k->pad_left;
    const tf_columns columns = columns_of(k, region, x);
    int32_t c;
    input += (x + columns.left) * p->in_c;
    output += region->col_start * p->in_c * p->channel_multiplier;
    fill(plane, p->in_zero_point, rows_held * p->plane_w + 2);
    if (region->row_stop - region->row_start <= p->chunk_rows) {
        run_whole(p, region, input, output, &columns, plane);
        return;
    }
    for (c = 0; c < p->in_c; ++c, record += p->channel_multiplier * p->record_bytes, output += p->channel_multiplier) {
        int32_t oy = region->row_start, held = 0;
        while (oy < region->row_stop) {
            const int32_t rows = region->row_stop - oy < p->chunk_rows ? region->row_stop - oy : p->chunk_rows;
            const int32_t needed = rows_of(k, rows);
            load_rows(p, region, input + c, oy * k->stride_h - k->pad_top + held, needed - held, &columns,
                      plane + held * p->plane_w);
            run_channel(p, plane, output + oy * p->out_row_stride, record, rows);
            oy += rows;
            if (oy < region->row_stop) { /* the next rows' windows begin with the last rows held */
                const int16_t *from = plane + rows * k->stride_h * p->plane_w;
                int16_t *to = plane;
                int32_t left;
                for (left = kept * p->plane_w; left > 0; --left) {
                    *to++ = *from++;
                    TF_KEEP_LOOP(to);
                }
                held = kept;
            }
        }
    }
}
