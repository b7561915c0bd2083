/* Clamp to narrower limits, in place. */
#include "tinyfarm_kernels.h"

void tf_limit_s8(const tf_limit_params *p, const tf_region *region, int8_t *output)
{
    const int32_t count = (region->col_stop - region->col_start) * p->col_elements;
    int32_t row, i;
    for (row = region->row_start; row < region->row_stop; ++row) {
        int8_t *out = output + row * p->row_stride + region->col_start * p->col_elements;
        for (i = 0; i < count; ++i) {
            const int8_t value = out[i] < p->min ? p->min : out[i];
            out[i] = value > p->max ? p->max : value;
        }
    }
}
