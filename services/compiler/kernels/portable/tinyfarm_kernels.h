/* tinyfarm portable kernels: int8 operators with TensorFlow Lite Micro's reference arithmetic, bit for bit.
 *
 * Tensors are NHWC with batch 1. A pointer names the tensor's element (row 0, column 0, channel 0), rows lie
 * `row_stride` elements apart, so a tensor may sit in a wider buffer, or only partly in memory as long as the rows
 * and columns that the region needs are there. Every kernel computes one region of its output.
 * C99; uses no library function and no memory but its arguments and the stack.
 */
#ifndef TINYFARM_KERNELS_H
#define TINYFARM_KERNELS_H

#include <stdint.h>

/* Half-open range of output rows and columns, and where the input turns: a ring of rows (line buffer) begins anew at
 * `wrap_row`, so that this row and all after it lie `wrap_bytes` lower than they would. Only windows turn; a region
 * of any other kernel, and of every output, ends where its ring does. */
typedef struct {
    int32_t row_start, row_stop, col_start, col_stop;
    int32_t wrap_row, wrap_bytes;
} tf_region;

/* The wrap row of an input that is no ring. */
#define TF_NO_WRAP INT32_MAX

/* How a window slides: padding is explicit and only before the image; what lies after it follows from the sizes. */
typedef struct {
    uint16_t in_h, in_w, kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
} tf_window;

/* Where an accumulator goes: multiplier in Q31, shift (left positive), then zero point and clamp. */
typedef struct {
    int16_t zero_point, min, max;
} tf_output;

typedef struct {
    const int8_t *weights;     /* [O, KH, KW, C] */
    const int32_t *bias;       /* [O], less input zero point times the sum of the filter */
    const int32_t *multiplier; /* [O] */
    const int8_t *shift;       /* [O] */
    int32_t in_row_stride, out_row_stride;
    uint16_t in_c, out_c;
    int16_t in_zero_point;
    tf_window window;
    tf_output out;
} tf_conv2d_s8_params;
void tf_conv2d_s8(const tf_conv2d_s8_params *p, const tf_region *region, const int8_t *input, int8_t *output);
/* int4 weights, here and in the other kernels named _s4: [(O + 1) / 2, KH, KW, C], one byte for a weight of filter 2i
 * (low nibble) and the same weight of filter 2i + 1 (high nibble, 0 where there is none). A run of taps so starts at a
 * byte whatever its length, and two filters share the loads of the input and of the weights. */
void tf_conv2d_s4(const tf_conv2d_s8_params *p, const tf_region *region, const int8_t *input, int8_t *output);

typedef struct {
    const int8_t *weights;     /* [C * multiplier, KH, KW] */
    const int32_t *bias;       /* as tf_conv2d_s8 */
    const int32_t *multiplier; /* [C * multiplier] */
    const int8_t *shift;       /* [C * multiplier] */
    int32_t in_row_stride, out_row_stride;
    uint16_t in_c, channel_multiplier;
    int16_t in_zero_point;
    tf_window window;
    tf_output out;
} tf_depthwise_conv2d_s8_params;
void tf_depthwise_conv2d_s8(const tf_depthwise_conv2d_s8_params *p, const tf_region *region, const int8_t *input,
                            int8_t *output);
void tf_depthwise_conv2d_s4(const tf_depthwise_conv2d_s8_params *p, const tf_region *region, const int8_t *input,
                            int8_t *output);
/* One channel at a time through `plane`, a padded copy of what the region needs of that channel: bytes
 * ((rows - 1) * stride_h + dilation_h * (kernel_h - 1) + 1) * the same for columns. With
 * channel_multiplier 1, no gaps between rows and the whole output as region, the output may start where the input
 * starts: element i of either is of channel i mod C, so a channel overwrites only itself. */
void tf_depthwise_conv2d_plane_s8(const tf_depthwise_conv2d_s8_params *p, const tf_region *region,
                                  const int8_t *input, int8_t *output, int8_t *plane);
/* Behind the plane lie kernel_h * kernel_w bytes more, for the filter of the channel. */
void tf_depthwise_conv2d_plane_s4(const tf_depthwise_conv2d_s8_params *p, const tf_region *region,
                                  const int8_t *input, int8_t *output, int8_t *plane);

