/* tinyfarm kernels for cores with the Thumb-2 DSP extension: the same results as the portable kernels, bit for bit. */
#ifndef TINYFARM_THUMB2_H
#define TINYFARM_THUMB2_H

#include "tinyfarm_kernels.h"

/* What a matrix routine needs to know: bytes of one expanded pair (or vector), where in its unrolled loop to start,
 * channels in groups of four, 2 * output zero point + 1, how far the outputs of the next pair are, and how many bytes
 * behind x there is room for the copy of a group's weights (0: none is made). */
typedef struct {
    int32_t x_bytes, entry, channels, offset, out_step, stage;
} tf_gemm_shape;

/* Pairs of pixels' int16 values, interleaved by words, times a packed filter: [channels] bytes for each pixel. */
typedef void tf_gemm(const int16_t *x, const uint32_t *weights, int8_t *out0, int8_t *out1,
                     const tf_gemm_shape *shape, int32_t pairs);
/* One vector's int16 values times a packed filter. */
typedef void tf_dot(const int16_t *x, const uint32_t *weights, int8_t *out, const tf_gemm_shape *shape);

/* A word at any address: one LDR or STR on these cores. */
typedef struct {
    uint32_t value;
} __attribute__((packed, may_alias)) tf_any_word;

static inline void tf_copy_run(int8_t *to, const int8_t *from, int32_t count)
{
    int32_t i;
    for (i = 0; i + 4 <= count; i += 4) {
        ((tf_any_word *)(void *)(to + i))->value = ((const tf_any_word *)(const void *)(from + i))->value;
    }
    if (count % 4 != 0 && count > 4) { /* the last word overlaps the one before */
        ((tf_any_word *)(void *)(to + count - 4))->value = ((const tf_any_word *)(const void *)(from + count - 4))->value;
    } else {
        for (; i < count; ++i) {
            to[i] = from[i];
        }
    }
}

int16_t *tf_expand_pair_s8(int16_t *x, const int8_t *a, const int8_t *b, int32_t count);
int16_t *tf_expand_s8(int16_t *x, const int8_t *in, int32_t count);

typedef struct {
    const uint32_t *weights; /* packed */
    tf_gemm *gemm;
    tf_gemm_shape shape;
    int32_t in_row_stride, out_row_stride;
    uint16_t in_c, out_c;
    uint16_t block_pairs; /* pairs of pixels expanded at a time */
    int16_t in_zero_point;
    tf_window window;
} tf_conv2d_thumb2_params;
/* Scratch: block_pairs * 4 * depth bytes for the expanded pixels (depth: kernel_h * kernel_w * in_c rounded up to 4),
 * then 2 * depth bytes for assembled windows or, where the shape has a stage, 4 * depth + 36 for that and for a group's
 * weights in turn. Aligned to 4. */
void tf_conv2d_thumb2_s8(const tf_conv2d_thumb2_params *p, const tf_region *region, const int8_t *input,
                         int8_t *output, int8_t *scratch);
/* The same for images of one column, signals: neither dilated nor padded at the sides. */
void tf_conv2d_column_thumb2_s8(const tf_conv2d_thumb2_params *p, const tf_region *region, const int8_t *input,
                                int8_t *output, int8_t *scratch);
/* The same for 1x1 kernels on a multiple of 4 channels without padding; needs no assembled windows. */
void tf_pointwise_thumb2_s8(const tf_conv2d_thumb2_params *p, const tf_region *region, const int8_t *input,
                            int8_t *output, int8_t *scratch);

typedef struct {
    const uint32_t *weights; /* packed */
    tf_dot *dot;
    tf_gemm_shape shape;
    int32_t in_features, out_features;
} tf_fully_connected_thumb2_params;
/* The region's columns are the batch. Scratch: 2 * in_features rounded up to 4 bytes, aligned to 4. */
void tf_fully_connected_thumb2_s8(const tf_fully_connected_thumb2_params *p, const tf_region *region,
                                  const int8_t *input, int8_t *output, int8_t *scratch);

/* One channel from the padded plane: `rows` output rows; see the routine's own comment for the record. */
typedef void tf_depthwise_channel(const int16_t *plane, int8_t *out, const int8_t *channel, int32_t rows);
/* Columns of the image that a region reads, at least one, and the plane's columns of padding before them. */
typedef struct {
    int32_t left, count;
} tf_columns;
/* One channel's bytes of `rows` input rows into rows of the plane: of all columns of the image, */
typedef void tf_depthwise_gather(int16_t *plane, const int8_t *in, int32_t rows);
/* or of some, the first of which is at `in`. */
typedef void tf_depthwise_gather_columns(int16_t *plane, const int8_t *in, int32_t rows, const tf_columns *columns);

