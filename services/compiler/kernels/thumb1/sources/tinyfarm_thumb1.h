/* tinyfarm kernels for Cortex-M0+: the same results as the portable kernels, bit for bit. */
#ifndef TINYFARM_THUMB1_H
#define TINYFARM_THUMB1_H

#include "tinyfarm_kernels.h"

/* What a matrix routine needs to know: bytes of the expanded pixels, output channels, 2 * output zero point + 1. */
typedef struct {
    int32_t x_bytes, channels, zero;
} tf_matrix_shape;

/* Four expanded pixels times a packed filter: [channels] bytes for each of the first `pixels`. */
typedef void tf_matrix(const uint32_t *x, const uint32_t *weights, int8_t *out, const tf_matrix_shape *shape,
                       int32_t pixels);

uint32_t *tf_expand_four_s8(uint32_t *x, const int8_t *const *pixels, int32_t count);

typedef struct {
    const uint32_t *weights; /* packed */
    tf_matrix *gemm;
    tf_matrix_shape shape;
    int32_t in_row_stride, out_row_stride;
    uint16_t in_c;
    int16_t in_zero_point;
    tf_window window;
} tf_conv2d_thumb1_params;
/* Scratch: shape.x_bytes for four expanded pixels, then in_c bytes of padding. Aligned to 4. */
void tf_conv2d_thumb1_s8(const tf_conv2d_thumb1_params *p, const tf_region *region, const int8_t *input,
                         int8_t *output, int8_t *scratch);

/* What a depthwise routine needs to know: bytes of the plane from filter row to filter row and from output row to
 * output row, whole tiles of an output row, channels (the step from output to output), 2 * output zero point + 1. */
typedef struct {
    int32_t kernel_step, row_step, tiles, channels, zero;
} tf_depthwise_shape;

/* One channel from the padded plane: `rows` output rows. */
typedef void tf_depthwise_rows(const uint8_t *plane, int8_t *out, const int8_t *record,
                               const tf_depthwise_shape *shape, int32_t rows);

typedef struct {
    const uint32_t *records; /* one a channel */
    tf_depthwise_rows *channel;
    tf_depthwise_shape shape;
    int32_t in_row_stride, out_row_stride;
    uint16_t record_bytes;
    uint16_t plane_w;    /* columns of a plane row */
    uint16_t chunk_rows; /* output rows that the plane has room for */
    uint16_t call_rows;  /* output rows of a call of `channel`: chunk_rows, or 1 where other bytes lie between them */
    int16_t in_zero_point;
    tf_window window;
} tf_depthwise_thumb1_params;
/* Channel by channel through `plane`: ((chunk_rows - 1) * stride_h + (kernel_h - 1) * dilation_h + 1) * plane_w bytes.
 * Writes no byte of another channel and no row before it was read, so the output may lie on the input. Region: any
 * columns, but of every row as many are written from the first on as `channel` and `shape` were made for: what is
 * behind the region is spoilt. */
void tf_depthwise_thumb1_s8(const tf_depthwise_thumb1_params *p, const tf_region *region, const int8_t *input,
                            int8_t *output, int8_t *plane);

/* One vector times a packed filter; the shape's x_bytes is the vector's length. */
typedef void tf_vector(const int8_t *x, const uint32_t *weights, int8_t *out, const tf_matrix_shape *shape);

typedef struct {
    const uint32_t *weights; /* packed */
    tf_vector *dot;
    tf_matrix_shape shape;
} tf_fully_connected_thumb1_params;
/* The region's columns are the batch. Reads a vector again for every four outputs. */
void tf_fully_connected_thumb1_s8(const tf_fully_connected_thumb1_params *p, const tf_region *region,
                                  const int8_t *input, int8_t *output);

/* Sums of so many elements. */
typedef void tf_add_row(const int8_t *plain, const int8_t *scaled, int8_t *out, const int32_t *params, int32_t count);

typedef struct {
    tf_add_row *add;
    int32_t values[7]; /* see the routine's comment */
    int32_t plain_row_stride, scaled_row_stride, out_row_stride, channels;
} tf_add_thumb1_params;
/* Equal shapes, no broadcast. `plain` is the input of the larger scale. */
void tf_add_thumb1_s8(const tf_add_thumb1_params *p, const tf_region *region, const int8_t *plain,
                      const int8_t *scaled, int8_t *output);

#endif