/* What the region needs of a channel: top left in the input (may lie in the padding), and size. */
typedef struct {
    int32_t y, x, h, w;
} tf_plane_box;
tf_plane_box tf_plane_box_of(const tf_depthwise_conv2d_s8_params *p, const tf_region *region);
void tf_fill_plane(const tf_depthwise_conv2d_s8_params *p, const tf_region *region, const tf_plane_box *box,
                   const int8_t *channel, int8_t *plane);
/* Output channel `o` of the region from its input channel's plane and its filter [KH, KW]. */
void tf_plane_channel(const tf_depthwise_conv2d_s8_params *p, const tf_region *region, const tf_plane_box *box,
                      const int8_t *plane, const int8_t *w, int32_t o, int8_t *output);

typedef struct {
    const int8_t *weights;     /* [O, I] */
    const int32_t *bias;       /* [O], less input zero point times the sum of the row */
    const int32_t *multiplier; /* [O], or one for all */
    const int8_t *shift;       /* [O], or one for all */
    int32_t in_features, out_features;
    int32_t channel_step; /* 1: a multiplier a row; 0: one for all */
    tf_output out;
} tf_fully_connected_s8_params;
/* The region's columns are the batch: input [columns, I], output [columns, O]; its rows are not used. */
void tf_fully_connected_s8(const tf_fully_connected_s8_params *p, const tf_region *region, const int8_t *input,
                           int8_t *output);
void tf_fully_connected_s4(const tf_fully_connected_s8_params *p, const tf_region *region, const int8_t *input,
                           int8_t *output);

/* Element-wise over [N, H, W, C] with a stride of 0 where an input is broadcast. */
typedef struct {
    int32_t size[4], in1_stride[4], in2_stride[4], out_stride[4];
} tf_broadcast;

typedef struct {
    tf_broadcast shape;
    int32_t in1_multiplier, in2_multiplier, out_multiplier;
    int16_t in1_zero_point, in2_zero_point;
    int8_t in1_shift, in2_shift, out_shift;
    int8_t sign; /* 1: in1 + in2; -1: in1 - in2 */
    tf_output out;
} tf_add_s8_params;
void tf_add_s8(const tf_add_s8_params *p, const tf_region *region, const int8_t *in1, const int8_t *in2,
               int8_t *output);

typedef struct {
    tf_broadcast shape;
    int32_t multiplier;
    int16_t in1_zero_point, in2_zero_point;
    int8_t shift;
    tf_output out;
} tf_mul_s8_params;
void tf_mul_s8(const tf_mul_s8_params *p, const tf_region *region, const int8_t *in1, const int8_t *in2,
               int8_t *output);

typedef struct {
    tf_broadcast shape;
    int32_t sign; /* 1: the larger; -1: the smaller */
} tf_extremum_s8_params;
void tf_extremum_s8(const tf_extremum_s8_params *p, const tf_region *region, const int8_t *in1, const int8_t *in2,
                    int8_t *output);

typedef struct {
    tf_broadcast shape; /* in2 is alpha */
    int32_t multiplier, alpha_multiplier;
    int16_t in_zero_point, alpha_zero_point;
    int8_t shift, alpha_shift;
    tf_output out;
} tf_prelu_s8_params;
void tf_prelu_s8(const tf_prelu_s8_params *p, const tf_region *region, const int8_t *input, const int8_t *alpha,
                 int8_t *output);

typedef struct {
    int32_t in_row_stride, out_row_stride;
    uint16_t channels;
    tf_window window;
    tf_output out; /* zero point unused: input and output share their quantization */
} tf_pool2d_s8_params;
void tf_average_pool2d_s8(const tf_pool2d_s8_params *p, const tf_region *region, const int8_t *input,
                          int8_t *output);
void tf_max_pool2d_s8(const tf_pool2d_s8_params *p, const tf_region *region, const int8_t *input, int8_t *output);

typedef struct {
    int32_t kept[4]; /* [N, H, W, C], 1 where a dimension is reduced */
    int32_t in_stride[4], out_stride[4];
    int32_t reduced[2], reduced_stride[2]; /* the loops over what is reduced: neighboring dimensions are one */
    int32_t bias; /* less input zero point times the number of elements reduced */
    int32_t multiplier;
    int32_t shift;
    tf_output out;
} tf_mean_s8_params;
void tf_mean_s8(const tf_mean_s8_params *p, const tf_region *region, const int8_t *input, int8_t *output);

