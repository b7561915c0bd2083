/* float32 to int16: divide, round half away from zero, add the zero point, clamp. */
#include "tinyfarm_kernels.h"

/* Far outside the range of int16, and small enough for an int32. NaN becomes the zero point. */
#define LIMIT 1.0e6f

static int32_t round_half_away(float x)
{
    int32_t whole;
    float rest;
    if (x != x) {
        return 0;
    }
    x = x > -LIMIT ? x : -LIMIT;
    x = x < LIMIT ? x : LIMIT;
    whole = (int32_t)x;
    rest = x - (float)whole;
    return rest >= 0.5f ? whole + 1 : rest <= -0.5f ? whole - 1 : whole;
}

void tf_quantize_f32_s16(const tf_quantize_params *p, const tf_region *region, const float *input, int16_t *output)
{
    int32_t y;
    for (y = region->row_start; y < region->row_stop; ++y) {
        const float *in = input + y * p->in_row_stride + region->col_start * p->col_elements;
        int16_t *out = output + y * p->out_row_stride + region->col_start * p->col_elements;
        int32_t count = (region->col_stop - region->col_start) * p->col_elements;
        for (; count > 0; --count) {
            const int32_t q = round_half_away(*in++ / p->scale) + p->zero_point;
            *out++ = (int16_t)(q < p->min ? p->min : q > p->max ? p->max : q);
        }
    }
}
