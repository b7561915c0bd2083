/* Sums of each channel over the region's pixels, four channels at a time. */
#include "tinyfarm_thumb2.h"

void tf_image_sums_thumb2_s8(const tf_image_sums_s8_params *p, const tf_region *region, const int8_t *image,
                             int32_t *sums)
{
    const tf_part part = tf_part_of(p, region, image);
    const int32_t channels = part.channels;
    int32_t c = 0, y;
    tf_begin_sums(region, sums, channels);
    for (; c + 4 <= channels; c += 4) {
        const int8_t *row = part.first + c;
        for (y = part.rows; y > 0; --y, row += part.row_stride) {
            tf_add_pixels(row, part.cols, channels, sums + c);
        }
    }
    for (; c < channels; ++c) {
        sums[c] += tf_sum_of_channel(&part, c);
    }
}