/* A mean or average pool over rows and columns in two halves, so that the image need never be there as a whole. */
typedef struct {
    int32_t in_row_stride, channels;
} tf_image_sums_s8_params;
/* Adds pixels of the image to `sums` [channels]. The region is the image's; one that begins at row 0 and column 0 clears
 * the sums before. */
void tf_image_sums_s8(const tf_image_sums_s8_params *p, const tf_region *region, const int8_t *image, int32_t *sums);

typedef struct {
    int32_t bias; /* less input zero point times the number of pixels */
    int32_t multiplier;
    int32_t channels;
    tf_output out;
    int8_t shift;
} tf_mean_of_sums_s8_params;
/* The region, of one pixel, is not used. The output may start where the sums start. */
void tf_mean_of_sums_s8(const tf_mean_of_sums_s8_params *p, const tf_region *region, const int32_t *sums,
                        int8_t *output);

typedef struct {
    int32_t pixels, channels;
    tf_output out; /* zero point unused: image and output share their quantization */
} tf_pool_of_sums_s8_params;
/* The region, of one pixel, is not used. The output may start where the sums start. */
void tf_pool_of_sums_s8(const tf_pool_of_sums_s8_params *p, const tf_region *region, const int32_t *sums,
                        int8_t *output);

typedef struct {
    const int32_t *exp_table; /* exp of -d steps in Q31; 0 from `exp_entries` on */
    int32_t exp_entries;
    int32_t depth;
} tf_softmax_s8_params;
/* The region's columns are the vectors: input and output [columns, depth]; its rows are not used. */
void tf_softmax_s8(const tf_softmax_s8_params *p, const tf_region *region, const int8_t *input, int8_t *output);

typedef struct {
    const int8_t *table; /* [256], indexed by the input's byte as unsigned */
    int32_t in_row_stride, out_row_stride;
    int32_t col_elements; /* elements of one column */
} tf_lut_s8_params;
void tf_lut_s8(const tf_lut_s8_params *p, const tf_region *region, const int8_t *input, int8_t *output);

typedef struct {
    int32_t size[4], in_stride[4], out_stride[4];
    int32_t in_offset, out_offset;
    int32_t out_row, out_col; /* where the box starts in the output */
} tf_copy_s8_params;
/* A box of bytes from anywhere to anywhere: slices, splits, concatenations, paddings, transpositions. */
void tf_copy_s8(const tf_copy_s8_params *p, const tf_region *region, const int8_t *input, int8_t *output);

typedef struct {
    int32_t rows, cols; /* before */
    int32_t pixel_bytes;
} tf_transpose_image_s8_params;
/* Swaps rows and columns of an image in place, always of all of it; scratch has room for a bit a pixel. */
void tf_transpose_image_s8(const tf_transpose_image_s8_params *p, const tf_region *region, int8_t *image,
                           int8_t *scratch);

typedef struct {
    int32_t out_row_stride, col_elements;
    int32_t value;
} tf_fill_s8_params;
void tf_fill_s8(const tf_fill_s8_params *p, const tf_region *region, int8_t *output);

typedef struct {
    const uint16_t *rows, *cols; /* input row of each output row, input column of each output column */
    int32_t in_row_stride, out_row_stride;
    int32_t channels;
} tf_resize_nearest_s8_params;
void tf_resize_nearest_s8(const tf_resize_nearest_s8_params *p, const tf_region *region, const int8_t *input,
                          int8_t *output);

/* A FastGRNN cell: a = W x + U h in Q12, z = sigmoid(a + gate bias), h = (zeta (1 - z) + nu) tanh(a + update bias) + z h. */
typedef struct {
    const int8_t *weights;   /* [hidden, inputs] */
    const int8_t *recurrent; /* [hidden, hidden] */
    const int32_t *offset;   /* [hidden], less input zero point times the sum of the row */
    const int32_t *bias;     /* [2, hidden] in Q12: the gate's, the update's */
    int32_t multiplier, recurrent_multiplier;
    int16_t zeta, nu; /* Q15 */
    uint16_t inputs, hidden;
    int8_t shift, recurrent_shift;
} tf_fast_grnn;

