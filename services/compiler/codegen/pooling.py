"""Calls of the pools, average and maximum over windows."""

from __future__ import annotations

from services.compiler.codegen.elementwise import activation_suffix
from services.compiler.codegen.operands import Operands
from services.compiler.codegen.program import Fields, KernelCall
from services.compiler.codegen.shapes import output_fields, whole
from services.compiler.codegen.weighted import window_fields
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import AveragePool2D, MaxPool2D
from services.compiler.ir.shapes import row_stride
from services.compiler.quant.requantize import activation_range
from services.compiler.quant.values import output_zero_point, quant_of


def pool_call(graph: Graph, op: AveragePool2D | MaxPool2D, operands: Operands) -> KernelCall:
    """Return the call of a pool."""

    def fields() -> Fields:
        tensor = graph.tensors[op.output]
        limits = activation_range(op.activation, quant_of(graph, op.output), tensor.dtype)
        return (
            ("in_row_stride", row_stride(graph, op.input)),
            ("out_row_stride", row_stride(graph, op.output)),
            ("channels", tensor.shape[3]),
            ("window", window_fields(graph, op)),
            ("out", output_fields(output_zero_point(graph, op), limits)),
        )

    kind = "tf_max_pool2d" if isinstance(op, MaxPool2D) else "tf_average_pool2d"
    function = f"{kind}_{activation_suffix(graph, op)}"
    pointers = operands.read(op.input), operands.write(op.output)
    return KernelCall(function, "tf_pool2d_s8_params", fields, (), pointers, whole(graph.tensors[op.output]))
