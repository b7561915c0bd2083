/* Fully connected layer, int16 activations and int8 weights. */
#include "tinyfarm_thumb2.h"

void tf_fully_connected_thumb2_s16(const tf_fully_connected_thumb2_s16_params *p, const tf_region *region,
                                   const int16_t *input, int16_t *output, int16_t *scratch)
{
    int32_t b, i;
    for (i = p->in_features; i < p->x_bytes / 2; ++i) {
        scratch[i] = 0;
    }
    for (b = region->col_start; b < region->col_stop; ++b) {
        int16_t *out = output + b * p->out_features;
        tf_copy_halves(scratch, input + b * p->in_features, p->in_features);
        p->dot(scratch, p->weights, out, p->x_bytes, out + p->out_features);
    }
}
