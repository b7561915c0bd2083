/* Means of channels from their sums; the division is part of the multiplier. */
#include "tinyfarm_kernels.h"

void tf_mean_of_sums_s8(const tf_mean_of_sums_s8_params *p, const tf_region *region, const int32_t *sums,
                        int8_t *output)
{
    int32_t c;
    (void)region;
    for (c = 0; c < p->channels; ++c) {
        output[c] = tf_clamp(tf_requantize(p->bias + sums[c], p->multiplier, p->shift), &p->out);
    }
}
