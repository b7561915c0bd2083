/* Nearest-neighbor resize; which input row and column feeds an output's was worked out by the compiler. */
#include "tinyfarm_kernels.h"

void tf_resize_nearest_s8(const tf_resize_nearest_s8_params *p, const tf_region *region, const int8_t *input,
                          int8_t *output)
{
    int32_t y, x;
    for (y = region->row_start; y < region->row_stop; ++y) {
        const int8_t *row = input + p->rows[y] * p->in_row_stride;
        int8_t *out = output + y * p->out_row_stride + region->col_start * p->channels;
        for (x = region->col_start; x < region->col_stop; ++x) {
            tf_copy_bytes(out, row + p->cols[x] * p->channels, p->channels);
            out += p->channels;
        }
    }
}
