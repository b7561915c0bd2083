"""What streamed stages of a network need and cost, from sums that all its stages share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate

from services.compiler.ir.alone import remembered
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Op
from services.compiler.ir.tensor import TensorId
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.layer_cost import InTurns, Setting, layer_cost
from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.problem import BUFFER_ALIGN, aligned
from services.compiler.options import Core
from services.compiler.schedule.row_turns import Progress, RowTurns
from services.compiler.schedule.rows import is_row_wise
from services.compiler.schedule.schedule import StageKind
from services.compiler.schedule.staged import turn_scratch_bytes
from services.compiler.schedule.streaming import Streams


@dataclass(frozen=True, slots=True)
class StageFacts:
    """Bytes of arena beside a stage, those of its rings alone, and modelled instructions."""

    need_bytes: int
    rings_bytes: int
    instructions: float


class StageNeeds:
    """Facts of stages; `ranges` are those of whole tensors in the per-layer plan, `steps` what place operators have."""

    def __init__(
        self,
        graph: Graph,
        kernels: KernelSet,
        core: Core,
        ranges: Mapping[TensorId, LiveRange],
        steps: Mapping[int, int],
    ) -> None:
        self._graph, self._kernels, self._core = graph, kernels, core
        self._ranges, self._steps = ranges, steps
        self.streams = Streams(graph)
        self._row_wise = [is_row_wise(graph, op) for op in graph.ops]
        self._born, self._dead = _sums({r.buffer: r for r in ranges.values()}.values(), len(steps) + 2)
        self._by_rows: dict[int, tuple[list[int], list[float]]] = {}

    def whole_bytes(self, first: int, last: int) -> int:
        """Return the bytes of whole tensors that live at any of these steps."""
        return self._born[last] - self._dead[first]

    def facts(self, start: int, stop: int, rows: int) -> StageFacts:
        """Return what lives beside the fullest operator: rings, scratch, and whole tensors throughout; and the cost."""
        found = self.streams.turns(start, stop, rows)
        scratches, costs = self._scratch_and_costs(rows)
        first, last = self._steps[start], self._steps[stop - 1]
        whole, rings_bytes, beside = self.whole_bytes(first, last), 0, scratches[start:stop]
        for ring in found.rings:
            number = self.streams.tensor(start, ring.tensor)
            tensor = self._graph.tensors[number]
            tensor_bytes = tensor.size_bytes
            size = aligned(ring.rows * (tensor_bytes // tensor.shape[1]))
            if number in self._ranges:
                whole -= aligned(tensor_bytes)
            rings_bytes += size
            for step in range(ring.first, ring.last + 1):
                beside[step] += size
        need = whole - self._shared(found, start, last) + max(beside)
        return StageFacts(need, rings_bytes, costs[stop] - costs[start])

    def _shared(self, found: RowTurns, start: int, last: int) -> int:
        """Return the bytes that a whole output may share with an input that the stage uses up."""
        return max((self._shared_by(progress, start, last) for progress in found.progress), default=0)

    def _shared_by(self, progress: Progress, start: int, last: int) -> int:
        source, target = (self._ranges.get(self.streams.tensor(start, t)) for t in (progress.source, progress.target))
        if source is None or target is None or source.last > last:
            return 0
        size = target.size_bytes
        most = min(source.size_bytes, size, size - self.streams.behind(start, progress))
        return max(0, most // BUFFER_ALIGN * BUFFER_ALIGN)

    def _scratch_and_costs(self, rows: int) -> tuple[list[int], list[float]]:
        """Return every operator's scratch at turns of so many rows, and the sums of the instructions before it."""
        if rows not in self._by_rows:
            known = [
                _in_turns(self._graph, op, self._kernels, self._core, rows) if is_row_wise else (0, 0.0)
                for op, is_row_wise in zip(self._graph.ops, self._row_wise, strict=True)
            ]
            self._by_rows[rows] = [s for s, _ in known], [0.0, *accumulate(cost for _, cost in known)]
        return self._by_rows[rows]


def _sums(ranges: Iterable[LiveRange], steps: int) -> tuple[list[int], list[int]]:
    """Return for every step the bytes of what was born until then, and of what died before it."""
    born, dead = [0] * (steps + 1), [0] * (steps + 1)
    for r in ranges:
        size = aligned(r.size_bytes)
        born[r.first] += size
        dead[min(r.last + 1, steps)] += size
    return list(accumulate(born)), list(accumulate(dead))


@remembered
def _in_turns(graph: Graph, op: Op, kernels: KernelSet, core: Core, rows: int) -> tuple[int, float]:
    """Return the scratch and the instructions of an operator that computes so many rows at a turn."""
    _, height, width, _ = graph.tensors[op.output].shape
    boxes = tuple(((at, min(at + rows, height)), (0, width)) for at in range(0, height, rows))
    turns = InTurns(StageKind.STREAMING, (min(rows, height), width), boxes)
    scratch_bytes = turn_scratch_bytes(graph, op, kernels, turns.extent)
    return aligned(scratch_bytes), layer_cost(graph, op, Setting(kernels, core, scratch_bytes, turns)).instructions
