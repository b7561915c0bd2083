/* Depthwise convolution through a plane as tf_depthwise_conv2d_plane_s8, with int4 weights: a filter is unpacked once. */
#include "tinyfarm_kernels.h"

/* Nibble `o` & 1 of each byte. */
static void unpack_filter(const int8_t *pairs, int32_t o, int32_t taps, int8_t *filter)
{
    for (; taps > 0; --taps) {
        const int32_t pair = *pairs++;
        *filter++ = (int8_t)((o & 1) != 0 ? tf_high4(pair) : tf_low4(pair));
        TF_KEEP_LOOP(filter);
    }
}

void tf_depthwise_conv2d_plane_s4(const tf_depthwise_conv2d_s8_params *p, const tf_region *region,
                                  const int8_t *input, int8_t *output, int8_t *plane)
{
    const int32_t taps = p->window.kernel_h * p->window.kernel_w;
    const tf_plane_box box = tf_plane_box_of(p, region);
    int8_t *filter = plane + box.h * box.w;
    int32_t c, m, o = 0;
    for (c = 0; c < p->in_c; ++c) {
        tf_fill_plane(p, region, &box, input + c, plane);
        for (m = 0; m < p->channel_multiplier; ++m, ++o) {
            unpack_filter(p->weights + (o >> 1) * taps, o, taps, filter);
            tf_plane_channel(p, region, &box, plane, filter, o, output);
        }
    }
}
