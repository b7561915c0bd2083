/* Sums of each channel over the region's pixels, four channels at a time. */
#include "tinyfarm_kernels.h"

static void four_sums(const tf_part *part, int32_t channel, int32_t *sums)
{
    const int32_t channels = part->channels;
    const int8_t *row = part->first + channel;
    int32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3], y, x;
    for (y = part->rows; y > 0; --y, row += part->row_stride) {
        const int8_t *in = row;
        for (x = part->cols; x > 0; --x, in += channels) {
            TF_KEEP_LOOP(in);
            a += in[0];
            b += in[1];
            c += in[2];
            d += in[3];
        }
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
}

void tf_image_sums_s8(const tf_image_sums_s8_params *p, const tf_region *region, const int8_t *image, int32_t *sums)
{
    const tf_part part = tf_part_of(p, region, image);
    const int32_t channels = part.channels;
    int32_t c = 0;
    tf_begin_sums(region, sums, channels);
    for (; c + 4 <= channels; c += 4) {
        four_sums(&part, c, sums + c);
    }
    tf_add_channels(&part, c, sums);
}
