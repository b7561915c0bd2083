"""What every tensor sees of the image: receptive field, where it starts, step between values, in input pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import (
    Add,
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    HardSwish,
    LeakyRelu,
    Logistic,
    Maximum,
    MaxPool2D,
    Minimum,
    Mul,
    Op,
    Pad,
    PRelu,
    Quantize,
    Relu,
    Reshape,
    ResizeBilinear,
    ResizeNearestNeighbor,
    RnnPool,
    Sub,
    Table,
    Tanh,
)
from services.compiler.ir.planned_ops import PullRows, TransposeImage
from services.compiler.ir.tensor import TensorId
from services.compiler.schedule.rows import Window, window

_POINTWISE = (
    Add | Sub | Mul | Maximum | Minimum | Concatenation | Pad
    | HardSwish | LeakyRelu | Logistic | PRelu | PullRows | Quantize | Relu | Table | Tanh
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reach:
    """What a tensor sees of one axis of the input: value i depends on [start + i * step, start + i * step + field),
    of which all that lies on the image and is read at all lies in [low, high).

    Where images are resized these are fractions, and spans that are rounded outwards are exact to within a pixel.
    """

    start: Fraction
    step: Fraction
    field: Fraction
    low: Fraction
    high: Fraction

    def seen(self, first: int, stop: int) -> tuple[Fraction, Fraction]:
        """Return the span of the input that values [first, stop) depend on."""
        return (
            max(self.low, self.start + first * self.step),
            min(self.high, self.start + (stop - 1) * self.step + self.field),
        )

    def through(self, slid: Window, count: int) -> Reach:
        """Return the reach of `count` values that a window makes of this tensor's."""
        low, high = self.seen(*slid.needed(0, count))
        start, field = self.start + slid.offset * self.step, self.field + (slid.extent - 1) * self.step
        return Reach(start, self.step * slid.stride, field, low, high)

    def resized(self, size: int, count: int, *, between: bool) -> Reach:
        """Return the reach of `count` values that `size` of this tensor are resized to; `between` two of them each."""
        field = self.field + (self.step if between else 0)
        return Reach(self.start, self.step * Fraction(size, count), field, self.low, self.high)

    def joined(self, other: Reach) -> Reach:
        """Return what depends on both."""
        start, end = min(self.start, other.start), max(self.start + self.field, other.start + other.field)
        return Reach(start, self.step, end - start, min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True, slots=True)
class Sight:
    """The reaches of a tensor's rows and columns, which are columns and rows of the input where it is `transposed`."""

    rows: Reach
    columns: Reach
    transposed: bool = False

    @property
    def pixels_hw(self) -> tuple[int, int]:
        """The receptive field in whole pixels."""
        return -(-self.rows.field // 1), -(-self.columns.field // 1)

    @property
    def step_hw(self) -> tuple[Fraction, Fraction]:
        """From one value to the next."""
        return self.rows.step, self.columns.step

    def swapped(self) -> Sight:
        """Return what the transposed tensor sees."""
        return Sight(self.columns, self.rows, not self.transposed)


def seen_image(graph: Graph) -> TensorId | None:
    """Return the image that receptive fields are told of: the only input, or what a Reshape alone makes of it, as of
    the one channel of a PyTorch model; floats may be quantized first. None where that is no image.
    """
    if len(graph.inputs) != 1:
        return None
    tensor, readers = graph.inputs[0], graph.consumers()
    reader = _only(readers[tensor])
    if isinstance(reader, Quantize) and isinstance(behind := _only(readers[reader.output]), Reshape):
        reader = behind
    if isinstance(reader, Reshape):
        tensor = reader.output
    return tensor if len(graph.tensors[tensor].shape) == 4 else None


def _only(readers: tuple[Op, ...]) -> Op | None:
    return readers[0] if len(readers) == 1 else None


def receptive_fields(graph: Graph) -> Mapping[TensorId, Sight]:
    """Return the sight of every tensor that is still an image of `seen_image`; padding is looked through.

    Source: Araujo et al., Computing Receptive Fields of Convolutional Neural Networks, Distill 2019.
    """
    if (image := seen_image(graph)) is None:
        return {}
    one, (height, width) = Fraction(1), graph.tensors[image].shape[1:3]
    rows, columns = (Reach(Fraction(0), one, one, Fraction(0), Fraction(size)) for size in (height, width))
    seen = {image: Sight(rows, columns)}
    for op in graph.ops:
        data = [t for t in op.inputs if not graph.tensors[t].is_constant]
        if data and all(t in seen for t in data) and (sight := _through(graph, op, {t: seen[t] for t in data})):
            seen[op.output] = sight
    return seen


def _through(graph: Graph, op: Op, sights: Mapping[TensorId, Sight]) -> Sight | None:
    source = next(iter(sights.values()))
    if any(sight.transposed != source.transposed or sight.step_hw != source.step_hw for sight in sights.values()):
        return None
    match op:
        case TransposeImage():
            return source.swapped()
        case Conv2D() | DepthwiseConv2D() | AveragePool2D() | MaxPool2D() | RnnPool():
            return _slid(graph, op, sights)
        case ResizeNearestNeighbor() | ResizeBilinear():
            (_, *sizes, _), (_, *counts, _) = (graph.tensors[t].shape for t in (op.input, op.output))
            rows, columns = (
                reach.resized(size, count, between=isinstance(op, ResizeBilinear))
                for reach, size, count in zip((source.rows, source.columns), sizes, counts, strict=True)
            )
            return Sight(rows, columns, source.transposed)
        case Concatenation() if op.axis in (1, 2):
            return None  # its values see different parts
        case _ if isinstance(op, _POINTWISE):
            return _slid(graph, op, sights)
        case _:
            return None


def _slid(graph: Graph, op: Op, sights: Mapping[TensorId, Sight]) -> Sight | None:
    """Return what the windows that slide over the inputs see, all of them together."""
    (_, height, width, _), found = graph.tensors[op.output].shape, list[Sight]()
    for tensor, sight in sights.items():
        over_rows, over_columns = (window(graph, op, tensor, axis) for axis in (1, 2))
        if over_rows.whole or over_columns.whole:
            return None
        rows, columns = sight.rows.through(over_rows, height), sight.columns.through(over_columns, width)
        found.append(Sight(rows, columns, sight.transposed))
    first, *others = found
    for other in others:
        first = Sight(first.rows.joined(other.rows), first.columns.joined(other.columns), first.transposed)
    return first
