#include "search.h"

/* The n others that live with a buffer leave at most n + 1 holes, the largest of them at least their mean. */
static bool finds_hole(Units extent, Units beside, Units size, int others) {
    return extent - beside > (size - 1) * (others + 1);
}

Peeled peeled(Pool *pool, const Problem *problem, Units extent) {
    size_t room = (size_t)problem->count;
    Peeled found = {.hard = pool_take(pool, room, sizeof(int)), .easy = pool_take(pool, room, sizeof(int))};
    int *waiting = pool_take(pool, room, sizeof(int)), *others = pool_take(pool, room, sizeof(int)), top = 0;
    bool *is_easy = pool_take(pool, room, sizeof(bool));
    Units *beside = pool_take(pool, room, sizeof(Units));
    for (int b = 0; b < problem->count; b++) {
        others[b] = problem->first_neighbor[b + 1] - problem->first_neighbor[b];
        for (int at = problem->first_neighbor[b]; at < problem->first_neighbor[b + 1]; at++) {
            beside[b] += problem->neighbors[at].size;
        }
        is_easy[b] = finds_hole(extent, beside[b], problem->sizes[b], others[b]);
        if (is_easy[b]) {
            waiting[top++] = b;
        }
    }
    while (top > 0) {
        int b = waiting[--top];
        found.easy_count++;
        found.easy[problem->count - found.easy_count] = b; /* what is peeled first is placed last */
        for (int at = problem->first_neighbor[b]; at < problem->first_neighbor[b + 1]; at++) {
            int other = problem->neighbors[at].other;
            if (is_easy[other]) {
                continue;
            }
            others[other]--;
            beside[other] -= problem->sizes[b];
            if (finds_hole(extent, beside[other], problem->sizes[other], others[other])) {
                is_easy[other] = true;
                waiting[top++] = other;
            }
        }
    }
    found.easy += problem->count - found.easy_count;
    for (int b = 0; b < problem->count; b++) {
        if (!is_easy[b]) {
            found.hard[found.hard_count++] = b;
        }
    }
    sort_buffers(pool, problem, found.hard, found.hard_count, BY_BIRTH);
    return found;
}

int group_end(const Problem *problem, const Peeled *found, int start) {
    int64_t stop = problem->ranges[found->hard[start]].last;
    int at = start + 1;
    while (at < found->hard_count && problem->ranges[found->hard[at]].first <= stop) {
        stop = at_least(stop, problem->ranges[found->hard[at++]].last);
    }
    return at;
}
