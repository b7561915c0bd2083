/* Averages of channels from their sums; the quotient is rounded half away from zero. */
#include "tinyfarm_kernels.h"

void tf_pool_of_sums_s8(const tf_pool_of_sums_s8_params *p, const tf_region *region, const int32_t *sums,
                        int8_t *output)
{
    const int32_t half = p->pixels / 2;
    int32_t c;
    (void)region;
    for (c = 0; c < p->channels; ++c) {
        const int32_t sum = sums[c], average = (sum > 0 ? sum + half : sum - half) / p->pixels;
        output[c] = (int8_t)(average < p->out.min ? p->out.min : average > p->out.max ? p->out.max : average);
    }
}
