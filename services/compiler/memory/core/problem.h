/* The placement problem in whole units of alignment: sizes, who lives with whom, which overlaps are allowed.
 *
 * Buffers are numbers here, by their places among the ranges.
 */
#ifndef TINYFARM_PROBLEM_H
#define TINYFARM_PROBLEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUFFER_ALIGN 4

typedef int64_t Units; /* of BUFFER_ALIGN bytes */

/* As live_range.py: a buffer is needed from step `first` to step `last`, both included. */
typedef struct {
    int64_t buffer, size_bytes, first, last;
} Range;

/* As overlap.py: `target`, born `lasting` steps before the one where `source` dies, may share its bytes. */
typedef struct {
    int64_t source, target, distance_bytes, multiple_bytes, lasting;
} Rule;

/* A target may share its source's units if it starts `least` or more below, by a multiple of `step`; 0: it may not. */
typedef struct {
    Units least, step;
} Shift;

/* Another buffer that lives at the same time, how a buffer may lie over it as its target, and as its source. */
typedef struct {
    int other;
    Units size;
    Shift behind, ahead;
} Neighbor;

typedef struct {
    int source, target;
    Shift shift;
} Pair;

typedef struct {
    int count;
    const Range *ranges;
    Units *sizes;
    int *first_neighbor; /* by buffer, and one more for the end */
    Neighbor *neighbors; /* by buffer, in their order */
    bool *shares;        /* by buffer: whether it may share units with any other */
    int pairs_count;
    Pair *pairs;
    Units *offsets; /* by buffer, of those that are placed */
    bool *placed;
} Problem;

/* Memory of which all is given back at once. */
typedef struct Block Block;
typedef struct {
    Block *last;
} Pool;

/* Return zeroed room for so many elements. There is no way on without: ends the process. */
void *pool_take(Pool *pool, size_t count, size_t size);
void pool_free(Pool *pool);

/* Return the problem of these ranges; rules whose source lives on when it should have died do not hold. */
Problem problem_of(Pool *pool, const Range *ranges, int64_t count, const Rule *rules, int64_t rules_count);

static inline Units at_least(Units a, Units b) {
    return a > b ? a : b;
}

static inline Units at_most(Units a, Units b) {
    return a < b ? a : b;
}

/* Write the units that every step needs: what lives there, less the most that shifts let it share. */
void step_needs(Pool *pool, const Problem *problem, Units *needs, int64_t steps);
int64_t steps_of(const Problem *problem);

#endif
