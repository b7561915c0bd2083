/* Mean of each channel over all pixels, four channels at a time; the division is part of the multiplier. */
#include "tinyfarm_thumb2.h"

void tf_mean_thumb2_s8(const tf_mean_s8_params *p, const tf_region *region, const int8_t *input, int8_t *output)
{
    const int32_t pixels = p->reduced[1], channels = p->kept[3];
    int32_t c = 0, i;
    if (region->row_start > 0 || region->row_stop <= 0 || region->col_start > 0 || region->col_stop <= 0) {
        return; /* the only pixel is not asked for */
    }
    for (; c + 4 <= channels; c += 4) {
        int32_t sums[4] = {p->bias, p->bias, p->bias, p->bias};
        tf_add_pixels(input + c, pixels, channels, sums);
        for (i = 0; i < 4; ++i) {
            output[c + i] = tf_clamp(tf_requantize(sums[i], p->multiplier, p->shift), &p->out);
        }
    }
    for (; c < channels; ++c) {
        const int8_t *in = input + c;
        int32_t sum = p->bias;
        for (i = pixels; i > 0; --i, in += channels) {
            sum += *in;
        }
        output[c] = tf_clamp(tf_requantize(sum, p->multiplier, p->shift), &p->out);
    }
}