typedef struct {
    const int8_t *channels; /* a record an output channel */
    tf_depthwise_channel *channel;
    tf_depthwise_gather *gather; /* null where calls compute parts of rows */
    tf_depthwise_gather_columns *gather_columns;
    int32_t in_row_stride, out_row_stride;
    uint16_t in_c, channel_multiplier, record_bytes;
    uint16_t plane_w;    /* columns of a plane row */
    uint16_t chunk_rows; /* output rows that the plane has room for */
    int16_t in_zero_point;
    tf_window window;
} tf_depthwise_thumb2_params;
/* Channel by channel through `plane`: ((chunk_rows - 1) * stride_h + (kernel_h - 1) * dilation_h + 1) * plane_w + 2 int16
 * values. Output channel c * channel_multiplier + m is of input channel c. Writes no row before it was read and, with a
 * multiplier of 1, no byte of another channel, so the output may then lie on the input. Region: any columns, but of
 * every row as many are written from the first on as `channel` was made for: what is behind the region is spoilt. */
void tf_depthwise_thumb2_s8(const tf_depthwise_thumb2_params *p, const tf_region *region, const int8_t *input,
                            int8_t *output, int16_t *plane);

/* Sums or differences of so many elements. */
typedef void tf_add_row(const int8_t *plain, const int8_t *scaled, int8_t *out, const int32_t *params, int32_t count);

typedef struct {
    tf_add_row *add;
    int32_t values[7]; /* see the routine's comment */
    int32_t plain_row_stride, scaled_row_stride, out_row_stride, channels;
} tf_add_thumb2_params;
/* Equal shapes, no broadcast. */
void tf_add_thumb2_s8(const tf_add_thumb2_params *p, const tf_region *region, const int8_t *plain,
                      const int8_t *scaled, int8_t *output);

/* Sums of so many elements, whole periods, and a constant that repeats. */
typedef void tf_add_constant_row(const int8_t *x, const int32_t *constants, int8_t *out, const int32_t *params,
                                 int32_t count, int32_t period);

typedef struct {
    tf_add_constant_row *add;
    const int32_t *constants; /* as they are added, doubled, at the scale of the sum */
    int32_t values[6];        /* see the routine's comment */
    int32_t period;           /* elements of the constant: a pixel's or a row's */
    int32_t x_row_stride, out_row_stride, channels;
} tf_add_constant_thumb2_params;
void tf_add_constant_thumb2_s8(const tf_add_constant_thumb2_params *p, const tf_region *region, const int8_t *input,
                               int8_t *output);

typedef struct {
    const int32_t *exps; /* [256], exp of -255 to 0 steps in Q31 */
    int32_t depth;
} tf_softmax_thumb2_params;
/* The region's columns are the vectors: input and output [columns, depth], which may be the same; its rows are not
 * used. */
void tf_softmax_thumb2_s8(const tf_softmax_thumb2_params *p, const tf_region *region, const int8_t *input,
                          int8_t *output);

/* int16 activations, int8 weights. One vector's int16 values times a packed filter, from `out` to `end`; x is aligned
 * to 4, and what of `x_bytes`, a multiple of 8, lies behind its values is 0. */
typedef void tf_dot_wide(const int16_t *x, const uint32_t *weights, int16_t *out, int32_t x_bytes, int16_t *end);

typedef struct {
    const uint32_t *weights; /* packed */
    tf_dot_wide *dot;
    int32_t x_bytes;
    int32_t in_row_stride, out_row_stride;
    uint16_t in_c, out_c;
    tf_window window;
} tf_conv2d_thumb2_s16_params;
/* Scratch: x_bytes for a window, aligned to 4. */
void tf_conv2d_thumb2_s16(const tf_conv2d_thumb2_s16_params *p, const tf_region *region, const int16_t *input,
                          int16_t *output, int16_t *scratch);

typedef struct {
    const uint32_t *weights; /* packed */
    tf_dot_wide *dot;
    int32_t x_bytes;
    int32_t in_features, out_features;
} tf_fully_connected_thumb2_s16_params;
/* The region's columns are the batch. Scratch: x_bytes, aligned to 4. */
void tf_fully_connected_thumb2_s16(const tf_fully_connected_thumb2_s16_params *p, const tf_region *region,
                                   const int16_t *input, int16_t *output, int16_t *scratch);

typedef struct {
    const uint32_t *weights; /* by pairs of channels: [KH, KW] words of both weights, then what ends each sum */
    int32_t in_row_stride, out_row_stride;
    uint16_t channels;
    int16_t negative; /* -1: outputs may be; 0: a ReLU */
    tf_window window;
} tf_depthwise_thumb2_s16_params;
void tf_depthwise_thumb2_s16(const tf_depthwise_thumb2_s16_params *p, const tf_region *region, const int16_t *input,
                             int16_t *output);

