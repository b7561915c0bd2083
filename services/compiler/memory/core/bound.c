#include "problem.h"

int64_t steps_of(const Problem *problem) {
    int64_t steps = 1;
    for (int b = 0; b < problem->count; b++) {
        steps = at_least(steps, problem->ranges[b].last + 1);
    }
    return steps;
}

/* Return the most units that a source and its target can have in common. */
static Units shared_by(const Problem *problem, const Pair *pair) {
    Units source = problem->sizes[pair->source], target = problem->sizes[pair->target];
    return at_least(0, at_most(at_most(source, target), target - pair->shift.least));
}

static Units added(Units *sum, Units limit, Units units) {
    Units before = *sum;
    *sum = at_most(limit, before + units);
    return *sum - before;
}

/* Return the units that the buffers of one step share at most. A target shares no more than its own size with all its
 * sources together, and so does a source with its targets.
 */
static Units shared_at(const Problem *problem, int64_t step, Units *of_sources, Units *of_targets) {
    Units by_source = 0, by_target = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (const Pair *pair = problem->pairs; pair < problem->pairs + problem->pairs_count; pair++) {
            int source = pair->source, target = pair->target;
            if (step < problem->ranges[target].first || step > problem->ranges[source].last) {
                continue;
            }
            if (pass == 0) {
                of_sources[source] = of_targets[target] = 0;
                continue;
            }
            Units units = shared_by(problem, pair);
            by_source += added(&of_sources[source], problem->sizes[source], units);
            by_target += added(&of_targets[target], problem->sizes[target], units);
        }
    }
    return at_most(by_source, by_target);
}

void step_needs(Pool *pool, const Problem *problem, Units *needs, int64_t steps) {
    Units *changes = pool_take(pool, (size_t)steps + 1, sizeof(Units));
    Units *of_sources = pool_take(pool, (size_t)problem->count, sizeof(Units));
    Units *of_targets = pool_take(pool, (size_t)problem->count, sizeof(Units));
    for (int b = 0; b < problem->count; b++) {
        changes[problem->ranges[b].first] += problem->sizes[b];
        changes[problem->ranges[b].last + 1] -= problem->sizes[b];
    }
    Units live = 0;
    for (int64_t step = 0; step < steps; step++) {
        live += changes[step];
        needs[step] = live - shared_at(problem, step, of_sources, of_targets);
    }
}
