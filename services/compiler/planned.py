"""A network scheduled, placed in memory and lowered to calls: what both C code and estimates are read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import assert_never

from services.compiler.codegen.calls import lower
from services.compiler.codegen.program import Program, Section
from services.compiler.ir.graph import Graph
from services.compiler.kernels.core_files import core_files
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.kernels.portable_set import PARAMS_BYTES
from services.compiler.macs import op_macs
from services.compiler.memory.arena import ArenaPlan, plan_arena
from services.compiler.memory.live_range import LiveRange, live_ranges, resized
from services.compiler.memory.native import step_needs
from services.compiler.memory.overlap import OverlapRule, OverlapRules
from services.compiler.memory.problem import BUFFER_ALIGN
from services.compiler.memory.report import MemoryReport, memory_report
from services.compiler.memory.scratch import affordable_planes, enlarge_scratch, grow_scratch
from services.compiler.schedule.execution_order import order_operators
from services.compiler.schedule.patches import Patches
from services.compiler.schedule.per_layer import per_layer_schedule
from services.compiler.schedule.schedule import BufferKind, Schedule, StageKind
from services.compiler.schedule.staged import patched_schedule, staged_schedule
from services.compiler.schedule.streaming import Stream

_THUMB2 = (KernelSet.THUMB2, KernelSet.THUMB2_SMALL)
# Of the room that a plan leaves: what scratch grows into, or tries to.
_SHARES = (1, 3 / 4, 1 / 2, 1 / 4)
TURN_BYTES = {StageKind.STREAMING: PARAMS_BYTES["tf_turn"], StageKind.PATCH: PARAMS_BYTES["tf_box"]}


@dataclass(frozen=True)
class Planned:
    """Everything that is decided about a network before text is written. Calls are made when they are asked for."""

    graph: Graph
    schedule: Schedule
    ranges: Sequence[LiveRange]
    plan: ArenaPlan
    memory: MemoryReport
    kernels: KernelSet
    rewritten: Program | None = None

    @cached_property
    def program(self) -> Program:
        """The calls of every layer: those lowered from the schedule, or what replaces them."""
        return self.rewritten or lower(self.graph, self.schedule, self.plan, self.kernels)

    def with_program(self, program: Program) -> Planned:
        """Return the plan with other calls."""
        return replace(self, rewritten=program)

    @property
    def kind(self) -> StageKind:
        """The kind of the schedule: that of its stages that are not per-layer, if any is."""
        kinds = [kind for kind in self.schedule.kinds if kind is not StageKind.PER_LAYER]
        return kinds[0] if kinds else StageKind.PER_LAYER

    @property
    def weights_bytes(self) -> int:
        """Bytes of weights and biases in flash; what layers share counts once."""
        return sum(a.size_bytes for a in self.program.arrays(Section.WEIGHTS))

    @property
    def tables_bytes(self) -> int:
        """Bytes of multipliers, look-up tables, parameters, regions and turns in flash, on a 32-bit core."""
        arrays = sum(a.size_bytes for a in self.program.arrays(Section.TABLE))
        params = sum(
            params_bytes(call.params_type, self.kernels) for layer in self.program.layers for call in layer.calls
        )
        regions = PARAMS_BYTES["tf_region"] * len(self.program.regions())
        turns = sum(TURN_BYTES[stage.kind] * len(stage.turns) for stage in self.program.stages)
        return arrays + params + regions + turns

    @property
    def macs(self) -> int:
        """Multiply-accumulates that are done: those of a patch's halo as often as it is computed."""
        return scheduled_macs(self.graph, self.schedule)


def scheduled_macs(graph: Graph, schedule: Schedule) -> int:
    """Return the multiply-accumulates of all steps, by the pixels that their turns compute."""
    total = 0
    for stage in schedule.stages:
        pixels = [0] * len(stage.steps)
        for turn in stage.turns:
            pixels[turn.step] += turn.region.pixels
        for step, done in zip(stage.steps, pixels, strict=True):
            op = graph.ops[step.op_index]
            whole = op_macs(graph, op)
            if step.extent is not None:
                _, height, width, _ = graph.tensors[op.swept].shape
                whole = whole * done // (height * width)
            total += whole
    return total


