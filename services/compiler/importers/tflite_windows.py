"""TFLite operators with weights or windows: convolutions, dense layers and pools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import tflite

from services.compiler.errors import InvalidModelError, UnsupportedModelError
from services.compiler.importers.padding import Window, same_padding
from services.compiler.importers.tflite_file import FileOperator
from services.compiler.importers.tflite_graph_builder import GraphBuilder
from services.compiler.importers.tflite_grouped import in_groups
from services.compiler.ir.activation import Activation
from services.compiler.ir.ops import (
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    MaxPool2D,
    Op,
    Padding,
)
from services.compiler.ir.tensor import TensorId, quoted

Converter = Callable[[GraphBuilder, FileOperator], tuple[Op, ...]]
Convolution = TypeVar("Convolution", Conv2D, DepthwiseConv2D)
Pool = TypeVar("Pool", AveragePool2D, MaxPool2D)

_ACTIVATIONS = {
    tflite.ActivationFunctionType.NONE: Activation.NONE,
    tflite.ActivationFunctionType.RELU: Activation.RELU,
    tflite.ActivationFunctionType.RELU6: Activation.RELU6,
    tflite.ActivationFunctionType.RELU_N1_TO_1: Activation.RELU_N1_TO_1,
}


def fused_activation(operator: FileOperator, options: Any) -> Activation:
    """Return the activation fused into an operator. Raises UnsupportedModelError."""
    code = options.FusedActivationFunction()
    if code not in _ACTIVATIONS:
        allowed = ", ".join(a.value for a in Activation)
        raise UnsupportedModelError(f"{operator} has fused activation {code}: must be one of {allowed}")
    return _ACTIVATIONS[code]


def _padding(builder: GraphBuilder, operator: FileOperator, options: Any, window: Window, image: TensorId) -> Padding:
    if options.Padding() == tflite.Padding.VALID:
        return Padding()
    if options.Padding() != tflite.Padding.SAME:
        raise InvalidModelError(f"{operator} has padding {options.Padding()}: must be 0 (SAME) or 1 (VALID)")
    shape = builder.tensors[image].shape
    _check_rank(builder, operator, image, 4)
    return same_padding(window, (shape[1], shape[2]))


def _check_rank(builder: GraphBuilder, operator: FileOperator, tensor_id: TensorId, rank: int) -> None:
    tensor = builder.tensors[tensor_id]
    if len(tensor.shape) != rank:
        raise InvalidModelError(
            f"{operator}: tensor {quoted(tensor.name)} has shape {tensor.shape}: must have rank {rank}"
        )


def convolution(op_type: type[Convolution], options_type: type[Any]) -> Converter:
    """Return the converter of CONV_2D or DEPTHWISE_CONV_2D.

    The file's depth multiplier is ignored, as TFLM does: the shapes tell it.
    """

    def convert_convolution(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
        options = operator.options(options_type)
        image, weights = builder.inputs(operator, 2)
        window = _kernel_window(builder, operator, options, weights)
        op = op_type(
            name=builder.name(operator),
            inputs=_with_bias(builder, operator),
            outputs=(builder.output(operator),),
            stride_hw=window.stride_hw,
            dilation_hw=window.dilation_hw,
            padding=_padding(builder, operator, options, window, image),
            activation=fused_activation(operator, options),
        )
        return in_groups(builder, op) if isinstance(op, Conv2D) else (op,)

    return convert_convolution


def _kernel_window(builder: GraphBuilder, operator: FileOperator, options: Any, weights: TensorId) -> Window:
    _check_rank(builder, operator, weights, 4)
    _, kernel_h, kernel_w, _ = builder.tensors[weights].shape
    return Window(
        (kernel_h, kernel_w),
        (options.StrideH(), options.StrideW()),
        (options.DilationHFactor(), options.DilationWFactor()),
    )


def _with_bias(builder: GraphBuilder, operator: FileOperator) -> tuple[TensorId, ...]:
    bias = builder.optional(operator, 2)
    return (*builder.inputs(operator, 2), *(() if bias is None else (bias,)))


def fully_connected(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
    """Return a dense layer."""
    options = operator.options(tflite.FullyConnectedOptions)
    if options.WeightsFormat() != tflite.FullyConnectedOptionsWeightsFormat.DEFAULT:
        raise UnsupportedModelError(f"{operator} has shuffled weights: must be in the default format")
    return (
        FullyConnected(
            name=builder.name(operator),
            inputs=_with_bias(builder, operator),
            outputs=(builder.output(operator),),
            activation=fused_activation(operator, options),
        ),
    )


def pool(op_type: type[Pool]) -> Converter:
    """Return the converter of AVERAGE_POOL_2D or MAX_POOL_2D."""

    def convert_pool(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
        options = operator.options(tflite.Pool2DOptions)
        (image,) = builder.inputs(operator, 1)
        window = Window((options.FilterHeight(), options.FilterWidth()), (options.StrideH(), options.StrideW()))
        return (
            op_type(
                name=builder.name(operator),
                inputs=(image,),
                outputs=(builder.output(operator),),
                kernel_hw=window.kernel_hw,
                stride_hw=window.stride_hw,
                padding=_padding(builder, operator, options, window, image),
                activation=fused_activation(operator, options),
            ),
        )

    return convert_pool
