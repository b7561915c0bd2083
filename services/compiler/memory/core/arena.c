/* What Python calls (native.py). Ranges and rules are rows of 64-bit numbers. */
#include "search.h"

typedef struct {
    Units bound, extent, order;
} Plan;

static Units step_bound(Pool *pool, const Problem *problem) {
    int64_t steps = steps_of(problem);
    Units *needs = pool_take(pool, (size_t)steps, sizeof(Units)), bound = 0;
    step_needs(pool, problem, needs, steps);
    for (int64_t step = 0; step < steps; step++) {
        bound = at_least(bound, needs[step]);
    }
    return bound;
}

static void search(Pool *pool, Problem *problem, Units bound, Plan *plan) {
    Peeled found = peeled(pool, problem, bound);
    Units neediest = -1;
    for (int start = 0, end = 0; start < found.hard_count; start = end) {
        Order order = BY_SIZE;
        end = group_end(problem, &found, start);
        Units extent = search_group(pool, problem, found.hard + start, end - start, bound, &order);
        if (extent > neediest) {
            neediest = extent;
            plan->order = order;
        }
    }
    plan->extent = at_least(neediest, place_below(pool, problem, found.easy, found.easy_count, -1));
}

/* Plan an arena: offsets by buffer, in units, the first found that meets `enough` or, if that is more, the bound. The
 * order is that of the group that reaches farthest, -1 where every buffer is easy.
 */
void plan_arena(
    const Range *ranges, int64_t count, const Rule *rules, int64_t rules_count, Units enough, Plan *plan,
    Units *offsets) {
    Pool pool = {0};
    Problem problem = problem_of(&pool, ranges, count, rules, rules_count);
    problem.offsets = offsets;
    plan->order = -1;
    plan->bound = step_bound(&pool, &problem);
    search(&pool, &problem, at_least(plan->bound, enough), plan);
    pool_free(&pool);
}

/* Write the units that every step up to the last of a range needs. */
void arena_needs(const Range *ranges, int64_t count, const Rule *rules, int64_t rules_count, Units *needs) {
    Pool pool = {0};
    Problem problem = problem_of(&pool, ranges, count, rules, rules_count);
    step_needs(&pool, &problem, needs, steps_of(&problem));
    pool_free(&pool);
}

/* Write by buffer which group it belongs to if it is hard to place within the extent, -1 if it is easy. */
void hard_groups(
    const Range *ranges, int64_t count, const Rule *rules, int64_t rules_count, Units extent, int64_t *groups) {
    Pool pool = {0};
    Problem problem = problem_of(&pool, ranges, count, rules, rules_count);
    Peeled found = peeled(&pool, &problem, extent);
    for (int k = 0; k < found.easy_count; k++) {
        groups[found.easy[k]] = -1;
    }
    int64_t group = 0;
    for (int start = 0, end = 0; start < found.hard_count; start = end, group++) {
        end = group_end(&problem, &found, start);
        for (int k = start; k < end; k++) {
            groups[found.hard[k]] = group;
        }
    }
    pool_free(&pool);
}

/* Place the buffers that are easy within the extent beside the hard ones, which lie at their offsets. */
void place_easy(
    const Range *ranges, int64_t count, const Rule *rules, int64_t rules_count, Units extent, Units *offsets) {
    Pool pool = {0};
    Problem problem = problem_of(&pool, ranges, count, rules, rules_count);
    Peeled found = peeled(&pool, &problem, extent);
    problem.offsets = offsets;
    for (int k = 0; k < found.hard_count; k++) {
        problem.placed[found.hard[k]] = true;
    }
    place_below(&pool, &problem, found.easy, found.easy_count, -1);
    pool_free(&pool);
}
