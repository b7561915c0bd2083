"""Limits of a fused activation that the cores' own kernels do not apply while they store."""

from __future__ import annotations

from services.compiler.codegen.operands import Operands
from services.compiler.codegen.program import Fields, KernelCall
from services.compiler.codegen.shapes import whole
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Add, Mul, Sub
from services.compiler.ir.shapes import nhwc, row_stride
from services.compiler.quant.folding import Weighted
from services.compiler.quant.requantize import activation_range
from services.compiler.quant.values import quant_of


def limit_calls(graph: Graph, op: Weighted | Add | Sub | Mul, operands: Operands) -> tuple[KernelCall, ...]:
    """Return the call that narrows the output, where a fused activation asks for more than int8's own limits."""
    tensor = graph.tensors[op.output]
    low, high = activation_range(op.activation, quant_of(graph, op.output), tensor.dtype)
    if (low, high) == tensor.dtype.value_range:
        return ()
    region, channels = whole(tensor), nhwc(tensor.shape)[3]

    def fields() -> Fields:
        return ("row_stride", row_stride(graph, op.output)), ("col_elements", channels), ("min", low), ("max", high)

    return (KernelCall("tf_limit_s8", "tf_limit_params", fields, (), (operands.write(op.output),), region),)
