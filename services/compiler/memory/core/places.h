/* The lowest and the highest place that is free beside buffers that are placed. */
#ifndef TINYFARM_PLACES_H
#define TINYFARM_PLACES_H

#include "problem.h"

/* Return the lowest offset at which so many units may lie beside neighbors, all of them placed. */
Units lowest_place(Units size, const Neighbor *beside, int count, const Units *offsets);

/* Return the highest offset at which they may lie below the extent; negative if there is none. */
Units highest_place(Units size, const Neighbor *beside, int count, const Units *offsets, Units extent);

#endif
