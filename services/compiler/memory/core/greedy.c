#include "places.h"
#include "search.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t key[3];
    int buffer;
} Sorted;

static int compare(const void *left, const void *right) {
    const Sorted *a = left, *b = right;
    for (int k = 0; k < 3; k++) {
        if (a->key[k] != b->key[k]) {
            return a->key[k] < b->key[k] ? -1 : 1;
        }
    }
    return 0;
}

static Sorted sorted(const Problem *problem, int buffer, Order order) {
    const Range *range = &problem->ranges[buffer];
    int64_t size = range->size_bytes, units = problem->sizes[buffer];
    int64_t first = range->first, last = range->last, number = range->buffer;
    switch (order) {
    case BY_SIZE:
        return (Sorted){{-size, first, number}, buffer};
    case BY_BIRTH:
        return (Sorted){{first, -size, number}, buffer};
    case BY_DEATH:
        return (Sorted){{-last, -size, number}, buffer};
    case BY_AREA:
        return (Sorted){{-size * (last - first + 1), first, number}, buffer};
    case BY_LIFETIME:
        return (Sorted){{first - last, -size, number}, buffer};
    case IN_TIME:
        return (Sorted){{first, -units, number}, buffer};
    case BACKWARD:
        return (Sorted){{-last, -units, number}, buffer};
    }
    abort();
}

void sort_buffers(Pool *pool, const Problem *problem, int *buffers, int count, Order order) {
    Sorted *keyed = pool_take(pool, (size_t)count, sizeof(Sorted));
    for (int k = 0; k < count; k++) {
        keyed[k] = sorted(problem, buffers[k], order);
    }
    qsort(keyed, (size_t)count, sizeof(Sorted), compare);
    for (int k = 0; k < count; k++) {
        buffers[k] = keyed[k].buffer;
    }
}

/* Put a neighbor among others, in the order of their offsets. */
static void insert(Neighbor *beside, int count, const Neighbor *neighbor, const Units *offsets) {
    while (count > 0 && offsets[beside[count - 1].other] > offsets[neighbor->other]) {
        beside[count] = beside[count - 1];
        count--;
    }
    beside[count] = *neighbor;
}

/* Return the lowest offset at which so many units lie beside all neighbors, by their offsets. */
static Units lowest_hole(Units size, const Neighbor *beside, int count, const Units *offsets) {
    Units low = 0;
    for (const Neighbor *at = beside; at < beside + count && offsets[at->other] - low < size; at++) {
        low = at_least(low, offsets[at->other] + at->size);
    }
    return low;
}

static Units lowest_of(const Problem *problem, int buffer, Neighbor *beside) {
    int count = 0;
    const Neighbor *end = problem->neighbors + problem->first_neighbor[buffer + 1];
    for (const Neighbor *at = problem->neighbors + problem->first_neighbor[buffer]; at < end; at++) {
        if (!problem->placed[at->other]) {
            continue;
        }
        if (problem->shares[buffer]) {
            beside[count] = *at;
        } else {
            insert(beside, count, at, problem->offsets);
        }
        count++;
    }
    Units size = problem->sizes[buffer];
    return problem->shares[buffer] ? lowest_place(size, beside, count, problem->offsets)
                                   : lowest_hole(size, beside, count, problem->offsets);
}

Units place_below(Pool *pool, Problem *problem, const int *buffers, int count, Units limit) {
    Neighbor *beside = pool_take(pool, (size_t)problem->count, sizeof(Neighbor));
    Units extent = 0;
    for (int k = 0; k < count; k++) {
        int buffer = buffers[k];
        Units offset = lowest_of(problem, buffer, beside), end = offset + problem->sizes[buffer];
        if (limit >= 0 && end >= limit) {
            while (k > 0) {
                problem->placed[buffers[--k]] = false;
            }
            return -1;
        }
        problem->offsets[buffer] = offset;
        problem->placed[buffer] = true;
        extent = at_least(extent, end);
    }
    return extent;
}
