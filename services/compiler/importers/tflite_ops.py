"""Each TFLite operator as operators of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import tflite

from services.compiler.errors import InvalidModelError, UnsupportedModelError
from services.compiler.importers.tflite_dilated import batch_to_space
from services.compiler.importers.tflite_file import FileOperator
from services.compiler.importers.tflite_graph_builder import GraphBuilder
from services.compiler.importers.tflite_pieces import (
    axis_of,
    convert_depth_to_space,
    convert_gather,
    convert_mirror_pad,
    convert_pack,
    convert_reverse,
    convert_slice,
    convert_space_to_depth,
    convert_unpack,
)
from services.compiler.importers.tflite_slice import convert_strided_slice
from services.compiler.importers.tflite_tables import absolute, elu, of_floats, table
from services.compiler.importers.tflite_transpose_conv import transpose_conv
from services.compiler.importers.tflite_windows import Converter, convolution, fully_connected, fused_activation, pool
from services.compiler.ir.activation import Activation
from services.compiler.ir.ops import (
    Add,
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    HardSwish,
    LeakyRelu,
    Logistic,
    Maximum,
    MaxPool2D,
    Mean,
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
    Softmax,
    Split,
    Sub,
    Sum,
    Tanh,
    Transpose,
)
from services.compiler.ir.tensor import TensorId

Binary = TypeVar("Binary", Add, Sub, Mul)
Pairwise = TypeVar("Pairwise", Maximum, Minimum, PRelu)
Reduction = TypeVar("Reduction", Mean, Sum)
Resize = TypeVar("Resize", ResizeNearestNeighbor, ResizeBilinear)
Unary = TypeVar("Unary", Logistic, Tanh, HardSwish, Quantize, Dequantize, Reshape)


def convert(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
    """Return the graph operators of one file operator. Raises ModelError."""
    converter = _CONVERTERS.get(operator.kind)
    if converter is None:
        raise UnsupportedModelError(f"{operator} cannot be compiled: supported are {', '.join(sorted(_CONVERTERS))}")
    return converter(builder, operator)


def _binary(op_type: type[Binary], options_type: type[Any]) -> Converter:
    def convert_binary(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
        activation = fused_activation(operator, operator.options(options_type))
        inputs, outputs = builder.inputs(operator, 2), (builder.output(operator),)
        return (op_type(name=builder.name(operator), inputs=inputs, outputs=outputs, activation=activation),)

    return convert_binary


def _pairwise(op_type: type[Pairwise]) -> Converter:
    """Operators of two tensors without options that matter."""

    def convert_pairwise(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
        outputs = (builder.output(operator),)
        return (op_type(name=builder.name(operator), inputs=builder.inputs(operator, 2), outputs=outputs),)

    return convert_pairwise


def _unary(op_type: type[Unary]) -> Converter:
    """Operators without options that matter; further inputs (a shape, an axis) are told by the output's shape."""

    def convert_unary(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
        outputs = (builder.output(operator),)
        return (op_type(name=builder.name(operator), inputs=builder.inputs(operator, 1), outputs=outputs),)

    return convert_unary


def _axes(builder: GraphBuilder, operator: FileOperator, position: int, rank: int) -> tuple[int, ...]:
    """Return a constant input's axes as non-negative, sorted and unique."""
    return tuple(sorted({axis_of(operator, a, rank) for a in builder.integers(operator, position)}))


def _reduction(op_type: type[Reduction]) -> Converter:
    def convert_reduction(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
        (source,) = builder.inputs(operator, 1)
        axes = _axes(builder, operator, 1, len(builder.tensors[source].shape))
        outputs = (builder.output(operator),)
        return (op_type(name=builder.name(operator), inputs=(source,), outputs=outputs, axes=axes),)

    return convert_reduction


def _reduce_max(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
    """A maximum over the whole image is a pool with a window of its size."""
    (source,), output, name = builder.inputs(operator, 1), builder.output(operator), builder.name(operator)
    shape = builder.tensors[source].shape
    if len(shape) != 4 or _axes(builder, operator, 1, 4) != (1, 2):
        raise UnsupportedModelError(f"{operator} reduces shape {shape}: must be height and width of an image")
    pooled = builder.add(replace(builder.tensors[output], name=f"{name}/pooled", shape=(shape[0], 1, 1, shape[3])))
    pool_op = MaxPool2D(name=name, inputs=(source,), outputs=(pooled,), kernel_hw=(shape[1], shape[2]))
    return pool_op, Reshape(name=name, inputs=(pooled,), outputs=(output,))


def _pad(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
    (source,) = builder.inputs(operator, 1)
    output = builder.output(operator)
    widths = builder.constant(operator, 1)
    rank = len(builder.tensors[source].shape)
    if widths.shape != (rank, 2):
        raise InvalidModelError(f"{operator} has paddings of shape {widths.shape}: must be ({rank}, 2)")
    return (
        Pad(
            name=builder.name(operator),
            inputs=(source,),
            outputs=(output,),
            before=tuple(int(w[0]) for w in widths),
            after=tuple(int(w[1]) for w in widths),
            value=_pad_value(builder, operator, output),
        ),
    )


def _pad_value(builder: GraphBuilder, operator: FileOperator, output: TensorId) -> int:
    if builder.optional(operator, 2) is not None:
        return builder.integers(operator, 2)[0]
    quant = builder.tensors[output].quant
    return 0 if quant is None else quant.zero_point[0]


def _softmax(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
    beta = operator.options(tflite.SoftmaxOptions).Beta()
    inputs, outputs = builder.inputs(operator, 1), (builder.output(operator),)
    return (Softmax(name=builder.name(operator), inputs=inputs, outputs=outputs, beta=beta),)


def _relu(activation: Activation) -> Converter:
    """TFLM requantizes RELU, but clamps RELU6 in the input's quantization and relabels the bytes."""

    def convert_relu(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
        (source,), output, name = builder.inputs(operator, 1), builder.output(operator), builder.name(operator)
        source_quant = builder.tensors[source].quant
        if activation is Activation.RELU or source_quant == builder.tensors[output].quant:
            return (Relu(name=name, inputs=(source,), outputs=(output,), activation=activation),)
        clamped = builder.add(replace(builder.tensors[output], quant=source_quant))
        relu = Relu(name=name, inputs=(source,), outputs=(clamped,), activation=activation)
        return relu, Reshape(name=name, inputs=(clamped,), outputs=(output,))

    return convert_relu


def _leaky_relu(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
    alpha = operator.options(tflite.LeakyReluOptions).Alpha()
    inputs, outputs = builder.inputs(operator, 1), (builder.output(operator),)
    return (LeakyRelu(name=builder.name(operator), inputs=inputs, outputs=outputs, alpha=alpha),)


def _concatenation(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
    options = operator.options(tflite.ConcatenationOptions)
    output = builder.output(operator)
    inputs = builder.inputs(operator, max(1, len(operator.inputs)))
    axis = axis_of(operator, options.Axis(), len(builder.tensors[output].shape))
    activation = fused_activation(operator, options)
    name = builder.name(operator)
    return (Concatenation(name=name, inputs=inputs, outputs=(output,), axis=axis, activation=activation),)


def _split(axis_position: int, value_position: int) -> Converter:
    """SPLIT has (axis, value), SPLIT_V (value, sizes, axis); the outputs' shapes give the sizes."""

    def convert_split(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
        source = builder.inputs(operator, value_position + 1)[value_position]
        (axis,) = builder.integers(operator, axis_position)
        outputs = tuple(builder.tensor_id(i) for i in operator.outputs)
        resolved = axis_of(operator, axis, len(builder.tensors[source].shape))
        return (Split(name=builder.name(operator), inputs=(source,), outputs=outputs, axis=resolved),)

    return convert_split


def _transpose(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
    (source,) = builder.inputs(operator, 1)
    rank = len(builder.tensors[source].shape)
    permutation = tuple(axis_of(operator, a, rank) for a in builder.integers(operator, 1))
    if sorted(permutation) != list(range(rank)):
        raise InvalidModelError(f"{operator} has permutation {permutation}: must hold each of 0 to {rank - 1} once")
    outputs = (builder.output(operator),)
    return (Transpose(name=builder.name(operator), inputs=(source,), outputs=outputs, permutation=permutation),)


def _resize(op_type: type[Resize], options_type: type[Any]) -> Converter:
    def convert_resize(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
        options = operator.options(options_type)
        return (
            op_type(
                name=builder.name(operator),
                inputs=builder.inputs(operator, 1),
                outputs=(builder.output(operator),),
                align_corners=bool(options.AlignCorners()),
                half_pixel_centers=bool(options.HalfPixelCenters()),
            ),
        )

    return convert_resize


_CONVOLUTIONS: dict[str, Converter] = {
    "CONV_2D": convolution(Conv2D, tflite.Conv2DOptions),
    "DEPTHWISE_CONV_2D": convolution(DepthwiseConv2D, tflite.DepthwiseConv2DOptions),
}

_CONVERTERS: Mapping[str, Converter] = {
    **_CONVOLUTIONS,
    "ABS": table(absolute),
    "ADD": _binary(Add, tflite.AddOptions),
    "AVERAGE_POOL_2D": pool(AveragePool2D),
    "BATCH_TO_SPACE_ND": batch_to_space(_CONVOLUTIONS),
    "CONCATENATION": _concatenation,
    "DEPTH_TO_SPACE": convert_depth_to_space,
    "DEQUANTIZE": _unary(Dequantize),
    "ELU": table(of_floats(elu)),
    "EXPAND_DIMS": _unary(Reshape),
    "FULLY_CONNECTED": fully_connected,
    "GATHER": convert_gather,
    "HARD_SWISH": _unary(HardSwish),
    "LEAKY_RELU": _leaky_relu,
    "LOGISTIC": _unary(Logistic),
    "MAXIMUM": _pairwise(Maximum),
    "MAX_POOL_2D": pool(MaxPool2D),
    "MEAN": _reduction(Mean),
    "MINIMUM": _pairwise(Minimum),
    "MIRROR_PAD": convert_mirror_pad,
    "MUL": _binary(Mul, tflite.MulOptions),
    "PACK": convert_pack,
    "PAD": _pad,
    "PADV2": _pad,
    "PRELU": _pairwise(PRelu),
    "QUANTIZE": _unary(Quantize),
    "REDUCE_MAX": _reduce_max,
    "RELU": _relu(Activation.RELU),
    "RELU6": _relu(Activation.RELU6),
    "RESHAPE": _unary(Reshape),
    "RESIZE_BILINEAR": _resize(ResizeBilinear, tflite.ResizeBilinearOptions),
    "RESIZE_NEAREST_NEIGHBOR": _resize(ResizeNearestNeighbor, tflite.ResizeNearestNeighborOptions),
    "REVERSE_V2": convert_reverse,
    "SLICE": convert_slice,
    "SOFTMAX": _softmax,
    "SPACE_TO_DEPTH": convert_space_to_depth,
    "SPLIT": _split(axis_position=0, value_position=1),
    "SPLIT_V": _split(axis_position=2, value_position=0),
    "SQUEEZE": _unary(Reshape),
    "STRIDED_SLICE": convert_strided_slice,
    "SUB": _binary(Sub, tflite.SubOptions),
    "SUM": _reduction(Sum),
    "TANH": _unary(Tanh),
    "TRANSPOSE": _transpose,
    "TRANSPOSE_CONV": transpose_conv,
    "UNPACK": convert_unpack,
}
