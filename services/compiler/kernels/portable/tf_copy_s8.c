/* A box of bytes with any strides, clipped to the region of the output. */
#include "tinyfarm_kernels.h"

static void run(const tf_copy_s8_params *p, const int8_t *in, int8_t *out)
{
    int32_t count = p->size[3];
    if (p->in_stride[3] == 1 && p->out_stride[3] == 1) {
        tf_copy_bytes(out, in, count);
        return;
    }
    for (; count > 0; --count) {
        *out = *in;
        in += p->in_stride[3];
        out += p->out_stride[3];
    }
}

static int32_t clipped(int32_t value, int32_t limit)
{
    return value < 0 ? 0 : value > limit ? limit : value;
}

void tf_copy_s8(const tf_copy_s8_params *p, const tf_region *region, const int8_t *input, int8_t *output)
{
    const int32_t y0 = clipped(region->row_start - p->out_row, p->size[1]);
    const int32_t y1 = clipped(region->row_stop - p->out_row, p->size[1]);
    const int32_t x0 = clipped(region->col_start - p->out_col, p->size[2]);
    const int32_t x1 = clipped(region->col_stop - p->out_col, p->size[2]);
    int32_t n, y, x;
    for (n = 0; n < p->size[0]; ++n) {
        for (y = y0; y < y1; ++y) {
            for (x = x0; x < x1; ++x) {
                run(p, input + p->in_offset + n * p->in_stride[0] + y * p->in_stride[1] + x * p->in_stride[2],
                    output + p->out_offset + n * p->out_stride[0] + y * p->out_stride[1] + x * p->out_stride[2]);
            }
        }
    }
}
