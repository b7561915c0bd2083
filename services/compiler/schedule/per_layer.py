"""The per-layer schedule: every operator once, in the graph's order, over its whole output."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import DepthwiseConv2D, Op, Reshape, RnnPool
from services.compiler.ir.planned_ops import PullRows, TransposeImage
from services.compiler.ir.tensor import DType, TensorId
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.schedule.access_order import overlaps
from services.compiler.schedule.core_kernels import scratch_sizes
from services.compiler.schedule.schedule import Buffer, BufferId, BufferKind, Schedule, Stage, StageKind, Step


def per_layer_schedule(graph: Graph, kernels: KernelSet = KernelSet.PORTABLE, planes: Collection[int] = ()) -> Schedule:
    """Return the schedule in which a reshape costs nothing: both sides of it name the same buffer.

    `planes` are operators (depthwise convolutions) that get a plane even where it does not save memory: it is faster.
    """
    roots = alias_roots(graph)
    tensor_buffers = _tensor_buffers(graph, roots)
    held = {t: b.id for b in tensor_buffers for t in b.tensors}
    scratches: list[Buffer] = []
    steps: list[Step] = []
    for index, op in enumerate(graph.ops):
        if isinstance(op, Reshape):
            continue
        scratch_bytes = _scratch_bytes(graph, op, index, roots, kernels)
        if not scratch_bytes and index in planes and isinstance(op, DepthwiseConv2D):
            scratch_bytes = plane_bytes(graph, op)
        scratch = len(tensor_buffers) + len(scratches) if scratch_bytes else None
        if scratch is not None:
            scratches.append(Buffer(scratch, f"scratch of {op.name}", BufferKind.SCRATCH, scratch_bytes))
        steps.append(Step(index, _holding(held, op.inputs), _holding(held, op.outputs), scratch))
    stage = Stage(StageKind.PER_LAYER, tuple(steps))
    return Schedule(graph.name, (*tensor_buffers, *scratches), (stage,), _holding(held, graph.outputs))


def _holding(held: Mapping[TensorId, BufferId], tensors: Iterable[TensorId]) -> tuple[BufferId, ...]:
    """Return the buffers that hold these tensors, once each; constants and what the caller keeps are in none."""
    found = [held[t] for t in tensors if t in held]
    return tuple(found) if len(found) < 2 else tuple(dict.fromkeys(found))


def alias_roots(graph: Graph) -> dict[TensorId, TensorId]:
    """Return for every tensor the tensor whose bytes it is: its own, or another's that was reshaped or transposed."""
    roots = {t: t for t in graph.tensors}
    for op in graph.ops:
        if isinstance(op, Reshape | TransposeImage):
            roots[op.output] = roots[op.input]
    return roots


def plane_bytes(graph: Graph, op: DepthwiseConv2D, extent: tuple[int, int] | None = None) -> int:
    """Return the scratch of the in-place depthwise kernel: one padded input channel, and its filter if it is packed.

    `extent` are the output rows and columns that one call computes, all if None.
    """
    _, height, width, _ = graph.tensors[op.output].shape
    out_h, out_w = extent or (height, width)
    _, kernel_h, kernel_w, _ = graph.tensors[op.weights].shape
    height = (out_h - 1) * op.stride_hw[0] + (kernel_h - 1) * op.dilation_hw[0] + 1
    width = (out_w - 1) * op.stride_hw[1] + (kernel_w - 1) * op.dilation_hw[1] + 1
    return height * width + (kernel_h * kernel_w if graph.tensors[op.weights].dtype is DType.INT4 else 0)


def rnn_pool_scratch_bytes(graph: Graph, op: RnnPool) -> int:
    """Return the size of a patch's states: sums, next state, one state of each row and column, the summary's."""
    hidden, summary = graph.tensors[op.sweep[0]].shape[0], graph.tensors[op.summary[0]].shape[0]
    return 6 * max(hidden, summary) + 2 * (sum(op.kernel_hw) * hidden + summary)


