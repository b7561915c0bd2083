"""Call of the RNNPool kernel."""

from __future__ import annotations

import numpy as np

from services.compiler.codegen.operands import Operands
from services.compiler.codegen.program import ArrayRef, ConstArray, CType, Fields, KernelCall, Section, Values
from services.compiler.codegen.shapes import whole
from services.compiler.codegen.weighted import window_fields
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import RnnPool
from services.compiler.ir.shapes import row_stride
from services.compiler.ir.tensor import TensorId
from services.compiler.quant.folding import constant_data
from services.compiler.quant.rnn_pool import CellParams, sigmoid_table, summary_params, sweep_params
from services.compiler.quant.values import quant_of

_Cell = tuple[TensorId, TensorId, TensorId]
_Arrays = tuple[ConstArray, ConstArray, ConstArray, ConstArray]


def rnn_pool_call(graph: Graph, op: RnnPool, operands: Operands) -> KernelCall:
    """Return the call of an RNNPool layer."""
    label = operands.label
    table = ConstArray(f"{label}_sigmoid", Section.TABLE, CType.INT16, 257, sigmoid_table)
    sweep = _arrays(graph, op.sweep, f"{label}_sweep", quant_of(graph, op.input).zero_point[0])
    summary = _arrays(graph, op.summary, f"{label}_summary", 0)

    def fields() -> Fields:
        return (
            ("sigmoid", ArrayRef(table)),
            ("sweep", _cell_fields(graph, op.sweep, sweep, sweep_params(graph, op))),
            ("summary", _cell_fields(graph, op.summary, summary, summary_params(graph, op))),
            ("in_row_stride", row_stride(graph, op.input)),
            ("out_row_stride", row_stride(graph, op.output)),
            ("window", window_fields(graph, op)),
        )

    pointers = operands.read(op.input), operands.write(op.output), operands.needed_scratch(CType.INT32)
    region = whole(graph.tensors[op.output])
    arrays = (table, *sweep, *summary)
    return KernelCall("tf_rnn_pool_s8", "tf_rnn_pool_s8_params", fields, arrays, pointers, region)


def _arrays(graph: Graph, cell: _Cell, label: str, zero_point: int) -> _Arrays:
    """Return input weights, recurrent weights, offsets and biases of a cell."""
    weights, recurrent, bias = cell
    hidden = graph.tensors[recurrent].shape[0]

    def offset() -> Values:
        sums: Values = constant_data(graph, weights).astype(np.int64).sum(axis=1)
        return (-zero_point * sums).astype(np.int32)

    return (
        _constant(graph, weights, label, CType.INT8),
        _constant(graph, recurrent, f"{label}_recurrent", CType.INT8),
        ConstArray(f"{label}_offset", Section.WEIGHTS, CType.INT32, hidden, offset),
        _constant(graph, bias, f"{label}_bias", CType.INT32),
    )


def _constant(graph: Graph, tensor: TensorId, label: str, ctype: CType) -> ConstArray:
    elements = graph.tensors[tensor].elements
    return ConstArray(label, Section.WEIGHTS, ctype, elements, lambda: constant_data(graph, tensor).ravel())


def _cell_fields(graph: Graph, cell: _Cell, arrays: _Arrays, params: CellParams) -> Fields:
    """Return the initializer of a `tf_fast_grnn`."""
    hidden, inputs = graph.tensors[cell[0]].shape
    names = "weights", "recurrent", "offset", "bias"
    return (
        *((name, ArrayRef(array)) for name, array in zip(names, arrays, strict=True)),
        ("multiplier", params.input.value),
        ("recurrent_multiplier", params.recurrent.value),
        ("zeta", params.zeta),
        ("nu", params.nu),
        ("inputs", inputs),
        ("hidden", hidden),
        ("shift", params.input.shift),
        ("recurrent_shift", params.recurrent.shift),
    )
