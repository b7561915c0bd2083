/* Placement in the order of time, within a given extent, as low or as high as a buffer goes, with backtracking.
 *
 * Few buffers live at a time, and what follows depends on where these lie alone: places of theirs that led nowhere are
 * not tried again. Outputs that grow over their inputs lie one below the other until one has to start high again, which
 * greedy orders find by chance only.
 */
#include "places.h"
#include "search.h"

#include <stdlib.h>
#include <string.h>

/* buffers placed until a search is given up */
enum { MOST_PLACED = 300 };
/* of a table of places that led nowhere, no more than a quarter in use */
enum { SLOTS = 2048 };

typedef enum { LOWEST, HIGHEST, NO_PLACE } Choice;

/* A buffer and its neighbors that come before it: where they lie decides what follows. */
typedef struct {
    int buffer, beside_count;
    const Neighbor *beside;
    Choice next;
    Units lowest;
} Level;

/* Where the neighbors of the buffer of a level lay when no place of it led on. */
typedef struct {
    int level;
    Units *places;
} Failure;

struct InTime {
    int count;
    Level *levels;
    Units *offsets; /* by level */
};

InTime *in_time(Pool *pool, const Problem *problem, const int *group, int count, Order order) {
    InTime *way = pool_take(pool, 1, sizeof(InTime));
    way->count = count;
    way->levels = pool_take(pool, (size_t)count, sizeof(Level));
    way->offsets = pool_take(pool, (size_t)count, sizeof(Units));
    int *buffers = pool_take(pool, (size_t)count, sizeof(int));
    int *place = pool_take(pool, (size_t)problem->count, sizeof(int)); /* one more than the level; 0: comes later */
    memcpy(buffers, group, (size_t)count * sizeof(int));
    sort_buffers(pool, problem, buffers, count, order);
    for (int k = 0; k < count; k++) {
        int first = problem->first_neighbor[buffers[k]], end = problem->first_neighbor[buffers[k] + 1], found = 0;
        Neighbor *beside = pool_take(pool, (size_t)(end - first), sizeof(Neighbor));
        for (int at = first; at < end; at++) {
            if (place[problem->neighbors[at].other] != 0) {
                beside[found] = problem->neighbors[at];
                beside[found++].other = place[problem->neighbors[at].other] - 1;
            }
        }
        way->levels[k] = (Level){.buffer = buffers[k], .beside_count = found, .beside = beside};
        place[buffers[k]] = k + 1;
    }
    return way;
}

static bool is_failure(const Failure *failure, const InTime *way, int level) {
    const Level *at = &way->levels[level];
    if (failure->level != level) {
        return false;
    }
    for (int k = 0; k < at->beside_count; k++) {
        if (failure->places[k] != way->offsets[at->beside[k].other]) {
            return false;
        }
    }
    return true;
}

/* Return where the table tells that a level led nowhere, or an unused place for it. */
static Failure *slot_of(Failure *table, const InTime *way, int level) {
    const Level *at = &way->levels[level];
    uint64_t hash = (uint64_t)level;
    for (int k = 0; k < at->beside_count; k++) {
        hash = (hash ^ (uint64_t)way->offsets[at->beside[k].other]) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 29;
    }
    Failure *found = &table[hash % SLOTS];
    while (found->places != NULL && !is_failure(found, way, level)) {
        found = found + 1 == table + SLOTS ? table : found + 1;
    }
    return found;
}

static void note_failure(Pool *pool, Failure *table, const InTime *way, int level) {
    const Level *at = &way->levels[level];
    Failure *slot = slot_of(table, way, level);
    if (slot->places == NULL) {
        *slot = (Failure){level, pool_take(pool, (size_t)at->beside_count, sizeof(Units))};
        for (int k = 0; k < at->beside_count; k++) {
            slot->places[k] = way->offsets[at->beside[k].other];
        }
    }
}

/* Move the buffer of a level to its next place: the lowest that is free, then the highest; false if there is none. */
static bool next_place(InTime *way, int level, const Units *sizes, Units extent) {
    Level *at = &way->levels[level];
    Units size = sizes[at->buffer];
    if (at->next == LOWEST) {
        at->lowest = lowest_place(size, at->beside, at->beside_count, way->offsets);
        at->next = at->lowest + size <= extent ? HIGHEST : NO_PLACE;
        way->offsets[level] = at->lowest;
        return at->next == HIGHEST;
    }
    if (at->next == HIGHEST) {
        at->next = NO_PLACE;
        way->offsets[level] = highest_place(size, at->beside, at->beside_count, way->offsets, extent);
        return way->offsets[level] > at->lowest;
    }
    return false;
}

static bool place_levels(Pool *pool, InTime *way, const Units *sizes, Units extent) {
    Failure *table = pool_take(pool, SLOTS, sizeof(Failure));
    int level = 0;
    way->levels[0].next = LOWEST;
    for (int tries = 0; tries < MOST_PLACED; tries++) {
        while (!next_place(way, level, sizes, extent)) {
            note_failure(pool, table, way, level);
            if (level-- == 0) {
                return false;
            }
        }
        if (level + 1 == way->count) {
            return true;
        }
        if (slot_of(table, way, level + 1)->places == NULL) {
            way->levels[++level].next = LOWEST;
        }
    }
    return false;
}

bool place_within(Pool *pool, InTime *way, Problem *problem, Units extent) {
    if (!place_levels(pool, way, problem->sizes, extent)) {
        return false;
    }
    for (int k = 0; k < way->count; k++) {
        problem->offsets[way->levels[k].buffer] = way->offsets[k];
    }
    return true;
}
