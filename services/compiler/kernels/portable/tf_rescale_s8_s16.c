/* int8 to int16, each with its scale. */
#include "tinyfarm_kernels.h"

void tf_rescale_s8_s16(const tf_rescale_params *p, const tf_region *region, const int8_t *input, int16_t *output)
{
    int32_t y;
    for (y = region->row_start; y < region->row_stop; ++y) {
        const int8_t *in = input + y * p->row_stride + region->col_start * p->col_elements;
        int16_t *out = output + y * p->row_stride + region->col_start * p->col_elements;
        int32_t count = (region->col_stop - region->col_start) * p->col_elements;
        for (; count > 0; --count) {
            *out++ = tf_clamp_s16(tf_requantize(*in++ - p->in_zero_point, p->multiplier, p->shift), &p->out);
        }
    }
}
