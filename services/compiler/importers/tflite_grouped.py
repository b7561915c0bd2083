"""CONV_2D in groups: each group of output channels reads its own run of input channels.

As many groups as input channels are a depthwise convolution; others are cut: a Split, a convolution each, and a
Concatenation. The sums are the same.
"""

from __future__ import annotations

from dataclasses import replace

from services.compiler.importers.tflite_graph_builder import GraphBuilder
from services.compiler.ir.ops import Concatenation, Conv2D, DepthwiseConv2D, Op, Split
from services.compiler.ir.tensor import QuantParams, Tensor, TensorId


def in_groups(builder: GraphBuilder, op: Conv2D) -> tuple[Op, ...]:
    """Return the operators of a convolution: itself where it has one group, or where its shapes do not tell groups."""
    image, weights, result = (builder.tensors[t] for t in (op.input, op.weights, op.output))
    if len(image.shape) != 4 or len(result.shape) != 4 or not _can_be_cut(builder, op, weights.shape[0]):
        return (op,)
    channels, read, outputs = image.shape[3], weights.shape[3], weights.shape[0]
    groups = channels // read
    if groups < 2 or channels % read or outputs % groups or result.shape[3] != outputs:
        return (op,)
    if read == 1:
        return (_depthwise(builder, op, weights),)
    sources = tuple(_part(builder, image, read) for _ in range(groups))
    results = tuple(_part(builder, result, outputs // groups) for _ in range(groups))
    convolutions = (
        replace(
            op,
            inputs=(source, *(_rows(builder, t, i * outputs // groups, outputs // groups) for t in op.inputs[1:])),
            outputs=(to,),
        )
        for i, (source, to) in enumerate(zip(sources, results, strict=True))
    )
    return (
        Split(name=op.name, inputs=(op.input,), outputs=sources, axis=3),
        *convolutions,
        Concatenation(name=op.name, inputs=results, outputs=op.outputs, axis=3),
    )


def _can_be_cut(builder: GraphBuilder, op: Conv2D, outputs: int) -> bool:
    """Whether weights and bias are constants with a value, and one scale or none, for each output channel."""
    tensors = [builder.tensors[t] for t in op.inputs[1:]]
    scales = (t.quant.scale for t in tensors if t.quant is not None)
    whole = all(t.data is not None and t.shape and t.shape[0] == outputs for t in tensors)
    return whole and all(len(scale) in (1, outputs) for scale in scales)


def _part(builder: GraphBuilder, tensor: Tensor, channels: int) -> TensorId:
    return builder.add(replace(tensor, name=f"{tensor.name}/group", shape=(*tensor.shape[:3], channels)))


def _depthwise(builder: GraphBuilder, op: Conv2D, weights: Tensor) -> DepthwiseConv2D:
    assert weights.data is not None  # the caller has checked it
    ihwo = weights.data.transpose(3, 1, 2, 0)
    quant = weights.quant
    if quant is not None and quant.axis is not None:
        quant = replace(quant, axis=3)
    held = builder.add(replace(weights, shape=ihwo.shape, data=ihwo, quant=quant))
    return DepthwiseConv2D(
        name=op.name,
        inputs=(op.input, held, *op.inputs[2:]),
        outputs=op.outputs,
        stride_hw=op.stride_hw,
        dilation_hw=op.dilation_hw,
        padding=op.padding,
        activation=op.activation,
    )


def _rows(builder: GraphBuilder, tensor_id: TensorId, first: int, count: int) -> TensorId:
    """Add some output channels of weights or a bias, whose first axis they are."""
    tensor, rows = builder.tensors[tensor_id], slice(first, first + count)
    assert tensor.data is not None  # the caller has checked it
    quant = tensor.quant
    if quant is not None and len(quant.scale) > 1:
        quant = QuantParams(quant.scale[rows], quant.zero_point[rows], quant.axis)
    return builder.add(replace(tensor, shape=(count, *tensor.shape[1:]), data=tensor.data[rows], quant=quant))