typedef struct {
    const int16_t *sigmoid; /* [257] in Q15, of -8 to 8 in steps of 1/16 */
    tf_fast_grnn sweep, summary;
    int32_t in_row_stride, out_row_stride;
    tf_window window;
} tf_rnn_pool_s8_params;
/* One patch of the input for each output pixel of 4 * summary.hidden channels. `scratch` is aligned to 4 and has bytes
 * 6 * the larger hidden size + 2 * ((kernel_h + kernel_w) * sweep.hidden + summary.hidden). */
void tf_rnn_pool_s8(const tf_rnn_pool_s8_params *p, const tf_region *region, const int8_t *input, int8_t *output,
                    int32_t *scratch);

typedef struct {
    const uint16_t *rows, *cols;         /* two input rows (columns) of each output row (column) */
    const int16_t *row_parts, *col_parts; /* how far it lies from the first to the second, in 1/1024 */
    int32_t in_row_stride, out_row_stride;
    int32_t channels;
} tf_resize_bilinear_s8_params;
void tf_resize_bilinear_s8(const tf_resize_bilinear_s8_params *p, const tf_region *region, const int8_t *input,
                           int8_t *output);

typedef struct {
    float scale;
    int32_t zero_point, min, max;
    int32_t in_row_stride, out_row_stride;
    int32_t col_elements;
} tf_quantize_params;
/* int8 output, or uint8 when min is 0: the byte is the same. */
void tf_quantize_f32(const tf_quantize_params *p, const tf_region *region, const float *input, int8_t *output);
/* uint8 input when min is 0. */
void tf_dequantize_f32(const tf_quantize_params *p, const tf_region *region, const int8_t *input, float *output);

/* Narrower limits than int8 on what a core's own kernel has just written. */
typedef struct {
    int32_t row_stride, col_elements;
    int8_t min, max;
} tf_limit_params;
void tf_limit_s8(const tf_limit_params *p, const tf_region *region, int8_t *output);

/* int16 activations have zero point 0, weights are int8. Sums have 64 bits and multipliers 16, or, where `narrow` is
 * set (a Conv2D with an int32 bias), 32 and 32: TFLite rounds the one once, the other twice. */
typedef struct {
    const int64_t *bias;       /* [O] */
    const int32_t *multiplier; /* [O], or one for all */
    const int8_t *shift;       /* [O], or one for all */
    int32_t channel_step;      /* 1: a multiplier a channel; 0: one for all */
    int32_t narrow;
    tf_output out;
} tf_sum_s16;

typedef struct {
    const int8_t *weights; /* [O, KH, KW, C] */
    tf_sum_s16 sum;
    int32_t in_row_stride, out_row_stride;
    uint16_t in_c, out_c;
    tf_window window;
} tf_conv2d_s16_params;
void tf_conv2d_s16(const tf_conv2d_s16_params *p, const tf_region *region, const int16_t *input, int16_t *output);

typedef struct {
    const int8_t *weights; /* [C * multiplier, KH, KW] */
    tf_sum_s16 sum;
    int32_t in_row_stride, out_row_stride;
    uint16_t in_c, channel_multiplier;
    tf_window window;
} tf_depthwise_conv2d_s16_params;
void tf_depthwise_conv2d_s16(const tf_depthwise_conv2d_s16_params *p, const tf_region *region, const int16_t *input,
                             int16_t *output);

typedef struct {
    const int8_t *weights; /* [O, I] */
    tf_sum_s16 sum;
    int32_t in_features, out_features;
} tf_fully_connected_s16_params;
void tf_fully_connected_s16(const tf_fully_connected_s16_params *p, const tf_region *region, const int16_t *input,
                            int16_t *output);

void tf_add_s16(const tf_add_s8_params *p, const tf_region *region, const int16_t *in1, const int16_t *in2,
                int16_t *output);
void tf_mul_s16(const tf_mul_s8_params *p, const tf_region *region, const int16_t *in1, const int16_t *in2,
                int16_t *output);
void tf_average_pool2d_s16(const tf_pool2d_s8_params *p, const tf_region *region, const int16_t *input,
                           int16_t *output);
