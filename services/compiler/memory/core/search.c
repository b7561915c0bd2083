#include "search.h"

enum { HALVINGS = 3 };

static Units extent_of(const Problem *problem, const int *buffers, int count) {
    Units found = 0;
    for (int k = 0; k < count; k++) {
        found = at_least(found, problem->offsets[buffers[k]] + problem->sizes[buffers[k]]);
    }
    return found;
}

static void keep(const Problem *problem, const int *group, int count, Units *offsets) {
    for (int k = 0; k < count; k++) {
        offsets[k] = problem->offsets[group[k]];
        problem->placed[group[k]] = false;
    }
}

/* Place the group in the best of the greedy orders, or the first that meets the bound. */
static Units search_orders(
    Pool *pool, Problem *problem, const int *group, int count, Units bound, Units *offsets, Order *found) {
    int *buffers = pool_take(pool, (size_t)count, sizeof(int));
    Units best = -1;
    for (Order order = BY_SIZE; order < GREEDY_ORDERS && (best < 0 || best > bound); order++) {
        for (int k = 0; k < count; k++) {
            buffers[k] = group[k];
        }
        sort_buffers(pool, problem, buffers, count, order);
        Units extent = place_below(pool, problem, buffers, count, best);
        if (extent >= 0) {
            best = extent;
            *found = order;
            keep(problem, group, count, offsets);
        }
    }
    return best;
}

/* Place the group within the bound, or else closer to it by halves; the best is what it was where nothing is found. */
static Units improve(
    Pool *pool, Problem *problem, const int *group, int count, Units bound, Units best, Units *offsets, Order *found) {
    InTime *ways[2] = {NULL, NULL};
    Units low = bound, limit = bound;
    for (int halving = 0; halving < HALVINGS && limit < best; halving++) {
        bool placed = false;
        for (int k = 0; k < 2 && !placed; k++) {
            Order order = k == 0 ? IN_TIME : BACKWARD;
            ways[k] = ways[k] == NULL ? in_time(pool, problem, group, count, order) : ways[k];
            placed = place_within(pool, ways[k], problem, limit);
            *found = placed ? order : *found;
        }
        if (placed) {
            best = extent_of(problem, group, count);
            keep(problem, group, count, offsets);
        } else {
            low = limit;
        }
        limit = (low + best) / 2;
        if (best <= bound || limit <= low) {
            break;
        }
    }
    return best;
}

Units search_group(Pool *pool, Problem *problem, const int *group, int count, Units bound, Order *found) {
    Units *offsets = pool_take(pool, (size_t)count, sizeof(Units));
    Units best = search_orders(pool, problem, group, count, bound, offsets, found);
    if (best > bound && count > 2) {
        best = improve(pool, problem, group, count, bound, best, offsets, found);
    }
    for (int k = 0; k < count; k++) {
        problem->offsets[group[k]] = offsets[k];
        problem->placed[group[k]] = true;
    }
    return best;
}
