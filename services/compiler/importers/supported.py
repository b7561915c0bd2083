"""What can be compiled: every operator with its rules, checked here and printed in the documentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from services.compiler.errors import UnsupportedModelError
from services.compiler.importers.rules import arithmetic as a
from services.compiler.importers.rules import rnn_pool as r
from services.compiler.importers.rules import shapes as s
from services.compiler.importers.rules import types as t
from services.compiler.ir import ops
from services.compiler.ir.alone import remembered
from services.compiler.ir.graph import Graph
from services.compiler.ir.node import Node
from services.compiler.ir.tensor import quoted

# Rules of different operators take different operator types; the table pairs them.
Rule = Callable[[Graph, Any], str | None]

_INT8: tuple[Rule, ...] = (t.int8_activations, t.quantized)
_INTEGER: tuple[Rule, ...] = (t.integer_activations, t.quantized)
_WEIGHTS: tuple[Rule, ...] = (
    t.constant_narrow_weights,
    t.symmetric_weights,
    t.constant_bias,
    a.multipliers_fit,
    a.int16_sums_fit,
)
_TABLE: tuple[Rule, ...] = (*_INT8, s.same_shape)
_CURVE: tuple[Rule, ...] = (*_INTEGER, s.same_shape)

RULES: Mapping[type[Node], tuple[Rule, ...]] = {
    ops.Conv2D: (*_INTEGER, s.one_image, s.fits_16_bits, s.conv_shapes, *_WEIGHTS),
    ops.DepthwiseConv2D: (*_INTEGER, s.one_image, s.fits_16_bits, s.conv_shapes, *_WEIGHTS),
    ops.FullyConnected: (*_INTEGER, s.dense_shapes, *_WEIGHTS),
    ops.Add: (*_INTEGER, s.at_most_4_dimensions, s.broadcast_shapes, a.sum_scales),
    ops.Sub: (*_INTEGER, s.at_most_4_dimensions, s.broadcast_shapes, a.sum_scales),
    ops.Mul: (*_INTEGER, s.at_most_4_dimensions, s.broadcast_shapes, a.multipliers_fit),
    ops.Maximum: (*_INT8, s.at_most_4_dimensions, s.broadcast_shapes, a.same_quantization),
    ops.Minimum: (*_INT8, s.at_most_4_dimensions, s.broadcast_shapes, a.same_quantization),
    ops.AveragePool2D: (*_INTEGER, s.one_image, s.fits_16_bits, s.pool_shapes),
    ops.MaxPool2D: (*_INTEGER, s.one_image, s.fits_16_bits, s.pool_shapes),
    ops.Mean: (*_INTEGER, s.at_most_4_dimensions, s.mean_shapes, a.multipliers_fit),
    ops.Sum: (*_INT8, s.at_most_4_dimensions, s.mean_shapes, a.multipliers_fit),
    ops.Pad: (*_INTEGER, s.at_most_4_dimensions, s.pad_shapes),
    ops.Reshape: (t.movable_type, s.same_elements, s.reshape_of_variable_to_output),
    ops.Softmax: (*_CURVE, a.softmax_quantization),
    ops.Logistic: (*_CURVE, a.logistic_quantization),
    ops.Tanh: (*_CURVE, a.tanh_quantization),
    ops.HardSwish: (*_TABLE, a.hard_swish_scales),
    ops.Relu: (*_CURVE, a.multipliers_fit),
    ops.LeakyRelu: (*_TABLE, a.multipliers_fit),
    ops.PRelu: (*_TABLE, s.at_most_4_dimensions, s.broadcast_shapes, t.constant_alpha, a.multipliers_fit),
    ops.Table: (*_TABLE, t.table_of_256),
    ops.Concatenation: (
        *_INTEGER,
        s.at_most_4_dimensions,
        s.concatenation_shapes,
        a.same_quantization,
        a.no_activation,
    ),
    ops.StridedSlice: (*_INTEGER, s.at_most_4_dimensions, s.slice_shapes, s.int16_elements_whole),
    ops.Split: (*_INTEGER, s.at_most_4_dimensions, s.split_shapes),
    ops.Transpose: (*_INT8, s.at_most_4_dimensions, s.transpose_shapes),
    ops.ResizeNearestNeighbor: (*_INT8, s.one_image, s.fits_16_bits, s.resize_shapes),
    ops.RnnPool: (
        *_INT8,
        s.one_image,
        s.fits_16_bits,
        r.rnn_pool_sizes,
        r.rnn_pool_shapes,
        r.rnn_pool_constants,
        r.rnn_pool_ranges,
    ),
    ops.ResizeBilinear: (*_INT8, s.one_image, s.fits_16_bits, s.resize_shapes),
    ops.Quantize: (t.quantize_types, t.quantized, s.same_shape, a.multipliers_fit),
    ops.Dequantize: (t.dequantize_types, t.quantized, s.same_shape),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One operator that cannot be compiled, and why."""

    kind: str
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind} {quoted(self.name)} cannot be compiled: {self.reason}"


def refusals(graph: Graph) -> tuple[Refusal, ...]:
    """Return the first broken rule of every operator that breaks one, in execution order."""
    broken = ((op, _broken_rule(graph, op)) for op in graph.ops if not _obeys(graph, op))
    return tuple(Refusal(op.kind, op.name, reason) for op, reason in broken if reason is not None)


def _obeys(graph: Graph, op: ops.Op) -> bool:
    """Whether the operator is known to obey every rule; that of a reshape looks at the whole graph."""
    return not isinstance(op, ops.Reshape) and _obeys_alone(graph, op)


@remembered
def _obeys_alone(graph: Graph, op: ops.Op) -> bool:
    return _broken_rule(graph, op) is None


def _broken_rule(graph: Graph, op: ops.Op) -> str | None:
    return next(filter(None, (rule(graph, op) for rule in RULES[type(op)])), None)


def check_supported(graph: Graph) -> Graph:
    """Return the graph if every operator can be compiled. Raises UnsupportedModelError naming the first that cannot."""
    for output in graph.outputs:
        if graph.tensors[output].is_constant:
            name = quoted(graph.tensors[output].name)
            raise UnsupportedModelError(f"output {name} is a constant: leave it out of the model", subject=name)
    found = refusals(graph)
    if not found:
        return graph
    more = f" (and {len(found) - 1} more operators)" if len(found) > 1 else ""
    first = found[0]
    raise UnsupportedModelError(f"{first}{more}", subject=f"{first.kind} {first.name}", value=first.reason)


@dataclass(frozen=True, slots=True)
class SupportRow:
    """One operator of the support table: its name, what it does, and the rules that it obeys."""

    operator: str
    summary: str
    rules: tuple[str, ...]


def support_table() -> tuple[SupportRow, ...]:
    """Return every operator with its rules in words: what the documentation and ListSupportedOps print."""
    return tuple(
        SupportRow(kind.__name__, _first_line(kind.__doc__), tuple(_first_line(rule.__doc__) for rule in rules))
        for kind, rules in RULES.items()
    )


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().split("\n", maxsplit=1)[0]
