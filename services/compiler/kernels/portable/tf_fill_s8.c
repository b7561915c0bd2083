/* One value over the region. */
#include "tinyfarm_kernels.h"

void tf_fill_s8(const tf_fill_s8_params *p, const tf_region *region, int8_t *output)
{
    int32_t y;
    for (y = region->row_start; y < region->row_stop; ++y) {
        tf_fill_bytes(output + y * p->out_row_stride + region->col_start * p->col_elements, p->value,
                      (region->col_stop - region->col_start) * p->col_elements);
    }
}
