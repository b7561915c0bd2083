/* Conv2D with a 1x1 kernel on a multiple of four channels, without padding: windows are pixels, used in place. */
#include "tinyfarm_thumb2.h"

/* `count` output pixels whose inputs lie `step` bytes apart. A block's pairs are of a pixel of its first half and one
 * of its second; in an odd block the halves share a pixel. */
static void run_pixels(const tf_conv2d_thumb2_params *p, const int8_t *in, int32_t step, int32_t count, int8_t *out,
                       int8_t *scratch)
{
    int16_t *const x = (int16_t *)(void *)scratch;
    while (count > 0) {
        const int32_t block = count < 2 * p->block_pairs ? count : 2 * p->block_pairs;
        const int32_t pairs = (block + 1) / 2, second = block - pairs;
        int16_t *next = x;
        int32_t i;
        for (i = 0; i < pairs; ++i, in += step) {
            next = tf_expand_pair_s8(next, in, in + second * step, p->in_c);
        }
        p->gemm(x, p->weights, out, out + second * p->out_c, &p->shape, pairs);
        in += second * step;
        out += block * p->out_c;
        count -= block;
    }
}

void tf_pointwise_thumb2_s8(const tf_conv2d_thumb2_params *p, const tf_region *region, const int8_t *input,
                            int8_t *output, int8_t *scratch)
{
    const tf_window *k = &p->window;
    const int32_t columns = region->col_stop - region->col_start, rows = region->row_stop - region->row_start;
    const int8_t *in = input + region->row_start * k->stride_h * p->in_row_stride
                       + region->col_start * k->stride_w * p->in_c;
    int8_t *out = output + region->row_start * p->out_row_stride + region->col_start * p->out_c;
    int32_t row;
    if (k->stride_h == 1 && k->stride_w == 1 && columns * p->out_c == p->out_row_stride
        && columns * p->in_c == p->in_row_stride) { /* whole rows of both: all pixels are one run */
        run_pixels(p, in, p->in_c, rows * columns, out, scratch);
        return;
    }
    for (row = 0; row < rows; ++row, in += k->stride_h * p->in_row_stride, out += p->out_row_stride) {
        run_pixels(p, in, k->stride_w * p->in_c, columns, out, scratch);
    }
}
