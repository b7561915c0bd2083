"""Modelled costs of kernel calls: bytes of code, instructions and cycles, linear in counts known from shapes.

The coefficients are measured, a table a core and kernel set in cost_tables/, made by
`python -m benchmarks.cost_table`, which also writes each table's error. Latency is linear in the operations of one
family of layers (MicroNets, MLSys 2021).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from services.compiler.codegen.program import ArenaRef, KernelCall, Layer, Program
from services.compiler.codegen.shapes import nhwc
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import (
    Add,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Maximum,
    MaxPool2D,
    Mean,
    Minimum,
    Mul,
    Op,
    PRelu,
    ResizeBilinear,
    ResizeNearestNeighbor,
    RnnPool,
    Softmax,
    Sub,
    Sum,
)
from services.compiler.ir.tensor import Tensor
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.kernels.source import KernelSource
from services.compiler.kernels.thumb1.files import NEEDS as THUMB1_KERNELS
from services.compiler.kernels.thumb2.files import NEEDS as THUMB2_KERNELS
from services.compiler.options import Core, issue_of
from services.compiler.planned import Planned
from services.compiler.schedule.rows import window
from services.compiler.thumb1_counts import thumb1_counts
from services.compiler.thumb2_counts import source_bytes, thumb2_counts

_FOLDER = Path(__file__).parent / "cost_tables"

Counts = dict[str, float]


@dataclass(frozen=True, slots=True)
class CostTable:
    """What was measured on one core. `function_bytes` and `needs` (functions a kernel links) are exact for the
    compiler named in `source`; `glue_bytes`, `instructions` and `cycles` are fitted coefficients by count.
    """

    source: str
    function_bytes: Mapping[str, int]
    needs: Mapping[str, tuple[str, ...]]
    glue_bytes: Mapping[str, float]
    instructions: Mapping[str, float]
    cycles: Mapping[str, float]
    error: Mapping[str, float]


@cache
def load_cost_table(core: Core, kernels: KernelSet = KernelSet.PORTABLE) -> CostTable:
    """Return the table of a core's kernels, which stand beside the portable ones: its own file goes first."""
    raw = json.loads((_FOLDER / table_file(core, kernels)).read_text(encoding="utf-8"))
    own = CostTable(**{**raw, "needs": {kernel: tuple(names) for kernel, names in raw["needs"].items()}})
    if kernels is KernelSet.PORTABLE:
        return own
    portable = load_cost_table(core)
    return replace(
        own,
        function_bytes={**portable.function_bytes, **own.function_bytes},
        needs={**portable.needs, **own.needs},
        instructions={**portable.instructions, **own.instructions},
        cycles={**portable.cycles, **own.cycles},
    )


def table_file(core: Core, kernels: KernelSet) -> str:
    """Return the file name of a table."""
    own = KernelSet.THUMB2 if kernels is KernelSet.THUMB2_SMALL else kernels
    return f"{core.value}.json" if own is KernelSet.PORTABLE else f"{core.value}-{own.value}.json"


def code_bytes(planned: Planned, core: Core) -> int:
    """Return the bytes of the library's code and the runtime routines that it pulls in."""
    table = load_cost_table(core, planned.kernels)
    program = planned.program
    return linked_bytes(table, program.functions(), program.sources(), glue_counts(program), core)


def linked_bytes(
    table: CostTable, kernels: Iterable[str], sources: Iterable[KernelSource], glue: Counts, core: Core
) -> int:
    """Return the bytes of code that links these kernels and generated files, with glue that counts so much."""
    functions = {name for kernel in ("", *kernels) for name in table.needs[kernel]}
    generated = sum(source_bytes(source, issue_of(core)) for source in sources)
    return sum(table.function_bytes[name] for name in functions) + generated + round(_priced(table.glue_bytes, glue))


def known_code_bytes(planned: Planned, core: Core) -> int | None:
    """Return the same, or None where kernels are newer than what was measured of the core."""
    if not (_FOLDER / table_file(core, planned.kernels)).exists():
        return None
    needs = load_cost_table(core, planned.kernels).needs
    return code_bytes(planned, core) if needs.keys() >= set(planned.program.functions()) else None