def transpose_scratch_bytes(graph: Graph, op: TransposeImage) -> int:
    """Return the size of a bit for every pixel of the image."""
    _, height, width, _ = graph.tensors[op.output].shape
    return (height * width + 7) // 8


def pulled_scratch_bytes(graph: Graph, op: PullRows) -> int:
    """Return the size of a row as it comes, where it is quantized on its way."""
    source = graph.tensors[op.input]
    return source.size_bytes // source.shape[1] if source.dtype is not graph.tensors[op.output].dtype else 0


def _tensor_buffers(graph: Graph, roots: dict[TensorId, TensorId]) -> tuple[Buffer, ...]:
    """Return one buffer a set of aliased tensors, inputs first, in the order of their writing.

    An input that is pulled lies with the caller: what is held of it is the input here.
    """
    pulled: dict[TensorId, list[TensorId]] = {}
    for op in graph.ops:
        if isinstance(op, PullRows):
            pulled.setdefault(op.input, []).append(op.output)
    inputs = {t for t in graph.inputs if t not in pulled} | {t for held in pulled.values() for t in held}
    tensors, members = graph.tensors, dict[TensorId, dict[TensorId, None]]()
    for t in (*graph.inputs, *(t for op in graph.ops for t in op.outputs)):
        root = roots[t]
        if t not in pulled and not tensors[root].is_constant:
            members.setdefault(root, {})[t] = None
    return tuple(
        [
            Buffer(
                number,
                tensors[root].name,
                BufferKind.INPUT if root in inputs else BufferKind.ACTIVATION,
                max([tensors[t].size_bytes for t in held]),
                tuple(held),
            )
            for number, (root, held) in enumerate(members.items())
        ]
    )


def _scratch_bytes(graph: Graph, op: Op, index: int, roots: dict[TensorId, TensorId], kernels: KernelSet) -> int:
    """Return the least scratch of the operator's kernel; 0 where it needs none."""
    if isinstance(op, RnnPool):
        return rnn_pool_scratch_bytes(graph, op)
    if isinstance(op, TransposeImage):
        return transpose_scratch_bytes(graph, op)
    if isinstance(op, PullRows):
        return pulled_scratch_bytes(graph, op)
    sizes = scratch_sizes(graph, op, kernels)
    return sizes[0] if sizes else _plane_bytes(graph, op, index, roots)


def _plane_bytes(graph: Graph, op: Op, index: int, roots: dict[TensorId, TensorId]) -> int:
    """Return the scratch of the in-place depthwise convolution where it is possible and saves memory over the
    kernel without scratch, whose output may start some rows below its input.

    Channel by channel, an output of any height and width may take the input's place: element i of either belongs
    to channel i mod C, so a channel's outputs overwrite that channel's inputs only, and those are in the plane.
    """
    if not isinstance(op, DepthwiseConv2D):
        return 0
    source, result = graph.tensors[op.input], graph.tensors[op.output]
    if source.dtype is not DType.INT8 or source.shape[3] != result.shape[3] or _lives_on(graph, op, index, roots):
        return 0
    scratch = plane_bytes(graph, op)
    distance = min((o.distance_bytes for o in overlaps(graph, op, KernelSet.PORTABLE, 0)), default=result.size_bytes)
    beside = max(result.size_bytes, source.size_bytes + min(distance, result.size_bytes))
    return scratch if max(source.size_bytes, result.size_bytes) + scratch < beside else 0


def _lives_on(graph: Graph, op: Op, index: int, roots: dict[TensorId, TensorId]) -> bool:
    """Whether the operator's input is a constant, an output of the network, or read again later."""
    root = roots[op.input]
    later = {roots[t] for other in graph.ops[index + 1 :] if not isinstance(other, Reshape) for t in other.inputs}
    return graph.tensors[root].is_constant or root in later or root in {roots[t] for t in graph.outputs}