def plan_network(
    graph: Graph, kernels: KernelSet = KernelSet.PORTABLE, *, exact: bool = True, in_order: bool = False
) -> Planned:
    """Return the graph's per-layer schedule with offsets and calls, in the order of operators that needs least
    memory, or if `in_order` in that of the graph; needs no weights.

    Without `exact` the solver that closes what gaps the heuristics leave is not asked: faster, for searches.
    """
    placed = _placed(graph, kernels, exact)
    if not in_order and (ordered := order_operators(graph, kernels)) is not graph:
        other = _placed(ordered, kernels, exact)
        if other[2].arena_bytes < placed[2].arena_bytes:
            graph, placed = ordered, other
    return _lowered(graph, kernels, *placed)


class StreamPlanner:
    """Plans one network with several choices of streamed stages; what they have in common is worked out once.

    Without `input_in_arena` the network's inputs lie elsewhere, in a camera's buffer for instance: what a plan then
    needs can be known, code for it cannot be made.
    """

    def __init__(self, graph: Graph, kernels: KernelSet, *, input_in_arena: bool = True) -> None:
        self.graph, self.kernels, self._input_in_arena = graph, kernels, input_in_arena
        self._per_layer = per_layer_schedule(graph, kernels)
        self._rules = OverlapRules(graph, kernels)

    def place(self, streams: Sequence[Stream], *, exact: bool, enough_bytes: int = 0) -> Placed:
        """Return the schedule in which these stages are streamed, with offsets of its buffers at their least, or such
        that need no more than `enough_bytes`.
        """
        return self._place(staged_schedule(self.graph, self.kernels, self._per_layer, streams), exact, enough_bytes)

    def needs(self) -> list[int]:
        """Return the bytes that every operator needs where none is streamed."""
        ranges = self.ranges(self._per_layer)
        return [n * BUFFER_ALIGN for n in step_needs(ranges, self._rules_among(self._per_layer, ranges))]

    def place_patches(self, found: Sequence[Patches], streams: Sequence[Stream] = (), *, exact: bool) -> Placed:
        """Return the schedule with these stages in patches and, behind them, others streamed, with offsets of its
        buffers at their least.
        """
        return self._place(patched_schedule(self.graph, self.kernels, self._per_layer, found, streams), exact)

    def ranges(self, schedule: Schedule) -> tuple[LiveRange, ...]:
        """Return the live ranges of what lies in the arena."""
        outside = {b.id for b in schedule.buffers if b.kind is BufferKind.INPUT and not self._input_in_arena}
        return tuple(r for r in live_ranges(schedule) if r.buffer not in outside)

    def _place(self, schedule: Schedule, exact: bool, enough_bytes: int = 0) -> Placed:
        ranges = self.ranges(schedule)
        rules = self._rules_among(schedule, ranges)
        return schedule, ranges, plan_arena(ranges, rules, exact=exact, enough_bytes=enough_bytes)

    def _rules_among(self, schedule: Schedule, ranges: Sequence[LiveRange]) -> tuple[OverlapRule, ...]:
        inside = {r.buffer for r in ranges}
        return tuple(r for r in self._rules.of(schedule) if inside.issuperset((r.source, r.target)))

    def plan_patches(
        self,
        found: Sequence[Patches],
        streams: Sequence[Stream] = (),
        *,
        exact: bool = True,
        known: Placed | None = None,
        room_bytes: int = 0,
    ) -> Planned:
        """Return the plan with these stages in patches and, behind them, others streamed, scratch grown; offsets are
        the known ones unless the solver is asked.
        """
        if known is None or (exact and not room_bytes):
            known = self.place_patches(found, streams, exact=exact and not room_bytes)
        return self._with_more_scratch(known, exact, room_bytes)

    def plan(
        self,
        streams: Sequence[Stream],
        *,
        exact: bool = True,
        known: Placed | None = None,
        is_least: bool = False,
        room_bytes: int = 0,
    ) -> Planned:
        """Return the plan in which these stages are streamed, scratch grown; offsets are the known ones where none
        better are found. Where these are the least that heuristics find, only the solver is asked for better ones.
        """
        asks = exact and not room_bytes  # with a room the solver comes last
        placed = known if known is not None and is_least and not asks else self.place(streams, exact=asks)
        if known is not None and known[2].arena_bytes < placed[2].arena_bytes:
            placed = known
        return self._with_more_scratch(placed, exact, room_bytes)

    def _with_more_scratch(self, placed: Placed, exact: bool, room_bytes: int) -> Planned:
        """Return the plan whose scratch grew into what the room leaves, and into the arena's holes.

        How much the room leaves is what heuristics do: so estimates, which ask no solver, decide the same.
        """
        if room_bytes:
            placed = self._within_room(placed, room_bytes) if self.kernels in _THUMB2 else placed
            placed = min(placed, self._place(placed[0], exact=True), key=_arena_bytes) if exact else placed
        schedule, ranges, plan = placed
        schedule, plan = grow_scratch(self.graph, schedule, ranges, plan, self.kernels)
        return _lowered(self.graph, self.kernels, schedule, live_ranges(schedule), plan)

    def _within_room(self, placed: Placed, room_bytes: int) -> Placed:
        """Return the plan with as much more scratch as lies within the room; less where it does not lie so closely."""
        schedule, ranges, plan = placed
        left = room_bytes - plan.arena_bytes
        for share in _SHARES if left > 0 else ():
            larger = enlarge_scratch(self.graph, schedule, ranges, plan, plan.arena_bytes + int(share * left))
            if larger is schedule:
                break
            other = self._place(larger, exact=False, enough_bytes=room_bytes)
            if _arena_bytes(other) <= room_bytes:
                return other
        return placed


