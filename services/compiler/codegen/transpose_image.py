"""Call of the kernel that transposes an image where it lies."""

from __future__ import annotations

from dataclasses import replace

from services.compiler.codegen.operands import Operands
from services.compiler.codegen.program import CType, Fields, KernelCall
from services.compiler.codegen.shapes import whole
from services.compiler.ir.graph import Graph
from services.compiler.ir.planned_ops import TransposeImage


def transpose_image_call(graph: Graph, op: TransposeImage, operands: Operands) -> KernelCall:
    """Return the call of a transposition in place, whose region is all of the image."""
    image = graph.tensors[op.input]

    def fields() -> Fields:
        _, rows, cols, _ = image.shape
        return ("rows", rows), ("cols", cols), ("pixel_bytes", image.pixel_bytes)

    pointers = replace(operands.write(op.output), ctype=CType.INT8), operands.needed_scratch()
    region = whole(graph.tensors[op.output])
    return KernelCall("tf_transpose_image_s8", "tf_transpose_image_s8_params", fields, (), pointers, region)
