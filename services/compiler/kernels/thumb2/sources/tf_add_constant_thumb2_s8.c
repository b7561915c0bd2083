/* Sum or difference of a tensor and a constant that repeats, with every row at the latest. */
#include "tinyfarm_thumb2.h"

void tf_add_constant_thumb2_s8(const tf_add_constant_thumb2_params *p, const tf_region *region, const int8_t *input,
                               int8_t *output)
{
    const int32_t start = region->col_start * p->channels, count = region->col_stop * p->channels - start;
    const int32_t *constants = p->constants + start % p->period;
    const int32_t period = p->period < count ? p->period : count; /* a part of a row is one of its constant */
    int32_t row;
    for (row = region->row_start; row < region->row_stop; ++row) {
        p->add(input + row * p->x_row_stride + start, constants, output + row * p->out_row_stride + start, p->values,
               count, period);
    }
}
