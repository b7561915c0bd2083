/* Bilinear resize in TFLite's 10-bit fixed point; which rows and columns are mixed was worked out by the compiler. */
#include "tinyfarm_kernels.h"

/* Four corners, weighted in 1/1024 along each axis, rounded half away from zero. */
static inline int8_t mix(const int8_t *const corner[4], const int32_t weight[4], int32_t c)
{
    const int32_t sum = corner[0][c] * weight[0] + corner[1][c] * weight[1] + corner[2][c] * weight[2] +
                        corner[3][c] * weight[3];
    return (int8_t)((sum + (sum > 0 ? 1 << 19 : -(1 << 19))) / (1 << 20));
}

void tf_resize_bilinear_s8(const tf_resize_bilinear_s8_params *p, const tf_region *region, const int8_t *input,
                           int8_t *output)
{
    int32_t y, x, c;
    for (y = region->row_start; y < region->row_stop; ++y) {
        const int8_t *low = input + p->rows[2 * y] * p->in_row_stride;
        const int8_t *high = input + p->rows[2 * y + 1] * p->in_row_stride;
        const int32_t down = p->row_parts[y];
        int8_t *out = output + y * p->out_row_stride + region->col_start * p->channels;
        for (x = region->col_start; x < region->col_stop; ++x) {
            const int32_t left = p->cols[2 * x] * p->channels, right = p->cols[2 * x + 1] * p->channels;
            const int32_t across = p->col_parts[x];
            const int8_t *const corner[4] = {low + left, low + right, high + left, high + right};
            const int32_t weight[4] = {(1024 - down) * (1024 - across), (1024 - down) * across,
                                       down * (1024 - across), down * across};
            for (c = 0; c < p->channels; ++c) {
                *out++ = mix(corner, weight, c);
            }
        }
    }
}