def _arena_bytes(placed: Placed) -> int:
    return placed[2].arena_bytes


def _lowered(
    graph: Graph, kernels: KernelSet, schedule: Schedule, ranges: Sequence[LiveRange], plan: ArenaPlan
) -> Planned:
    return Planned(graph, schedule, ranges, plan, memory_report(schedule, ranges, plan), kernels)


Placed = tuple[Schedule, Sequence[LiveRange], ArenaPlan]


def _placed(graph: Graph, kernels: KernelSet, exact: bool) -> Placed:
    """Return the smallest plan found, then what makes it faster and no or little larger: planes and more scratch."""
    rules, first = OverlapRules(graph, kernels), per_layer_schedule(graph, kernels)
    schedule, ranges, plan = _least(rules, first, live_ranges(first), exact)
    match kernels:
        case KernelSet.PORTABLE:
            if planes := affordable_planes(graph, schedule, ranges, plan.arena_bytes):
                other = per_layer_schedule(graph, kernels, planes)
                faster = _least(OverlapRules(graph, kernels), other, live_ranges(other), exact)
                if faster[2].arena_bytes <= plan.arena_bytes:
                    schedule, ranges, plan = faster
        case KernelSet.THUMB2 | KernelSet.THUMB2_SMALL:
            if (larger := enlarge_scratch(graph, schedule, ranges, plan)) != schedule:
                schedule, ranges, plan = _least(rules, larger, resized(ranges, larger), exact)
            schedule, plan = grow_scratch(graph, schedule, ranges, plan, kernels)
        case KernelSet.THUMB1:
            schedule, plan = grow_scratch(graph, schedule, ranges, plan, kernels)
        case _:
            assert_never(kernels)
    return schedule, resized(ranges, schedule), plan


def _least(rules: OverlapRules, schedule: Schedule, ranges: Sequence[LiveRange], exact: bool) -> Placed:
    return schedule, ranges, plan_arena(ranges, rules.of(schedule), exact=exact)


def params_bytes(params_type: str, kernels: KernelSet) -> int:
    """Return the bytes of a parameter struct on a 32-bit core."""
    own = core_files(kernels)
    known = PARAMS_BYTES if own is None else {**PARAMS_BYTES, **own.params_bytes}
    return known[params_type]
