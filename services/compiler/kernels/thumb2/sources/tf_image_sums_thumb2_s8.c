/* Sums of each channel over the region's pixels, four channels at a time. */
#include "tinyfarm_thumb2.h"

static void four_sums(const tf_part *part, int32_t channel, int32_t *sums)
{
    const int32_t channels = part->channels;
    const int8_t *row = part->first + channel;
    int32_t held[4] = {sums[0], sums[1], sums[2], sums[3]}, y;
    for (y = part->rows; y > 0; --y, row += part->row_stride) {
        tf_add_pixels(row, part->cols, channels, held);
    }
    sums[0] = held[0];
    sums[1] = held[1];
    sums[2] = held[2];
    sums[3] = held[3];
}

void tf_image_sums_thumb2_s8(const tf_image_sums_s8_params *p, const tf_region *region, const int8_t *image,
                             int32_t *sums)
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
