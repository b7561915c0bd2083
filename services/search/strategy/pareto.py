"""Pareto order over points whose coordinates are all to be small."""

from __future__ import annotations

from collections.abc import Sequence

Point = tuple[float, ...]


def dominates(a: Point, b: Point) -> bool:
    """Whether a is at least as good as b everywhere and better somewhere."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


def pareto_front(points: Sequence[Point]) -> tuple[int, ...]:
    """Return the indices of the points that no other one dominates, in their order; equal points all stay."""
    return tuple(i for i, p in enumerate(points) if not any(dominates(q, p) for q in points))


def pareto_order(points: Sequence[Point], count: int | None = None) -> tuple[int, ...]:
    """Return the first `count` indices (all if None), front by front, and within a front the loneliest first.

    Source: non-dominated sorting with crowding distance, NSGA-II (Deb et al., 2002).
    """
    remaining = list(range(len(points)))
    order: list[int] = []
    wanted = len(points) if count is None else min(count, len(points))
    while len(order) < wanted:
        front = [remaining[i] for i in pareto_front([points[i] for i in remaining])]
        distances = dict(zip(front, _crowding([points[i] for i in front]), strict=True))
        order += sorted(front, key=lambda i: (-distances[i], i))
        remaining = [i for i in remaining if i not in distances]
    return tuple(order[:wanted])


def _crowding(front: list[Point]) -> list[float]:
    """Side lengths of the box between each point's neighbors; infinite at the ends of every coordinate."""
    distances = [0.0] * len(front)
    for axis in range(len(front[0])):
        along = sorted(range(len(front)), key=lambda i: front[i][axis])
        extent = front[along[-1]][axis] - front[along[0]][axis]
        distances[along[0]] = distances[along[-1]] = float("inf")
        if extent > 0:
            for left, i, right in zip(along, along[1:], along[2:], strict=False):
                distances[i] += (front[right][axis] - front[left][axis]) / extent
    return distances
