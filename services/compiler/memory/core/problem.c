#include "problem.h"

#include <stdlib.h>

struct Block {
    Block *before;
    int64_t content[];
};

void *pool_take(Pool *pool, size_t count, size_t size) {
    Block *block = calloc(1, sizeof(Block) + (count + 1) * size);
    if (block == NULL) {
        abort();
    }
    block->before = pool->last;
    pool->last = block;
    return block->content;
}

void pool_free(Pool *pool) {
    while (pool->last != NULL) {
        Block *before = pool->last->before;
        free(pool->last);
        pool->last = before;
    }
}

static bool live_together(const Range *a, const Range *b) {
    return a->first <= b->last && b->first <= a->last;
}

static void find_neighbors(Pool *pool, Problem *problem) {
    int found = 0;
    problem->first_neighbor = pool_take(pool, (size_t)problem->count + 1, sizeof(int));
    for (int a = 0; a < problem->count; a++) {
        problem->first_neighbor[a] = found;
        for (int b = 0; b < problem->count; b++) {
            found += a != b && live_together(&problem->ranges[a], &problem->ranges[b]);
        }
    }
    problem->first_neighbor[problem->count] = found;
    Neighbor *next = problem->neighbors = pool_take(pool, (size_t)found, sizeof(Neighbor));
    for (int a = 0; a < problem->count; a++) {
        for (int b = 0; b < problem->count; b++) {
            if (a != b && live_together(&problem->ranges[a], &problem->ranges[b])) {
                next->other = b;
                next->size = problem->sizes[b];
                next++;
            }
        }
    }
}

static Neighbor *neighbor(const Problem *problem, int buffer, int other) {
    Neighbor *end = problem->neighbors + problem->first_neighbor[buffer + 1];
    for (Neighbor *at = problem->neighbors + problem->first_neighbor[buffer]; at < end; at++) {
        if (at->other == other) {
            return at;
        }
    }
    return NULL;
}

static int64_t greatest_common_divisor(int64_t a, int64_t b) {
    return b == 0 ? a : greatest_common_divisor(b, a % b);
}

static int64_t rounded_up(int64_t value, int64_t step) {
    int64_t rest = value % step;
    return rest > 0 ? value - rest + step : value - rest;
}

static Shift shift_of(const Rule *rule) {
    int64_t common = greatest_common_divisor(rule->multiple_bytes, BUFFER_ALIGN);
    int64_t step = rule->multiple_bytes / common * BUFFER_ALIGN;
    return (Shift){rounded_up(rule->distance_bytes, step) / BUFFER_ALIGN, step / BUFFER_ALIGN};
}

static Pair *pair_of(Problem *problem, int source, int target) {
    Pair *end = problem->pairs + problem->pairs_count;
    for (Pair *at = problem->pairs; at < end; at++) {
        if (at->source == source && at->target == target) {
            return at;
        }
    }
    problem->pairs_count++;
    return end;
}

static void add_rule(Problem *problem, const Rule *rule, const int *numbers) {
    int source = numbers[rule->source], target = numbers[rule->target];
    if (problem->ranges[source].last != problem->ranges[target].first + rule->lasting) {
        return;
    }
    Shift shift = shift_of(rule);
    *pair_of(problem, source, target) = (Pair){source, target, shift};
    problem->shares[source] = problem->shares[target] = true;
    Neighbor *below = neighbor(problem, target, source), *over = neighbor(problem, source, target);
    if (below != NULL && over != NULL) {
        below->behind = over->ahead = shift;
    }
}

Problem problem_of(Pool *pool, const Range *ranges, int64_t count, const Rule *rules, int64_t rules_count) {
    Problem problem = {.count = (int)count, .ranges = ranges};
    int64_t highest = 0;
    problem.sizes = pool_take(pool, (size_t)count, sizeof(Units));
    for (int b = 0; b < problem.count; b++) {
        problem.sizes[b] = (ranges[b].size_bytes + BUFFER_ALIGN - 1) / BUFFER_ALIGN;
        highest = at_least(highest, ranges[b].buffer);
    }
    int *numbers = pool_take(pool, (size_t)highest + 1, sizeof(int));
    for (int b = 0; b < problem.count; b++) {
        numbers[ranges[b].buffer] = b;
    }
    problem.offsets = pool_take(pool, (size_t)count, sizeof(Units));
    problem.placed = pool_take(pool, (size_t)count, sizeof(bool));
    problem.shares = pool_take(pool, (size_t)count, sizeof(bool));
    problem.pairs = pool_take(pool, (size_t)rules_count, sizeof(Pair));
    find_neighbors(pool, &problem);
    for (int64_t r = 0; r < rules_count; r++) {
        add_rule(&problem, &rules[r], numbers);
    }
    return problem;
}
