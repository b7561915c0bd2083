/* Depthwise convolution one channel at a time through a padded copy of its plane, so that the output may take the
 * input's place, and no tap has to ask whether it is in the image. Source of the idea: MCUNet (NeurIPS 2020). */
#include "tinyfarm_kernels.h"

void tf_depthwise_conv2d_plane_s8(const tf_depthwise_conv2d_s8_params *p, const tf_region *region,
                                  const int8_t *input, int8_t *output, int8_t *plane)
{
    const int32_t taps = p->window.kernel_h * p->window.kernel_w;
    const tf_plane_box box = tf_plane_box_of(p, region);
    const int8_t *w = p->weights;
    int32_t c, m, o = 0;
    for (c = 0; c < p->in_c; ++c) {
        tf_fill_plane(p, region, &box, input + c, plane);
        for (m = 0; m < p->channel_multiplier; ++m, ++o) {
            tf_plane_channel(p, region, &box, plane, w, o, output);
            w += taps;
        }
    }
}
