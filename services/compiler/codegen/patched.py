"""Kernel calls on patches: rows lie as far apart as in the patch's buffer, and columns are not folded into rows."""

from __future__ import annotations

from dataclasses import replace

from services.compiler.codegen.operands import Operands
from services.compiler.codegen.program import Fields, FieldValue, KernelCall
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Add, Maximum, Minimum, Mul, Op, PRelu, Sub
from services.compiler.ir.shapes import nhwc
from services.compiler.ir.tensor import TensorId


def on_patch(graph: Graph, op: Op, operands: Operands, call: KernelCall) -> KernelCall:
    """Return the call with the strides of its operands' buffers."""

    def fields() -> Fields:
        return tuple((name, _value(graph, op, operands, name, value)) for name, value in call.fields())

    return replace(call, fields=fields)


def _value(graph: Graph, op: Op, operands: Operands, name: str, value: FieldValue) -> FieldValue:
    match name:
        case "in_row_stride":
            return operands.row_stride(op.input)
        case "out_row_stride" | "row_stride":
            return operands.row_stride(op.output)
        case "shape" if isinstance(op, Add | Sub | Mul | Maximum | Minimum | PRelu):
            return _broadcast(graph, op, operands)
        case _:
            return value


def _broadcast(graph: Graph, op: Op, operands: Operands) -> Fields:
    """Return the initializer of a `tf_broadcast`: a stride of 0 where an input has the size 1."""
    names = ("in1_stride", op.inputs[0]), ("in2_stride", op.inputs[1]), ("out_stride", op.output)
    strides = ((name, _strides(graph, operands, t)) for name, t in names)
    return ("size", nhwc(graph.tensors[op.output].shape)), *strides


def _strides(graph: Graph, operands: Operands, tensor: TensorId) -> tuple[int, ...]:
    _, h, w, c = nhwc(graph.tensors[tensor].shape)
    found = (1, h, w, c), (0, operands.row_stride(tensor), c, 1)
    return tuple(0 if size == 1 else step for size, step in zip(*found, strict=True))