@dataclass(frozen=True, slots=True)
class Work:
    """What one inference takes: instructions, and the core's cycles without waiting for memory."""

    instructions: float
    cycles: float


def work(planned: Planned, core: Core) -> Work:
    """Return the modelled work of a planned network."""
    table = load_cost_table(core, planned.kernels)
    turns: dict[int, list[tuple[int, int]]] = {}
    for stage in planned.program.stages:
        for turn in stage.turns:
            turns.setdefault(turn.layer, []).append(turn.rows)
    counts: Counts = {}
    for layer in planned.program.layers:
        for name, count in _layer_work(planned.graph, layer, turns.get(layer.index, [])):
            counts[name] = counts.get(name, 0.0) + count
    return Work(_priced(table.instructions, counts), _priced(table.cycles, counts))


def work_of_calls(graph: Graph, op: Op, calls: tuple[KernelCall, ...], table: CostTable) -> Work:
    """Return the modelled work of a layer that runs at once."""
    counts = layer_counts(graph, op, calls)
    return Work(_priced(table.instructions, counts), _priced(table.cycles, counts))


def _layer_work(graph: Graph, layer: Layer, turns: list[tuple[int, int]]) -> Iterator[tuple[str, float]]:
    if not layer.in_turns:
        yield from layer_counts(graph, graph.ops[layer.op_index], layer.calls).items()
        return
    for kind, times in Counter(_turn_kind(graph, layer, *turn) for turn in turns).items():
        yield from ((name, times * count) for name, count in _turn_counts(graph, layer, kind).items())


def glue_counts(program: Program) -> Counts:
    """Return what the code around the kernels grows with: layers, calls and pointers into the arena."""
    calls = [call for layer in program.layers for call in layer.calls]
    pointers = sum(isinstance(p, ArenaRef) for call in calls for p in call.pointers)
    return {"network": 1, "layers": len(program.layers), "calls": len(calls), "pointers": pointers}


def layer_counts(graph: Graph, op: Op, calls: tuple[KernelCall, ...]) -> Counts:
    """Return the counts that a layer's time is linear in, by names such as `tf_conv2d_s8 macs`."""
    counts: Counts = {}
    for call in calls:
        for name, count in _call_counts(graph, op, call):
            key = f"{call.function} {name}"
            counts[key] = counts.get(key, 0.0) + count
    return counts


def layer_instructions(graph: Graph, layer: Layer, kernels: KernelSet, core: Core) -> float:
    """Return the instructions of a layer that runs at once."""
    prices = load_cost_table(core, kernels).instructions
    return _priced(prices, layer_counts(graph, graph.ops[layer.op_index], layer.calls))


def turn_instructions(graph: Graph, layer: Layer, rows: int, kernels: KernelSet, core: Core) -> float:
    """Return the instructions of a layer that runs in turns of so many rows."""
    return _in_turns(graph, layer, _even_turns(graph, layer, rows), load_cost_table(core, kernels).instructions)


def _even_turns(graph: Graph, layer: Layer, rows: int) -> Iterator[tuple[int, int]]:
    height = graph.tensors[graph.ops[layer.op_index].output].shape[1]
    yield from ((at, min(at + rows, height)) for at in range(0, height, rows))


def _in_turns(graph: Graph, layer: Layer, turns: Iterable[tuple[int, int]], prices: Mapping[str, float]) -> float:
    """Return the price of turns: each as a layer of its own whose image is the rows that it reads."""
    kinds = Counter(_turn_kind(graph, layer, *turn) for turn in turns)
    return sum(times * _priced(prices, _turn_counts(graph, layer, kind)) for kind, times in kinds.items())


@dataclass(frozen=True, slots=True)
class _TurnKind:
    """Rows read of the operator's first input and rows written, and rows of padding above."""

    in_h: int
    out_h: int
    top: int


def _turn_kind(graph: Graph, layer: Layer, start: int, stop: int) -> _TurnKind:
    op = graph.ops[layer.op_index]
    slid = window(graph, op, op.input)
    low, high = slid.needed(start, stop)
    # a turn whose windows lie in the padding altogether reads no row; one is the least that a tensor has
    return _TurnKind(max(1, high - low), stop - start, max(0, -start * slid.stride - slid.offset))


