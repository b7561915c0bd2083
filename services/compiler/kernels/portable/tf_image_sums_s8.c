/* Sums of each channel over the region's pixels, four channels at a time. */
#include "tinyfarm_kernels.h"

/* The part of the image: its first pixel, its size, and how far rows and pixels lie apart. */
typedef struct {
    const int8_t *first;
    int32_t rows, cols, row_stride, channels;
} tf_part;

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

static int32_t sum(const tf_part *part, int32_t channel)
{
    const int8_t *row = part->first + channel;
    int32_t total = 0, y, x;
    for (y = part->rows; y > 0; --y, row += part->row_stride) {
        const int8_t *in = row;
        for (x = part->cols; x > 0; --x, in += part->channels) {
            TF_KEEP_LOOP(in);
            total += *in;
        }
    }
    return total;
}

void tf_image_sums_s8(const tf_image_sums_s8_params *p, const tf_region *region, const int8_t *image, int32_t *sums)
{
    tf_part part;
    int32_t c;
    part.first = image + region->row_start * p->in_row_stride + region->col_start * p->channels;
    part.rows = region->row_stop - region->row_start;
    part.cols = region->col_stop - region->col_start;
    part.row_stride = p->in_row_stride;
    part.channels = p->channels;
    if (region->row_start == 0 && region->col_start == 0) {
        for (c = 0; c < p->channels; ++c) {
            TF_KEEP_LOOP(c);
            sums[c] = 0;
        }
    }
    for (c = 0; c + 4 <= p->channels; c += 4) {
        four_sums(&part, c, sums + c);
    }
    for (; c < p->channels; ++c) {
        sums[c] += sum(&part, c);
    }
}
