#include "places.h"

/* Return the rest of a division, never negative. */
static Units rest_of(Units value, Units step) {
    Units rest = value % step;
    return rest < 0 ? rest + step : rest;
}

/* Return the lowest offset from `low` on that a neighbor from `start` on allows. */
static Units above(const Neighbor *neighbor, Units start, Units low) {
    Units found = start + neighbor->size;
    if (neighbor->behind.step != 0) {
        Units over = low + rest_of(start - low, neighbor->behind.step);
        if (start - over >= neighbor->behind.least) {
            found = at_most(found, over);
        }
    }
    if (neighbor->ahead.step != 0) {
        Units over = at_least(low, start + neighbor->ahead.least);
        found = at_most(found, over + rest_of(start - over, neighbor->ahead.step));
    }
    return found;
}

/* Return the highest offset up to `high` that a neighbor which starts there allows. */
static Units below(const Neighbor *neighbor, Units start, Units high, Units size) {
    Units found = start - size;
    if (neighbor->behind.step != 0) {
        Units over = at_most(high, start - neighbor->behind.least);
        found = at_least(found, over - rest_of(over - start, neighbor->behind.step));
    }
    if (neighbor->ahead.step != 0) {
        Units over = high - rest_of(high - start, neighbor->ahead.step);
        if (over - start >= neighbor->ahead.least) {
            found = at_least(found, over);
        }
    }
    return found;
}

Units lowest_place(Units size, const Neighbor *beside, int count, const Units *offsets) {
    Units low = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (const Neighbor *at = beside; at < beside + count; at++) {
            Units start = offsets[at->other];
            if (start < low + size && low < start + at->size) {
                Units next = above(at, start, low);
                moved = moved || next != low;
                low = next;
            }
        }
    }
    return low;
}

Units highest_place(Units size, const Neighbor *beside, int count, const Units *offsets, Units extent) {
    Units high = extent - size;
    for (bool moved = true; moved;) {
        moved = false;
        for (const Neighbor *at = beside; at < beside + count; at++) {
            Units start = offsets[at->other];
            if (start < high + size && high < start + at->size) {
                Units next = below(at, start, high, size);
                moved = moved || next != high;
                high = next;
            }
        }
    }
    return high;
}
