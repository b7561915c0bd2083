"""What every tensor sees of the image: its receptive field and the step between its values, in input pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    ResizeBilinear,
    ResizeNearestNeighbor,
    RnnPool,
    Sub,
    Table,
    Tanh,
)
from services.compiler.ir.planned_ops import PullRows, TransposeImage
from services.compiler.ir.tensor import TensorId
from services.compiler.schedule.rows import window

_POINTWISE = (
    Add | Sub | Mul | Maximum | Minimum | Concatenation | Pad
    | HardSwish | LeakyRelu | Logistic | PRelu | PullRows | Quantize | Relu | Table | Tanh
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sight:
    """Rows and columns of the input that one value depends on, and those from one value to the next: along the rows and
    columns of the tensor, which are columns and rows of the input where it is `transposed`.
    """

    field_hw: tuple[Fraction, Fraction]
    step_hw: tuple[Fraction, Fraction]
    transposed: bool = False

    @property
    def pixels_hw(self) -> tuple[int, int]:
        """The receptive field in whole pixels."""
        return -(-self.field_hw[0] // 1), -(-self.field_hw[1] // 1)

    def swapped(self) -> Sight:
        """Return what the transposed tensor sees."""
        (field_h, field_w), (step_h, step_w) = self.field_hw, self.step_hw
        return Sight((field_w, field_h), (step_w, step_h), not self.transposed)


_ONE = (Fraction(1), Fraction(1))


def receptive_fields(graph: Graph) -> Mapping[TensorId, Sight]:
    """Return the sight of every tensor that is still an image of a single input; padding is looked through.

    Source: Araujo et al., Computing Receptive Fields of Convolutional Neural Networks, Distill 2019.
    """
    images = [t for t in graph.inputs if len(graph.tensors[t].shape) == 4]
    seen = {images[0]: Sight(_ONE, _ONE)} if len(graph.inputs) == len(images) == 1 else {}
    for op in graph.ops:
        data = [t for t in op.inputs if not graph.tensors[t].is_constant]
        if data and all(t in seen for t in data) and (sight := _through(graph, op, [seen[t] for t in data])):
            seen[op.output] = sight
    return seen


def _through(graph: Graph, op: Op, sights: list[Sight]) -> Sight | None:
    source = sights[0]
    if any(sight.transposed != source.transposed for sight in sights):
        return None
    match op:
        case TransposeImage():
            return source.swapped()
        case Conv2D() | DepthwiseConv2D() | AveragePool2D() | MaxPool2D():
            rows, columns = (window(graph, op, op.input, axis) for axis in (1, 2))
            return _windowed(source, (rows.extent - 1, columns.extent - 1), op.stride_hw)
        case RnnPool():
            return _windowed(source, (op.kernel_hw[0] - 1, op.kernel_hw[1] - 1), op.stride_hw)
        case ResizeNearestNeighbor() | ResizeBilinear():
            sizes = [graph.tensors[t].shape for t in (op.input, op.output)]
            step_h, step_w = (source.step_hw[a] * Fraction(sizes[0][1 + a], sizes[1][1 + a]) for a in (0, 1))
            between = 1 if isinstance(op, ResizeBilinear) else 0
            field_h, field_w = (source.field_hw[a] + between * source.step_hw[a] for a in (0, 1))
            return replace(source, field_hw=(field_h, field_w), step_hw=(step_h, step_w))
        case _ if isinstance(op, _POINTWISE):
            field_h, field_w = (max(s.field_hw[a] for s in sights) for a in (0, 1))
            return replace(source, field_hw=(field_h, field_w))
        case _:
            return None


def _windowed(source: Sight, reach_hw: tuple[int, int], stride_hw: tuple[int, int]) -> Sight:
    (field_h, field_w), (step_h, step_w) = source.field_hw, source.step_hw
    return replace(
        source,
        field_hw=(field_h + reach_hw[0] * step_h, field_w + reach_hw[1] * step_w),
        step_hw=(step_h * stride_hw[0], step_w * stride_hw[1]),
    )
