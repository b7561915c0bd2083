/* int16 to int8, each with its scale. */
#include "tinyfarm_kernels.h"

void tf_rescale_s16_s8(const tf_rescale_params *p, const tf_region *region, const int16_t *input, int8_t *output)
{
    int32_t y;
    for (y = region->row_start; y < region->row_stop; ++y) {
        const int16_t *in = input + y * p->row_stride + region->col_start * p->col_elements;
        int8_t *out = output + y * p->row_stride + region->col_start * p->col_elements;
        int32_t count = (region->col_stop - region->col_start) * p->col_elements;
        for (; count > 0; --count) {
            *out++ = tf_clamp(tf_requantize(*in++, p->multiplier, p->shift), &p->out);
        }
    }
}