void tf_max_pool2d_s16(const tf_pool2d_s8_params *p, const tf_region *region, const int16_t *input, int16_t *output);
void tf_mean_s16(const tf_mean_s8_params *p, const tf_region *region, const int16_t *input, int16_t *output);

typedef struct {
    const int16_t *exp_curve, *reciprocal_curve; /* [513] each */
    int32_t multiplier, shift;
    int32_t depth;
} tf_softmax_s16_params;
void tf_softmax_s16(const tf_softmax_s16_params *p, const tf_region *region, const int16_t *input, int16_t *output);

typedef struct {
    const uint16_t *table; /* [256] */
    int32_t multiplier, shift;
    int32_t row_stride, col_elements;
    int32_t tangent; /* 0: logistic function; 1: hyperbolic tangent */
} tf_sigmoid_s16_params;
void tf_sigmoid_s16(const tf_sigmoid_s16_params *p, const tf_region *region, const int16_t *input, int16_t *output);

typedef struct {
    int32_t multiplier, row_stride, col_elements;
    int16_t in_zero_point;
    int8_t shift;
    tf_output out;
} tf_rescale_params;
void tf_rescale_s16(const tf_rescale_params *p, const tf_region *region, const int16_t *input, int16_t *output);
void tf_rescale_s16_s8(const tf_rescale_params *p, const tf_region *region, const int16_t *input, int8_t *output);
void tf_rescale_s8_s16(const tf_rescale_params *p, const tf_region *region, const int8_t *input, int16_t *output);
void tf_quantize_f32_s16(const tf_quantize_params *p, const tf_region *region, const float *input, int16_t *output);
void tf_dequantize_s16_f32(const tf_quantize_params *p, const tf_region *region, const int16_t *input, float *output);

/* Keeps a compiler from turning a short loop into a call of memcpy or memset, or into several turns at a time. */
#define TF_KEEP_LOOP(value) __asm__("" : "+r"(value))

/* Keeps a loop's registers to itself. */
#define TF_NOINLINE __attribute__((noinline))

void tf_copy_bytes(int8_t *target, const int8_t *source, int32_t count);
void tf_fill_bytes(int8_t *target, int32_t value, int32_t count);

/* x * multiplier * 2^(shift - 31), rounded twice as TFLite does: to nearest at the multiplication (ties up), then
 * to nearest at the right shift (ties away from zero). Source: gemmlowp, SaturatingRoundingDoublingHighMul and
 * RoundingDivideByPOT; the multiplier is never negative, so no saturation is needed. */
static inline int32_t tf_requantize(int32_t x, int32_t multiplier, int32_t shift)
{
    int32_t high;
    if (shift > 0) {
        x = (int32_t)((uint32_t)x << shift);
    }
    high = (int32_t)(((int64_t)x * multiplier + ((int64_t)1 << 30)) >> 31);
    if (shift >= 0) {
        return high;
    }
    return (((high + (high >> 31)) >> (-shift - 1)) + 1) >> 1;
}

/* Where row 0 of a ring of rows would lie, seen from `row` on, which lies in it; and the row at which it turns. */
static inline int8_t *tf_ring(uint8_t *ring, int32_t row, int32_t rows, int32_t row_bytes)
{
    return (int8_t *)ring - row / rows * (rows * row_bytes);
}

static inline int32_t tf_ring_end(int32_t row, int32_t rows)
{
    return (row / rows + 1) * rows;
}

/* The first input row of a window from output row `row` on. */
static inline int32_t tf_first_row(int32_t row, int32_t stride, int32_t offset)
{
    return row * stride + offset < 0 ? 0 : row * stride + offset;
}

/* A turn of a stage: a layer, by its place in the stage, computes some rows of its output. */
typedef struct {
    uint8_t layer, rows;
    uint16_t row_start;
} tf_turn;

/* What a layer computes for a patch. */
typedef struct {
    uint16_t row_start, row_stop, col_start, col_stop;
} tf_box;

static inline tf_region tf_region_of(const tf_box *box)
{
    const tf_region region = {box->row_start, box->row_stop, box->col_start, box->col_stop, TF_NO_WRAP, 0};
    return region;
}

/* Where row 0, column 0 of a tensor would lie of which a patch is held. */
static inline int8_t *tf_patch(uint8_t *patch, const tf_box *box, int32_t row_bytes, int32_t col_bytes)
{
    return (int8_t *)patch - box->row_start * row_bytes - box->col_start * col_bytes;
}

