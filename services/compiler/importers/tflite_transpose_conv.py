"""TRANSPOSE_CONV as a convolution whose channels are spread over pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import tflite

from services.compiler.errors import InvalidModelError, UnsupportedModelError
from services.compiler.importers.blocks import depth_to_space
from services.compiler.importers.padding import Window, output_hw, same_padding
from services.compiler.importers.tflite_file import FileOperator
from services.compiler.importers.tflite_graph_builder import GraphBuilder
from services.compiler.importers.tflite_windows import fused_activation
from services.compiler.importers.transposed_conv import Pair, Phases, phase_weights, phases
from services.compiler.ir.ops import Conv2D, Op, Padding, StridedSlice
from services.compiler.ir.tensor import QuantParams, Tensor, TensorId

_LARGEST_STRIDE = 64


def transpose_conv(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
    """Return Conv2D, depth to space and, where the result is cut, a slice. Inputs: output shape, weights, data, bias.

    Sources: TFLite's schema, and its padding of the transposed convolution (that of the forward one).
    """
    options = operator.options(tflite.TransposeConvOptions)
    _, weights_id, source = builder.inputs(operator, 3)
    output = builder.output(operator)
    weights, image, result = (builder.tensors[t] for t in (weights_id, source, output))
    _check(operator, weights, image, result)
    window = Window((weights.shape[1], weights.shape[2]), (options.StrideH(), options.StrideW()))
    stride = window.stride_hw
    in_hw, out_hw = (image.shape[1], image.shape[2]), (result.shape[1], result.shape[2])
    plan = phases(window, _cut_before(operator, window, in_hw, out_hw), in_hw, out_hw)
    name, copies = builder.name(operator), stride[0] * stride[1]
    wide = replace(result, name=f"{name}/phases", shape=(1, *plan.output_hw, copies * result.shape[3]))
    target = output if copies == 1 and plan.output_hw == out_hw else builder.add(wide)
    conv = Conv2D(
        name=name,
        inputs=(source, _weights(builder, weights, stride), *_bias(builder, operator, copies)),
        outputs=(target,),
        padding=plan.padding,
        activation=fused_activation(operator, options),
    )
    return (conv,) if target == output else (conv, *_spread(builder, conv, output, stride, plan))


def _check(operator: FileOperator, weights: Tensor, image: Tensor, result: Tensor) -> None:
    if not len(weights.shape) == len(image.shape) == len(result.shape) == 4 or result.shape[0] != 1:
        shapes = (weights.shape, image.shape, result.shape)
        raise InvalidModelError(f"{operator} has shapes {shapes}: weights, image and result must have rank 4, batch 1")
    if weights.data is None:
        raise UnsupportedModelError(f"{operator} has computed weights: must be constants in the file")


def _cut_before(operator: FileOperator, window: Window, in_hw: Pair, out_hw: Pair) -> Pair:
    """Return the rows and columns cut off before the full result: the padding of the convolution that it reverses."""
    if not 1 <= min(window.stride_hw) <= max(window.stride_hw) <= _LARGEST_STRIDE:
        raise InvalidModelError(f"{operator} has strides {window.stride_hw}: must be 1 to {_LARGEST_STRIDE}")
    padding = operator.options(tflite.TransposeConvOptions).Padding()
    reversed_padding = same_padding(window, out_hw) if padding == tflite.Padding.SAME else Padding()
    found = output_hw(window, reversed_padding, out_hw)
    if found != in_hw:
        raise InvalidModelError(f"{operator} makes {out_hw} of {in_hw}: its convolution would make {found} of {out_hw}")
    return reversed_padding.top, reversed_padding.left


def _weights(builder: GraphBuilder, weights: Tensor, stride: Pair) -> TensorId:
    assert weights.data is not None  # checked
    data = phase_weights(weights.data, stride)
    quant = weights.quant
    if quant is not None and quant.per_channel:
        copies = stride[0] * stride[1]
        quant = QuantParams(quant.scale * copies, quant.zero_point * copies, quant.axis)
    return builder.add(replace(weights, shape=data.shape, data=data, quant=quant))


def _bias(builder: GraphBuilder, operator: FileOperator, copies: int) -> tuple[TensorId, ...]:
    bias = builder.optional(operator, 3)
    if bias is None:
        return ()
    tensor = builder.tensors[bias]
    if tensor.data is None:
        raise UnsupportedModelError(f"{operator} has a computed bias: must be a constant in the file")
    data = np.tile(tensor.data.reshape(-1), copies)
    return (builder.add(replace(tensor, shape=data.shape, data=data, quant=None)),)


def _spread(builder: GraphBuilder, conv: Conv2D, output: TensorId, stride: Pair, plan: Phases) -> tuple[Op, ...]:
    """Return what spreads the convolution's channels over pixels and cuts the result out."""
    name, source, result = conv.name, (conv.output, builder.tensors[conv.output]), builder.tensors[output]
    spread_hw = tuple(n * s for n, s in zip(plan.output_hw, stride, strict=True))
    if spread_hw == result.shape[1:3]:
        return depth_to_space(name, source, output, stride, builder.add)
    whole = builder.add(replace(result, name=f"{name}/spread", shape=(1, *spread_hw, result.shape[3])))
    begin = (0, *plan.crop_hw, 0)
    end = tuple(b + size for b, size in zip(begin, result.shape, strict=True))
    cut = StridedSlice(name=name, inputs=(whole,), outputs=(output,), begin=begin, end=end, strides=(1, 1, 1, 1))
    return (*depth_to_space(name, source, whole, stride, builder.add), cut)
