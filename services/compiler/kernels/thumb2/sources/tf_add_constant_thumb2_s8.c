/* Sum or difference of a tensor and a constant that repeats, with every row at the latest. */
#include "tinyfarm_thumb2.h"

void tf_add_constant_thumb2_s8(const tf_add_constant_thumb2_params *p, const tf_region *region, const int8_t *input,
                               int8_t *output)
{
    int32_t row;
    for (row = region->row_start; row < region->row_stop; ++row) {
        const int32_t at = row * p->row_stride;
        p->add(input + at, p->constants, output + at, p->values);
    }
}