/* Where row `y` of a windowed input begins. */
static inline const int8_t *tf_row(const int8_t *input, int32_t row_stride, const tf_region *region, int32_t y)
{
    return input + y * row_stride - (y < region->wrap_row ? 0 : region->wrap_bytes);
}

/* How many int16 elements row `y` lies behind row 0. */
static inline int32_t tf_row_offset(int32_t row_stride, const tf_region *region, int32_t y)
{
    return y * row_stride - (y < region->wrap_row ? 0 : region->wrap_bytes / 2);
}

/* How many of `rows` rows from `y` on lie one after the other, before the ring turns. */
static inline int32_t tf_rows_together(const tf_region *region, int32_t y, int32_t rows)
{
    return y < region->wrap_row && region->wrap_row - y < rows ? region->wrap_row - y : rows;
}

/* The first row of a window from `y` on that lies behind the ring's end; 0 is none, the window begins there. */
static inline int32_t tf_turn_of(const tf_window *k, const tf_region *region, int32_t y)
{
    int32_t ky = 0;
    if (y < region->wrap_row && y + (k->kernel_h - 1) * k->dilation_h >= region->wrap_row) {
        for (; y < region->wrap_row; y += k->dilation_h) {
            ++ky;
        }
    }
    return ky;
}

/* A part of an image: its first pixel, its size, and how far its rows and pixels lie apart. */
typedef struct {
    const int8_t *first;
    int32_t rows, cols, row_stride, channels;
} tf_part;

static inline tf_part tf_part_of(const tf_image_sums_s8_params *p, const tf_region *region, const int8_t *image)
{
    tf_part part;
    part.first = image + region->row_start * p->in_row_stride + region->col_start * p->channels;
    part.rows = region->row_stop - region->row_start;
    part.cols = region->col_stop - region->col_start;
    part.row_stride = p->in_row_stride;
    part.channels = p->channels;
    if (part.cols * part.channels == part.row_stride) { /* rows without a gap are one */
        part.cols *= part.rows;
        part.rows = 1;
    }
    return part;
}

/* Adds the part's pixels to the sums of its channels from `channel` on, one channel after the other. */
static inline void tf_add_channels(const tf_part *part, int32_t channel, int32_t *sums)
{
    const int32_t channels = part->channels;
    for (; channel < channels; ++channel) {
        const int8_t *row = part->first + channel;
        int32_t sum = 0, y, x;
        for (y = part->rows; y > 0; --y, row += part->row_stride) {
            const int8_t *in = row;
            for (x = part->cols; x > 0; --x, in += channels) {
                TF_KEEP_LOOP(in);
                sum += *in;
            }
        }
        sums[channel] += sum;
    }
}

/* Clears sums where the image begins. */
static inline void tf_begin_sums(const tf_region *region, int32_t *sums, int32_t channels)
{
    int32_t c;
    if (region->row_start == 0 && region->col_start == 0) {
        for (c = 0; c < channels; ++c) {
            TF_KEEP_LOOP(c);
            sums[c] = 0;
        }
    }
}

/* a * b in Q31, rounded to nearest; both factors are never the smallest integer. */
static inline int32_t tf_mul_q31(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
}

static inline int32_t tf_shift_left_saturated(int32_t x, int32_t exponent)
{
    const int32_t limit = (int32_t)(INT32_MAX >> exponent);
    return x > limit ? INT32_MAX : x < -limit - 1 ? INT32_MIN : (int32_t)((uint32_t)x << exponent);
}

/* 1 / (1 + x) for x in [0, 1), both Q31, by three Newton-Raphson steps in Q29 from 48/17 - 32/17 * (1 + x) / 2. Lies
 * between 2^30 - 4 and 2^31 - 1, as trying every x tells. Source: gemmlowp fixedpoint.h. */
static inline int32_t tf_one_over_one_plus(int32_t x)
{
    const int32_t half = (int32_t)(((uint32_t)x + 0x80000000u) >> 1), one = 1 << 29;
    int32_t r = 1515870810 + tf_mul_q31(half, -1010580540);
    int32_t i;
    for (i = 0; i < 3; ++i) {
        TF_KEEP_LOOP(i);
        r += tf_shift_left_saturated(tf_mul_q31(r, one - tf_mul_q31(half, r)), 2);
    }
    return tf_shift_left_saturated(r, 1);
}

