/* Sum or difference of two tensors of one shape. */
#include "tinyfarm_thumb2.h"

void tf_add_thumb2_s8(const tf_add_thumb2_params *p, const tf_region *region, const int8_t *plain,
                      const int8_t *scaled, int8_t *output)
{
    int32_t row;
    for (row = region->row_start; row < region->row_stop; ++row) {
        const int32_t at = row * p->row_stride;
        p->add(plain + at, scaled + at, output + at, p->values);
    }
}
