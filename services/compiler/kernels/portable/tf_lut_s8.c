/* Any function of one byte, by table: activations and changes of scale or sign. */
#include "tinyfarm_kernels.h"

void tf_lut_s8(const tf_lut_s8_params *p, const tf_region *region, const int8_t *input, int8_t *output)
{
    const int8_t *table = p->table;
    int32_t y;
    for (y = region->row_start; y < region->row_stop; ++y) {
        const uint8_t *in = (const uint8_t *)input + y * p->in_row_stride + region->col_start * p->col_elements;
        int8_t *out = output + y * p->out_row_stride + region->col_start * p->col_elements;
        int32_t count = (region->col_stop - region->col_start) * p->col_elements;
        for (; count > 0; --count) {
            *out++ = table[*in++];
        }
    }
}