def _turn_counts(graph: Graph, layer: Layer, kind: _TurnKind) -> Counts:
    op = graph.ops[layer.op_index]
    part = {t: _with_rows(graph.tensors[t], kind.in_h) for t in op.inputs if not graph.tensors[t].is_constant}
    part |= {t: _with_rows(graph.tensors[t], kind.out_h) for t in op.outputs}
    if isinstance(op, Conv2D | DepthwiseConv2D):
        op = replace(op, padding=replace(op.padding, top=kind.top))
    calls = (replace(call, region=replace(call.region, rows=(0, kind.out_h))) for call in layer.calls)
    return layer_counts(graph.with_tensors(part), op, tuple(calls))


def _with_rows(tensor: Tensor, rows: int) -> Tensor:
    n, _, w, c = tensor.shape
    return replace(tensor, shape=(n, rows, w, c))


def _priced(prices: Mapping[str, float], counts: Counts) -> float:
    return sum(prices[name] * count for name, count in counts.items())


def _call_counts(graph: Graph, op: Op, call: KernelCall) -> Iterator[tuple[str, float]]:
    yield "calls", 1
    match op:
        case _ if call.function == "tf_limit_s8":
            yield "elements", graph.tensors[op.output].elements
        case _ if call.function in THUMB2_KERNELS:
            yield from thumb2_counts(graph, op, call)
        case _ if call.function in THUMB1_KERNELS:
            yield from thumb1_counts(graph, op, call)
        case Conv2D():
            yield from _conv_counts(graph, op)
        case DepthwiseConv2D():
            yield from _depthwise_counts(graph, op, call)
        case FullyConnected():
            outputs, weights = graph.tensors[op.output].elements, graph.tensors[op.weights]
            yield "outputs", outputs
            yield "macs", outputs * (weights.elements // weights.shape[0])
        case AveragePool2D() | MaxPool2D():
            outputs = graph.tensors[op.output].elements
            yield "pixels", outputs // graph.tensors[op.output].shape[3]
            yield "outputs", outputs
            yield "rows", outputs * op.kernel_hw[0]
            yield "taps", outputs * op.kernel_hw[0] * op.kernel_hw[1]
        case Mean() | Sum():
            yield "outputs", graph.tensors[op.output].elements
            yield "inputs", graph.tensors[op.input].elements
            yield "rows", graph.tensors[op.input].elements // _reduced_run(graph, op)
        case RnnPool():
            yield from _rnn_pool_counts(graph, op)
        case _:
            yield from _movement_counts(graph, op, call)


def _conv_counts(graph: Graph, op: Conv2D) -> Iterator[tuple[str, float]]:
    """Windows that lie inside the image run two filters at once; those that reach over its border do not."""
    channels, kernel_h, kernel_w, in_c = graph.tensors[op.weights].shape
    inside, border = _inside_and_border(graph, op)
    pairs = (channels + 1) // 2
    runs, length = (1, kernel_w * in_c) if op.dilation_hw[1] == 1 else (kernel_w, in_c)
    yield "pixels", inside + border
    yield "pairs", inside * pairs
    yield "rows", inside * pairs * kernel_h
    yield "runs", inside * pairs * kernel_h * runs
    yield "quads", inside * pairs * kernel_h * runs * (length // 4)
    yield "rest", inside * pairs * kernel_h * runs * (length % 4)
    yield "border outputs", border * channels
    yield "border runs", border * channels * kernel_h * runs
    yield "border macs", border * channels * kernel_h * runs * length


def _depthwise_counts(graph: Graph, op: DepthwiseConv2D, call: KernelCall) -> Iterator[tuple[str, float]]:
    _, kernel_h, kernel_w, _ = graph.tensors[op.weights].shape
    _, out_h, out_w, out_c = graph.tensors[op.output].shape
    outputs = out_h * out_w * out_c
    if call.function in ("tf_depthwise_conv2d_s8", "tf_depthwise_conv2d_s4", "tf_depthwise_conv2d_s16"):
        inside, border = _inside_and_border(graph, op)
        for name, pixels in (("", inside), ("border ", border)):
            yield f"{name}pixels", pixels
            yield f"{name}outputs", pixels * out_c
            yield f"{name}rows", pixels * out_c * kernel_h
            yield f"{name}macs", pixels * out_c * kernel_h * kernel_w
        return
    in_c = graph.tensors[op.input].shape[3]
    plane_h = (out_h - 1) * op.stride_hw[0] + (kernel_h - 1) * op.dilation_hw[0] + 1
    plane_w = (out_w - 1) * op.stride_hw[1] + (kernel_w - 1) * op.dilation_hw[1] + 1
    yield "channels", out_c
    yield "plane rows", in_c * plane_h
    yield "plane", in_c * plane_h * plane_w
    yield "output rows", out_c * out_h
    if call.function == "tf_depthwise_conv2d_plane_s4":
        yield "unpacked", out_c * kernel_h * kernel_w
    if (kernel_h, kernel_w) == (3, 3) and op.dilation_hw == (1, 1):
        yield "outputs 3x3", outputs
        return
    yield "outputs", outputs
    yield "rows", outputs * kernel_h
    yield "macs", outputs * kernel_h * kernel_w


def _rnn_pool_counts(graph: Graph, op: RnnPool) -> Iterator[tuple[str, float]]:
    """Sums over pixels and over states; `updates` are elements of a new state."""
    hidden, channels = graph.tensors[op.sweep[0]].shape
    summary = graph.tensors[op.summary[0]].shape[0]
    _, out_h, out_w, _ = graph.tensors[op.output].shape
    patches, pixels = out_h * out_w, out_h * out_w * op.kernel_hw[0] * op.kernel_hw[1]
    summary_steps = patches * 2 * sum(op.kernel_hw)
    yield "patches", patches
    yield "steps", 2 * pixels + summary_steps
    yield "updates", 2 * pixels * hidden + summary_steps * summary
    yield "pixel sums", pixels * hidden
    yield "pixel macs", pixels * hidden * channels
    yield "state sums", 2 * pixels * hidden + summary_steps * 2 * summary
    yield "state macs", 2 * pixels * hidden**2 + summary_steps * summary * (hidden + summary)


def _inside_and_border(graph: Graph, op: Conv2D | DepthwiseConv2D) -> tuple[int, int]:
    """Return how many output pixels see only the image, and how many see padding too."""
    _, in_h, in_w, _ = graph.tensors[op.input].shape
    _, out_h, out_w, _ = graph.tensors[op.output].shape
    _, kernel_h, kernel_w, _ = graph.tensors[op.weights].shape
    starts = (op.padding.top, op.padding.left)
    sizes = ((in_h, out_h, kernel_h), (in_w, out_w, kernel_w))
    inside = 1
    for (size, out, kernel), start, stride, dilation in zip(sizes, starts, op.stride_hw, op.dilation_hw, strict=True):
        last = size - (kernel - 1) * dilation - 1
        inside *= sum(0 <= i * stride - start <= last for i in range(out))
    return inside, out_h * out_w - inside


def _reduced_run(graph: Graph, op: Mean | Sum) -> int:
    shape = graph.tensors[op.input].shape
    return shape[-1] if len(shape) - 1 in op.axes else 1


def _movement_counts(graph: Graph, op: Op, call: KernelCall) -> Iterator[tuple[str, float]]:
    """Element-wise kernels and copies: rows of runs of bytes. A copy's own box tells its runs."""
    if call.function == "tf_copy_s8":
        fields = dict(call.fields())
        size, in_stride, out_stride = fields["size"], fields["in_stride"], fields["out_stride"]
        n, h, w, c = (v for v in size if isinstance(v, int))  # type: ignore[union-attr]
        dense = in_stride[3] == out_stride[3] == 1  # type: ignore[index]
        aligned = dense and c % 4 == 0
        yield "runs", n * h * w
        yield ("aligned bytes" if aligned else "bytes" if dense else "strided bytes"), n * h * w * c
        return
    tensor = graph.tensors[op.output]
    n, h, w, c = nhwc(tensor.shape)
    yield "rows", n * h
    broadcasting = isinstance(op, Add | Sub | Mul | Maximum | Minimum | PRelu)
    if broadcasting or isinstance(op, ResizeNearestNeighbor | ResizeBilinear | Softmax):
        same = len({graph.tensors[t].shape for t in (*op.inputs, op.output)}) == 1
        folded = same and broadcasting
        yield "runs", n * h * (1 if folded else w)
    yield "elements", tensor.elements
