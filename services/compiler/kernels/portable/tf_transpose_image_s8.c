/* Rows and columns of an image swapped in place: pixels go round in cycles, each to the place of the next.
 * Source: Windley, Transposing matrices in a digital computer, The Computer Journal 2 (1959). */
#include "tinyfarm_kernels.h"

typedef struct {
    int8_t *image;
    uint8_t *moved; /* a bit a pixel: whether its place has been taken */
    uint32_t rows, cols, last;
    int32_t pixel_bytes;
} tf_cycles;

/* Where pixel `at`, of row y and column x, goes: x * rows + y. The struct is handed over by value: to the compiler
 * any bytes that are written could be its own. */
static inline uint32_t next(tf_cycles cycles, uint32_t at)
{
    const uint32_t place = at * cycles.rows - at / cycles.cols * cycles.last;
    cycles.moved[place >> 3] |= (uint8_t)(1u << (place & 7u));
    return place;
}

static TF_NOINLINE void move_one(const tf_cycles *known, uint32_t start)
{
    const tf_cycles cycles = *known;
    int8_t a = cycles.image[start];
    uint32_t at = start;
    do {
        int8_t *place = cycles.image + (at = next(cycles, at));
        const int8_t kept = *place;
        *place = a;
        a = kept;
    } while (at != start);
}

static TF_NOINLINE void move_three(const tf_cycles *known, uint32_t start)
{
    const tf_cycles cycles = *known;
    const int8_t *first = cycles.image + 3u * start;
    int8_t a = first[0], b = first[1], c = first[2];
    uint32_t at = start;
    do {
        int8_t *place = cycles.image + 3u * (at = next(cycles, at));
        const int8_t kept_a = place[0], kept_b = place[1], kept_c = place[2];
        place[0] = a;
        place[1] = b;
        place[2] = c;
        a = kept_a;
        b = kept_b;
        c = kept_c;
    } while (at != start);
}

/* What is to be moved next waits in the place of the first. */
static TF_NOINLINE void move_any(const tf_cycles *known, uint32_t start)
{
    const tf_cycles cycles = *known;
    const uint32_t size = (uint32_t)cycles.pixel_bytes;
    uint32_t at = start;
    while ((at = next(cycles, at)) != start) {
        int8_t *one = cycles.image + start * size, *other = cycles.image + at * size;
        int32_t count;
        for (count = cycles.pixel_bytes; count > 0; --count) {
            const int8_t kept = *one;
            *one++ = *other;
            *other++ = kept;
            TF_KEEP_LOOP(one);
        }
    }
}

void tf_transpose_image_s8(const tf_transpose_image_s8_params *p, const tf_region *region, int8_t *image,
                           int8_t *scratch)
{
    /* pixels of cameras and microphones wait in registers */
    void (*const move)(const tf_cycles *, uint32_t) = p->pixel_bytes == 1   ? move_one
                                                      : p->pixel_bytes == 3 ? move_three
                                                                            : move_any;
    tf_cycles cycles;
    uint32_t start;
    (void)region;
    cycles.image = image;
    cycles.moved = (uint8_t *)scratch;
    cycles.rows = (uint32_t)p->rows;
    cycles.cols = (uint32_t)p->cols;
    cycles.last = cycles.rows * cycles.cols - 1u;
    cycles.pixel_bytes = p->pixel_bytes;
    tf_fill_bytes(scratch, 0, (int32_t)(cycles.last / 8u) + 1);
    for (start = 1; start < cycles.last; ++start) { /* the first and the last pixel stay */
        TF_KEEP_LOOP(start);
        if ((cycles.moved[start >> 3] >> (start & 7u) & 1u) == 0u) {
            move(&cycles, start);
        }
    }
}
