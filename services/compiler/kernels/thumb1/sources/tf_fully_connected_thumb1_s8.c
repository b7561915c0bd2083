/* FullyConnected through a vector routine. */
#include "tinyfarm_thumb1.h"

void tf_fully_connected_thumb1_s8(const tf_fully_connected_thumb1_params *p, const tf_region *region,
                                  const int8_t *input, int8_t *output)
{
    int32_t column;
    for (column = region->col_start; column < region->col_stop; ++column) {
        p->dot(input + column * p->shape.x_bytes, p->weights, output + column * p->shape.channels, &p->shape);
    }
}
