/* int8 or uint8 to float32: (q - zero point) * scale, exact but for one rounding. */
#include "tinyfarm_kernels.h"

void tf_dequantize_f32(const tf_quantize_params *p, const tf_region *region, const int8_t *input, float *output)
{
    const int32_t mask = p->min == 0 ? 255 : -1; /* a uint8 comes as the int8 of the same byte */
    int32_t y;
    for (y = region->row_start; y < region->row_stop; ++y) {
        const int8_t *in = input + y * p->in_row_stride + region->col_start * p->col_elements;
        float *out = output + y * p->out_row_stride + region->col_start * p->col_elements;
        int32_t count = (region->col_stop - region->col_start) * p->col_elements;
        for (; count > 0; --count) {
            *out++ = (float)((*in++ & mask) - p->zero_point) * p->scale;
        }
    }
}
