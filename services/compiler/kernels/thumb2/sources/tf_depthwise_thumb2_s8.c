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

static void load(const tf_depthwise_thumb2_params *p, int16_t *to, const int8_t *input, int32_t rows,
                 const tf_columns *columns)
{
    if (p->gather) {
        p->gather(to, input, rows);
    } else {
        p->gather_columns(to, input, rows, columns);
    }
}

/* Input rows [y, y + rows) of the image, some of them perhaps behind the end of a ring. */
static void gather(const tf_depthwise_thumb2_params *p, const tf_region *region, const int8_t *input, int32_t y,
                   int32_t rows, const tf_columns *columns, int16_t *to)
{
    const int32_t together = tf_rows_together(region, y, rows);
    load(p, to, tf_row(input, p->in_row_stride, region, y), together, columns);
    if (together < rows) {
        load(p, to + together * p->plane_w, tf_row(input, p->in_row_stride, region, y + together), rows - together,
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

/* What the loop over channels needs: these three every time, the others to begin with. */
typedef struct {
    int32_t together;
    tf_depthwise_gather *gather;
    int32_t rows;
    int16_t *to;
    const int8_t *head;
    const int16_t *plane;
    int8_t *output;
    const int8_t *record;
    int32_t record_bytes;
    tf_depthwise_channel *channel;
    int32_t channels;
} channels_run;

/* Gathers and computes one channel after the other. In assembly because the loop shares an instruction cache of 32
 * lines with two routines that may need 30 of them: all of this lies in two, whatever the compiler. */
void tf_depthwise_channels(const channels_run *run);
__asm__(
    ".syntax unified\n"
    ".thumb\n"
    ".section .text.tf_depthwise_channels,\"ax\",%progbits\n"
    ".balign 32\n"
    ".global tf_depthwise_channels\n"
    ".type tf_depthwise_channels, %function\n"
    ".thumb_func\n"
    "tf_depthwise_channels:\n"
    "push {r0, r4-r11, lr}\n"
    "add r0, r0, #12\n"
    "ldm r0, {r4-r11}\n"
    "1:\n"
    "ldr r3, [sp]\n"
    "ldrd r2, r12, [r3]\n"
    "mov r0, r4\n"
    "mov r1, r5\n"
    "adds r5, r5, #1\n"
    "blx r12\n"
    "ldr r3, [sp]\n"
    "ldr r3, [r3, #8]\n"
    "mov r0, r6\n"
    "mov r1, r7\n"
    "mov r2, r8\n"
    "adds r7, r7, #1\n"
    "add r8, r8, r9\n"
    "blx r10\n"
    "subs r11, r11, #1\n"
    "bne 1b\n"
    "pop {r0, r4-r11, pc}\n"
    ".size tf_depthwise_channels, . - tf_depthwise_channels\n"
    ".text\n");

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
    const int8_t *record = p->channels, *const end = record + p->in_c * multiplier * record_bytes;
    output += region->row_start * p->out_row_stride;
    if (p->gather && multiplier == 1 && apart <= 0) {
        const channels_run run = {together, p->gather, rows,         to,      head,   plane,
                                  output,   record,    record_bytes, channel, p->in_c};
        tf_depthwise_channels(&run);
        return;
    }
    while (record != end) {
        int32_t left = multiplier;
        load(p, to, head++, together, columns);
        if (apart > 0) {
            load(p, behind, tail, apart, columns);
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
