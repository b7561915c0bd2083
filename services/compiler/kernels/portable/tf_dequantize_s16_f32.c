/* int16 to float32: (q - zero point) * scale, exact but for one rounding. */
#include "tinyfarm_kernels.h"

void tf_dequantize_s16_f32(const tf_quantize_params *p, const tf_region *region, const int16_t *input, float *output)
{
    int32_t y;
    for (y = region->row_start; y < region->row_stop; ++y) {
        const int16_t *in = input + y * p->in_row_stride + region->col_start * p->col_elements;
        float *out = output + y * p->out_row_stride + region->col_start * p->col_elements;
        int32_t count = (region->col_stop - region->col_start) * p->col_elements;
        for (; count > 0; --count) {
            *out++ = (float)(*in++ - p->zero_point) * p->scale;
        }
    }
}
