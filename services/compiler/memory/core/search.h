/* Heuristic placement: greedy in several orders, then with backtracking while a gap is left.
 *
 * Source: Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference (2020).
 */
#ifndef TINYFARM_SEARCH_H
#define TINYFARM_SEARCH_H

#include "problem.h"

/* The order in which buffers are placed. */
typedef enum { BY_SIZE, BY_BIRTH, BY_DEATH, BY_AREA, BY_LIFETIME, GREEDY_ORDERS, IN_TIME = GREEDY_ORDERS, BACKWARD } Order;

void sort_buffers(Pool *pool, const Problem *problem, int *buffers, int count, Order order);

/* Give each buffer in turn the lowest offset that is free; return how far they reach. Nothing is placed, and -1 returned,
 * if one of them reaches up to the limit; a negative limit is none.
 */
Units place_below(Pool *pool, Problem *problem, const int *buffers, int count, Units limit);

/* Some buffers by themselves, one after the other in time or backward, as low or as high as each goes. */
typedef struct InTime InTime;
InTime *in_time(Pool *pool, const Problem *problem, const int *group, int count, Order order);

/* Place the group within the extent; nothing is placed, and false returned, if no way is found. */
bool place_within(Pool *pool, InTime *way, Problem *problem, Units extent);

/* Place a group by itself and return how far it reaches; ends at the first placement that meets the bound. */
Units search_group(Pool *pool, Problem *problem, const int *group, int count, Units bound, Order *found);

/* Which buffers are hard to place: all others find a hole whatever the hard ones do, and are placed after them. */
typedef struct {
    int hard_count, easy_count;
    int *hard; /* in the order of their birth */
    int *easy; /* in an order of which each finds a hole beside the hard ones and those before it */
} Peeled;
Peeled peeled(Pool *pool, const Problem *problem, Units extent);

/* Return where the group of hard buffers ends that begins at one: no two groups share a moment. */
int group_end(const Problem *problem, const Peeled *found, int start);

#endif
