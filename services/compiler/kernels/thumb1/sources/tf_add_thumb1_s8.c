/* Add of two tensors of one shape. */
#include "tinyfarm_thumb1.h"

void tf_add_thumb1_s8(const tf_add_thumb1_params *p, const tf_region *region, const int8_t *plain,
                      const int8_t *scaled, int8_t *output)
{
    const int32_t start = region->col_start * p->channels, count = region->col_stop * p->channels - start;
    int32_t row;
    for (row = region->row_start; row < region->row_stop; ++row) {
        p->add(plain + row * p->plain_row_stride + start, scaled + row * p->scaled_row_stride + start,
               output + row * p->out_row_stride + start, p->values, count);
    }
}
