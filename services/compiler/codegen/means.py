"""Calls of means and sums, and of the two halves of a mean or pool over an image: sums of its channels, and what is
made of them.
"""

from __future__ import annotations

from services.compiler.codegen.elementwise import activation_suffix
from services.compiler.codegen.operands import Operands
from services.compiler.codegen.program import Fields, KernelCall, RegionArg
from services.compiler.codegen.shapes import output_fields, whole
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Mean, Sum
from services.compiler.ir.planned_ops import ImageSums, MeanOfSums, PoolOfSums
from services.compiler.ir.shapes import Shape4, dense_strides, nhwc, row_stride
from services.compiler.ir.tensor import DType, TensorId, quoted
from services.compiler.quant.pooling import mean_params
from services.compiler.quant.requantize import activation_range
from services.compiler.quant.values import output_zero_point, quant_of


def mean_call(graph: Graph, op: Mean | Sum, operands: Operands) -> KernelCall:
    """Return the call of a mean or sum over any dimensions; the region is that of the output with them kept."""
    shape = nhwc(graph.tensors[op.input].shape)
    lead = 4 - len(graph.tensors[op.input].shape)
    axes = {a + lead for a in op.axes}
    n, h, w, c = (1 if i in axes else d for i, d in enumerate(shape))

    def fields() -> Fields:
        params = mean_params(graph, op)
        limits = activation_range(Activation.NONE, quant_of(graph, op.output), graph.tensors[op.output].dtype)
        sizes, strides = _reduced_loops(shape, axes)
        return (
            ("kept", (n, h, w, c)),
            ("in_stride", dense_strides(shape)),
            ("out_stride", dense_strides((n, h, w, c))),
            ("reduced", sizes),
            ("reduced_stride", strides),
            ("bias", -params.count * params.input_zero_point),
            ("multiplier", params.multiplier.value),
            ("shift", params.multiplier.shift),
            ("out", output_fields(output_zero_point(graph, op), limits)),
        )

    pointers = operands.read(op.input), operands.write(op.output)
    function = f"tf_mean_{activation_suffix(graph, op)}"
    return KernelCall(function, "tf_mean_s8_params", fields, (), pointers, RegionArg((0, h), (0, w)))


def _reduced_loops(shape: Shape4, axes: set[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return sizes and strides of the outer and the inner loop over reduced dimensions; those side by side are one."""
    loops = [(1, 0)]
    for axis, stride in enumerate(dense_strides(shape)):
        if axis in axes and (size := shape[axis]) > 1:
            outer, step = loops[-1]
            if step == size * stride:
                loops[-1] = outer * size, stride
            else:
                loops.append((size, stride))
    # no more than two of four dimensions have others between them
    (outer, outer_stride), (inner, inner_stride) = ((1, 0), *loops)[-2:]
    return (outer, inner), (outer_stride, inner_stride)


def image_sums_call(graph: Graph, op: ImageSums, operands: Operands) -> KernelCall:
    """Return the call that adds pixels of an image to the sums of its channels; the region is the image's."""
    image = _of_8_bits(graph, op, op.input)

    def fields() -> Fields:
        return ("in_row_stride", row_stride(graph, op.input)), ("channels", graph.tensors[image].shape[3])

    pointers = operands.read(image), operands.write(op.output)
    region = whole(graph.tensors[op.swept])
    return KernelCall("tf_image_sums_s8", "tf_image_sums_s8_params", fields, (), pointers, region)


def mean_of_sums_call(graph: Graph, op: MeanOfSums, operands: Operands) -> KernelCall:
    """Return the call that makes means of sums."""
    result = graph.tensors[_of_8_bits(graph, op, op.output)]

    def fields() -> Fields:
        params = mean_params(graph, op)
        limits = activation_range(Activation.NONE, quant_of(graph, op.output), result.dtype)
        return (
            ("bias", -params.count * params.input_zero_point),
            ("multiplier", params.multiplier.value),
            ("channels", result.elements),
            ("out", output_fields(output_zero_point(graph, op), limits)),
            ("shift", params.multiplier.shift),
        )

    pointers = operands.read(op.input), operands.write(op.output)
    return KernelCall("tf_mean_of_sums_s8", "tf_mean_of_sums_s8_params", fields, (), pointers, whole(result))


def pool_of_sums_call(graph: Graph, op: PoolOfSums, operands: Operands) -> KernelCall:
    """Return the call that makes averages of sums."""
    result = graph.tensors[_of_8_bits(graph, op, op.output)]

    def fields() -> Fields:
        limits = activation_range(op.activation, quant_of(graph, op.output), result.dtype)
        return (
            ("pixels", op.pixels),
            ("channels", result.elements),
            ("out", output_fields(output_zero_point(graph, op), limits)),
        )

    pointers = operands.read(op.input), operands.write(op.output)
    return KernelCall("tf_pool_of_sums_s8", "tf_pool_of_sums_s8_params", fields, (), pointers, whole(result))


def _of_8_bits(graph: Graph, op: ImageSums | MeanOfSums | PoolOfSums, tensor: TensorId) -> TensorId:
    """Return the tensor, which whoever cut the mean or pool in two has seen to be of int8."""
    held = graph.tensors[tensor]
    if held.dtype is not DType.INT8:
        raise AssertionError(f"{op.kind} {quoted(op.name)}: {quoted(held.name)} is {held.dtype.value}: must be int8")
    return tensor