/* Element-wise kernels and pools with the parameters of their portable fellows. */
void tf_mul_thumb2_s8(const tf_mul_s8_params *p, const tf_region *region, const int8_t *in1, const int8_t *in2,
                      int8_t *output);
void tf_max_pool2d_thumb2_s8(const tf_pool2d_s8_params *p, const tf_region *region, const int8_t *input,
                             int8_t *output);
void tf_average_pool2d_thumb2_s8(const tf_pool2d_s8_params *p, const tf_region *region, const int8_t *input,
                                 int8_t *output);
void tf_quantize_thumb2_f32(const tf_quantize_params *p, const tf_region *region, const float *input, int8_t *output);
void tf_mean_thumb2_s8(const tf_mean_s8_params *p, const tf_region *region, const int8_t *input, int8_t *output);
void tf_image_sums_thumb2_s8(const tf_image_sums_s8_params *p, const tf_region *region, const int8_t *image,
                             int32_t *sums);

/* Four bytes at any address: one LDR or STR on these cores. */
typedef struct {
    uint32_t value;
} __attribute__((packed, may_alias)) tf_word;

static inline uint32_t tf_load_word(const int8_t *from)
{
    return ((const tf_word *)(const void *)from)->value;
}

static inline void tf_store_word(int8_t *to, uint32_t value)
{
    ((tf_word *)(void *)to)->value = value;
}

/* Copies int16 values from any address, two at a time; returns where the next one goes. */
static inline int16_t *tf_copy_halves(int16_t *to, const int16_t *from, int32_t count)
{
    for (; count >= 2; count -= 2, to += 2, from += 2) {
        TF_KEEP_LOOP(to);
        tf_store_word((int8_t *)to, tf_load_word((const int8_t *)from));
    }
    if (count > 0) {
        *to++ = *from;
    }
    return to;
}

/* Adds bytes 0 and 2 of a word to the halves of `even`, bytes 1 and 3 to those of `odd`. */
static inline void tf_add_bytes(uint32_t *even, uint32_t *odd, uint32_t bytes)
{
    __asm__("sxtab16 %0, %0, %1" : "+r"(*even) : "r"(bytes));
    __asm__("sxtab16 %0, %0, %1, ror #8" : "+r"(*odd) : "r"(bytes));
}

/* Bytes that add up to an int16. */
#define TF_BYTES_IN_HALF 255

/* Adds bytes of four channels of so many pixels, which lie `channels` bytes apart, to the sums of each. */
static inline void tf_add_pixels(const int8_t *in, int32_t pixels, int32_t channels, int32_t *sums)
{
    while (pixels > 0) {
        int32_t run = pixels < TF_BYTES_IN_HALF ? pixels : TF_BYTES_IN_HALF;
        uint32_t even = 0, odd = 0;
        pixels -= run;
        for (; run > 1; run -= 2, in += 2 * channels) {
            tf_add_bytes(&even, &odd, tf_load_word(in));
            tf_add_bytes(&even, &odd, tf_load_word(in + channels));
        }
        if (run > 0) {
            tf_add_bytes(&even, &odd, tf_load_word(in));
            in += channels;
        }
        sums[0] += (int16_t)even;
        sums[1] += (int16_t)odd;
        sums[2] += (int32_t)even >> 16;
        sums[3] += (int32_t)odd >> 16;
    }
}

/* The larger of four signed bytes each. */
static inline uint32_t tf_larger(uint32_t a, uint32_t b)
{
    uint32_t result;
    __asm__("ssub8 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(result) : "r"(a), "r"(b) : "cc");
    return result;
}

/* From a place in the row above row `y` of a windowed input to the place below it. */
static inline const int8_t *tf_next_row(const int8_t *above, int32_t row_stride, const tf_region *region, int32_t y)
{
    return above + row_stride - (y == region->wrap_row ? region->wrap_bytes : 0);
}

/* The part of a pool's window that lies in the image. */
typedef struct {
    int32_t y0, y1, x0, x1;
} tf_pool_window;

static inline tf_pool_window tf_window_at(const tf_window *k, int32_t oy, int32_t ox)
{
    const int32_t top = oy * k->stride_h - k->pad_top, left = ox * k->stride_w - k->pad_left;
    tf_pool_window w;
    w.y0 = top < 0 ? 0 : top;
    w.y1 = top + k->kernel_h < k->in_h ? top + k->kernel_h : k->in_h;
    w.x0 = left < 0 ? 0 : left;
    w.x1 = left + k->kernel_w < k->in_w ? left + k->kernel_w : k->in_w;
    return w;
}

#endif
