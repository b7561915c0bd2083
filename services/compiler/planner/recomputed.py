"""Which images are made twice, so that their means are known without holding them (passes/recompute.py).

It costs time and saves memory only where the image is held when the arena is fullest. So that is what decides: images
are made again, and from farther back, as long as the arena gets smaller. A budget ends that earlier, no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import TensorId
from services.compiler.memory.report import memory_report
from services.compiler.options import Core
from services.compiler.passes.recompute import Checkpoint, checkpoints, image_means, made_again
from services.compiler.planned import Planned, plan_network
from services.compiler.planner.stages import Pieces

# How often images are made again in vain: several may be in the way of a smaller arena.
_PATIENCE = 2


@dataclass(frozen=True, slots=True)
class Recomputed:
    """A network in which the images of some means are made again: by mean from which of its checkpoints, 1 being the
    nearest; 0 holds the image. Rows that are pulled may be `pulled_again` for it.
    """

    original: Graph
    pulled_again: bool
    levels: Mapping[TensorId, int] = field(default_factory=dict)

    def graph(self) -> Graph:
        """Return the graph."""
        return self._made()[0]

    def holding_less(self, live: Set[TensorId]) -> Recomputed | None:
        """Return what holds less of these tensors of the graph: images or checkpoints among them are made from farther
        back. None if there is nothing.
        """
        found = self._made()[1]
        levels = {mean: self.levels.get(mean, 0) for mean in found}
        held = {
            mean: [n for n, t in enumerate(_held(found[mean])) if n >= levels[mean] and t in live] for mean in found
        }
        # what is held only for want of an image made again, as the end of a stage before it, comes after those
        first = {mean: levels[mean] + 1 for mean, places in held.items() if levels[mean] in places}
        behind = {mean: places[0] + 1 for mean, places in held.items() if places}
        return self._with({**levels, **(first or behind)})

    def with_more_in_patches(self, live: Set[TensorId]) -> Recomputed | None:
        """Return what holds less of them, where images are made from the network's input, as patches are: the first one
        that is held there and those before it. None if there is nothing.
        """
        levels = dict(self.levels)
        for mean, found in self._made()[1].items():
            if found[-1].ops and found[-1].tensor not in self.original.inputs:
                return None
            level, levels[mean] = levels.get(mean, 0), len(found)
            if not live.isdisjoint(_held(found)[level:]):
                return self._with(levels)
        return None

    def only_averaged(self) -> tuple[TensorId, ...]:
        """Return the images that are made and held, and that nothing reads but their means."""
        images = {mean: found[0].image for mean, found in self._made()[1].items() if not found[0].ops}
        return tuple(t for mean, t in images.items() if t not in self.original.inputs and not self.levels.get(mean, 0))

    def _with(self, levels: Mapping[TensorId, int]) -> Recomputed | None:
        made = {mean: level for mean, level in levels.items() if level}
        return replace(self, levels=made) if made != self.levels else None

    def _made(self) -> tuple[Graph, Mapping[TensorId, tuple[Checkpoint, ...]]]:
        """Return the graph, and of every mean the checkpoints, if it has any."""
        graph, found = self.original, dict[TensorId, tuple[Checkpoint, ...]]()
        for mean in image_means(self.original):
            if known := checkpoints(graph, mean, pulled_again=self.pulled_again):
                found[mean] = known
                if level := self.levels.get(mean, 0):
                    graph = made_again(graph, mean, known[level - 1])
        return graph, found


class _Chosen(Protocol):
    """What was chosen of the plans of a network."""

    @property
    def planned(self) -> Planned: ...


C = TypeVar("C", bound=_Chosen)


def with_images_made_again(
    pieces: Pieces,
    core: Core,
    room: int | None,
    plan: Callable[[Pieces, bool], C],
    *,
    in_patches: bool,
    exact: bool,
) -> C:
    """Return what `plan` makes of the pieces, or where that needs more than the room, or least memory is asked for, of
    those of the network with images made again, as long as that saves memory.

    `plan` is told whether the solver shall be asked; what is made again is decided without it.
    """
    before = pieces.apart() if exact else pieces
    best = last = _Tried(before, Recomputed(pieces.graph, pulled_again=in_patches), plan(pieces, False))
    known, in_vain = [last.state], 0
    while (room is None or best.arena_bytes > room) and in_vain < _PATIENCE:
        tried = list[_Tried[C]]()
        for state in _holding_less(last, in_patches=in_patches):
            if state is not None and state not in known:
                known.append(state)
                tried.append(_tried(state, pieces, core, plan))
        if not tried:
            break
        last = min(tried, key=lambda t: t.arena_bytes)
        in_vain = 0 if last.arena_bytes < best.arena_bytes else in_vain + 1
        best = min(best, last, key=lambda t: t.arena_bytes)
    return plan(best.before, True) if exact else best.chosen


def _holding_less(last: _Tried[C], *, in_patches: bool) -> Iterator[Recomputed | None]:
    """Yield what holds less where the arena is fullest: of tensors, and with the scratch beside them, which grows into
    what is left but cannot always be as little as that. Of images that are only averaged also where they are in the way
    of cuts that need less; in patches of the first image of all others, too.
    """
    state, planned, pieces = last.state, last.chosen.planned, last.before
    fullest = _live_at_peak(planned, with_scratch=False)
    averaged = set(state.only_averaged())
    in_the_way = {t for t in averaged if pieces.least_memory_without(t) < pieces.least_memory(0)}
    if in_patches:
        yield state.with_more_in_patches(state.graph().tensors.keys() - averaged | in_the_way)
        yield state.with_more_in_patches(fullest)
    yield state.holding_less(fullest)
    yield state.holding_less(_live_at_peak(planned, with_scratch=True))
    if in_the_way:
        yield state.holding_less(in_the_way)


@dataclass(frozen=True, slots=True)
class _Tried(Generic[C]):
    """A network with some images made again, what was chosen of its plans, and its pieces as they were before that."""

    before: Pieces
    state: Recomputed
    chosen: C

    @property
    def arena_bytes(self) -> int:
        return self.chosen.planned.plan.arena_bytes


def _tried(state: Recomputed, pieces: Pieces, core: Core, plan: Callable[[Pieces, bool], C]) -> _Tried[C]:
    own = Pieces(plan_network(state.graph(), pieces.kernels, exact=False, in_order=True), core)
    return _Tried(own.apart(), state, plan(own, False))


def _held(found: Sequence[Checkpoint]) -> tuple[TensorId, ...]:
    """Return by level what is held for a mean and can be made again: the image, or a checkpoint but the last."""
    return found[0].image, *(c.tensor for c in found[:-1])


def _live_at_peak(planned: Planned, *, with_scratch: bool) -> set[TensorId]:
    """Return the tensors that live where they, or they and scratch, need most memory."""
    tensors = {b.id: b.tensors for b in planned.schedule.buffers}
    held = [r for r in planned.ranges if tensors[r.buffer]]
    live = memory_report(planned.schedule, planned.ranges if with_scratch else held, planned.plan).live_bytes
    full = [step for step, size in enumerate(live) if size == max(live)]
    return {t for r in held if any(r.first <= step <= r.last for step in full) for t in tensors[r.buffer]}