/* The two int4 weights of a byte. */
static inline int32_t tf_low4(int32_t pair)
{
    return (int32_t)((uint32_t)pair << 28) >> 28;
}

static inline int32_t tf_high4(int32_t pair)
{
    return pair >> 4;
}

/* Adds the products of `count` values with two filters of int4 weights. */
static inline void tf_dot2_s4(const int8_t *x, const int8_t *w, int32_t count, int32_t *acc0, int32_t *acc1)
{
    int32_t a0 = *acc0, a1 = *acc1;
    for (; count >= 4; count -= 4) {
        const int32_t w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
        a0 += x[0] * tf_low4(w0);
        a1 += x[0] * tf_high4(w0);
        a0 += x[1] * tf_low4(w1);
        a1 += x[1] * tf_high4(w1);
        a0 += x[2] * tf_low4(w2);
        a1 += x[2] * tf_high4(w2);
        a0 += x[3] * tf_low4(w3);
        a1 += x[3] * tf_high4(w3);
        x += 4;
        w += 4;
    }
    for (; count > 0; --count) {
        const int32_t pair = *w++;
        a0 += *x * tf_low4(pair);
        a1 += *x++ * tf_high4(pair);
    }
    *acc0 = a0;
    *acc1 = a1;
}

static inline int8_t tf_clamp(int32_t value, const tf_output *out)
{
    value += out->zero_point;
    value = value < out->min ? out->min : value;
    return (int8_t)(value > out->max ? out->max : value);
}

static inline int16_t tf_clamp_s16(int32_t value, const tf_output *out)
{
    value += out->zero_point;
    value = value < out->min ? out->min : value;
    return (int16_t)(value > out->max ? out->max : value);
}

/* Sums of products with two filters: of 32 bits for up to 256 products, which cannot overflow, then added to 64. */
typedef struct {
    int64_t total0, total1;
    int32_t part0, part1;
    int32_t left; /* products until the parts are added */
} tf_sums_s16;

static inline tf_sums_s16 tf_sums_from(int64_t bias0, int64_t bias1)
{
    tf_sums_s16 sums;
    sums.total0 = bias0;
    sums.total1 = bias1;
    sums.part0 = 0;
    sums.part1 = 0;
    sums.left = 256;
    return sums;
}

static inline void tf_add_parts(tf_sums_s16 *sums)
{
    sums->total0 += sums->part0;
    sums->total1 += sums->part1;
    sums->part0 = 0;
    sums->part1 = 0;
    sums->left = 256;
}

static inline void tf_dot2_s16(const int16_t *x, const int8_t *w0, const int8_t *w1, int32_t count, tf_sums_s16 *sums)
{
    while (count > 0) {
        int32_t part = count < sums->left ? count : sums->left;
        int32_t a0 = sums->part0, a1 = sums->part1;
        count -= part;
        sums->left -= part;
        for (; part >= 4; part -= 4) {
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
        for (; part > 0; --part) {
            a0 += *x * *w0++;
            a1 += *x++ * *w1++;
        }
        sums->part0 = a0;
        sums->part1 = a1;
        if (sums->left == 0) {
            tf_add_parts(sums);
        }
    }
}

/* acc * multiplier * 2^(shift - 15), rounded once. Source: TFLite, MultiplyByQuantizedMultiplier of int64. */
static inline int32_t tf_requantize_s64(int64_t acc, int32_t multiplier, int32_t shift)
{
    const int32_t bits = 15 - shift;
    return (int32_t)((acc * multiplier + ((int64_t)1 << (bits - 1))) >> bits);
}

/* Output of channel `o`. */
static inline int16_t tf_output_s16(int64_t acc, int32_t o, const tf_sum_s16 *p)
{
    const int32_t multiplier = p->multiplier[o * p->channel_step], shift = p->shift[o * p->channel_step];
    const int32_t value = p->narrow != 0 ? tf_requantize((int32_t)acc, multiplier, shift)
                                         : tf_requantize_s64(acc, multiplier, shift);
    return tf_clamp_s16(value, &p->out);
}

#endif
