"""Weight-free networks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import assert_never

from services.common.errors import InvalidArgumentError
from services.compiler.ir import ops
from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import DType, QuantParams, Tensor
from tinyfarm.v1 import network_pb2

SCHEMA_VERSION = 1
_ACTIVATIONS = {
    network_pb2.ACTIVATION_UNSPECIFIED: ops.Activation.NONE,
    network_pb2.ACTIVATION_RELU: ops.Activation.RELU,
    network_pb2.ACTIVATION_RELU6: ops.Activation.RELU6,
    network_pb2.ACTIVATION_RELU_N1_TO_1: ops.Activation.RELU_N1_TO_1,
}
_TO_ACTIVATION = {ours: theirs for theirs, ours in _ACTIVATIONS.items()}

# operators that have no attributes, and the name of their message
Plain = (
    ops.Maximum
    | ops.Minimum
    | ops.Reshape
    | ops.Logistic
    | ops.Tanh
    | ops.HardSwish
    | ops.PRelu
    | ops.Table
    | ops.Quantize
    | ops.Dequantize
)
_PLAIN: dict[type[Plain], str] = {
    ops.Maximum: "maximum",
    ops.Minimum: "minimum",
    ops.Reshape: "reshape",
    ops.Logistic: "logistic",
    ops.Tanh: "tanh",
    ops.HardSwish: "hard_swish",
    ops.PRelu: "p_relu",
    ops.Table: "table",
    ops.Quantize: "quantize",
    ops.Dequantize: "dequantize",
}
_FROM_PLAIN = {name: kind for kind, name in _PLAIN.items()}


def network_to_proto(graph: Graph) -> network_pb2.Network:
    """Return the graph without the data of its constants."""
    return network_pb2.Network(
        name=graph.name,
        tensors=[_tensor_to_proto(i, t) for i, t in graph.tensors.items()],
        ops=[_op_to_proto(op) for op in graph.ops],
        inputs=graph.inputs,
        outputs=graph.outputs,
        schema_version=SCHEMA_VERSION,
    )


def network_from_proto(network: network_pb2.Network) -> Graph:
    """Return the weight-free graph; InvalidArgumentError where the message is no graph."""
    try:
        return Graph(
            name=network.name,
            tensors={t.id: _tensor_from_proto(t) for t in network.tensors},
            ops=tuple(_op_from_proto(op) for op in network.ops),
            inputs=tuple(network.inputs),
            outputs=tuple(network.outputs),
        )
    except (ValueError, KeyError) as error:
        raise InvalidArgumentError(
            f"network {network.name!r} is not a valid graph: {error}",
            reason="INVALID_NETWORK",
            subject=network.name,
            value=error,
        ) from None


def _tensor_to_proto(tensor_id: int, tensor: Tensor) -> network_pb2.Tensor:
    quant = tensor.quant
    return network_pb2.Tensor(
        id=tensor_id,
        name=tensor.name,
        shape=tensor.shape,
        dtype=network_pb2.DataType.Value(f"DATA_TYPE_{tensor.dtype.name}"),
        quant=network_pb2.QuantParams(scale=quant.scale, zero_point=quant.zero_point, axis=quant.axis)
        if quant
        else None,
        is_constant=tensor.is_constant,
    )


def _tensor_from_proto(tensor: network_pb2.Tensor) -> Tensor:
    quant = None
    if tensor.HasField("quant"):
        axis = tensor.quant.axis if tensor.quant.HasField("axis") else None
        quant = QuantParams(tuple(tensor.quant.scale), tuple(tensor.quant.zero_point), axis)
    return Tensor(tensor.name, tuple(tensor.shape), _dtype(tensor.dtype), quant, None, tensor.is_constant)


@cache
def _dtype(number: network_pb2.DataType.ValueType) -> DType:
    return DType[network_pb2.DataType.Name(number).removeprefix("DATA_TYPE_")]


def _op_to_proto(op: ops.Op) -> network_pb2.Op:
    common = network_pb2.Op(name=op.name, inputs=op.inputs, outputs=op.outputs)
    match op:
        case (
            ops.Maximum()
            | ops.Minimum()
            | ops.Reshape()
            | ops.Logistic()
            | ops.Tanh()
            | ops.HardSwish()
            | ops.PRelu()
            | ops.Table()
            | ops.Quantize()
            | ops.Dequantize()
        ):
            getattr(common, _PLAIN[type(op)]).SetInParent()
        case ops.Conv2D():
            common.conv_2d.CopyFrom(
                network_pb2.Conv2D(
                    stride=_size(op.stride_hw),
                    dilation=_size(op.dilation_hw),
                    padding=_padding(op.padding),
                    activation=_TO_ACTIVATION[op.activation],
                )
            )
        case ops.DepthwiseConv2D():
            common.depthwise_conv_2d.CopyFrom(
                network_pb2.DepthwiseConv2D(
                    stride=_size(op.stride_hw),
                    dilation=_size(op.dilation_hw),
                    padding=_padding(op.padding),
                    activation=_TO_ACTIVATION[op.activation],
                )
            )
        case ops.FullyConnected():
            common.fully_connected.CopyFrom(network_pb2.FullyConnected(activation=_TO_ACTIVATION[op.activation]))
        case ops.Add():
            common.add.CopyFrom(network_pb2.Add(activation=_TO_ACTIVATION[op.activation]))
        case ops.Sub():
            common.sub.CopyFrom(network_pb2.Sub(activation=_TO_ACTIVATION[op.activation]))
        case ops.Mul():
            common.mul.CopyFrom(network_pb2.Mul(activation=_TO_ACTIVATION[op.activation]))
        case ops.AveragePool2D():
            common.average_pool_2d.CopyFrom(
                network_pb2.AveragePool2D(
                    kernel=_size(op.kernel_hw),
                    stride=_size(op.stride_hw),
                    padding=_padding(op.padding),
                    activation=_TO_ACTIVATION[op.activation],
                )
            )
        case ops.MaxPool2D():
            common.max_pool_2d.CopyFrom(
                network_pb2.MaxPool2D(
                    kernel=_size(op.kernel_hw),
                    stride=_size(op.stride_hw),
                    padding=_padding(op.padding),
                    activation=_TO_ACTIVATION[op.activation],
                )
            )
        case ops.Mean():
            common.mean.CopyFrom(network_pb2.Mean(axes=op.axes))
        case ops.Sum():
            common.sum.CopyFrom(network_pb2.Sum(axes=op.axes))
        case ops.Pad():
            common.pad.CopyFrom(network_pb2.Pad(before=op.before, after=op.after, value=op.value))
        case ops.Softmax():
            common.softmax.CopyFrom(network_pb2.Softmax(beta=op.beta))
        case ops.Relu():
            common.relu.CopyFrom(network_pb2.Relu(activation=_TO_ACTIVATION[op.activation]))
        case ops.LeakyRelu():
            common.leaky_relu.CopyFrom(network_pb2.LeakyRelu(alpha=op.alpha))
        case ops.Concatenation():
            common.concatenation.CopyFrom(
                network_pb2.Concatenation(axis=op.axis, activation=_TO_ACTIVATION[op.activation])
            )
        case ops.StridedSlice():
            common.strided_slice.CopyFrom(network_pb2.StridedSlice(begin=op.begin, end=op.end, strides=op.strides))
        case ops.Split():
            common.split.CopyFrom(network_pb2.Split(axis=op.axis))
        case ops.Transpose():
            common.transpose.CopyFrom(network_pb2.Transpose(permutation=op.permutation))
        case ops.ResizeNearestNeighbor():
            common.resize_nearest_neighbor.CopyFrom(
                network_pb2.ResizeNearestNeighbor(
                    align_corners=op.align_corners, half_pixel_centers=op.half_pixel_centers
                )
            )
        case ops.RnnPool():
            common.rnn_pool.CopyFrom(
                network_pb2.RnnPool(
                    patch=_size(op.kernel_hw),
                    stride=_size(op.stride_hw),
                    padding=_padding(op.padding),
                    zeta=op.zeta,
                    nu=op.nu,
                )
            )
        case ops.ResizeBilinear():
            common.resize_bilinear.CopyFrom(
                network_pb2.ResizeBilinear(align_corners=op.align_corners, half_pixel_centers=op.half_pixel_centers)
            )
        case ops.PullRows():
            raise AssertionError("a network is told as it was before its input was pulled")
        case _:
            assert_never(op)
    return common


def _op_from_proto(op: network_pb2.Op) -> ops.Op:
    name, inputs, outputs = op.name, tuple(op.inputs), tuple(op.outputs)
    match op.WhichOneof("kind"):
        case str(kind) if kind in _FROM_PLAIN:
            return _FROM_PLAIN[kind](name=name, inputs=inputs, outputs=outputs)
        case "conv_2d" | "depthwise_conv_2d" as kind:
            conv = op.conv_2d if kind == "conv_2d" else op.depthwise_conv_2d
            make = ops.Conv2D if kind == "conv_2d" else ops.DepthwiseConv2D
            return make(
                name=name,
                inputs=inputs,
                outputs=outputs,
                stride_hw=_pair(conv.stride),
                dilation_hw=_pair(conv.dilation),
                padding=_sides(conv.padding),
                activation=_ACTIVATIONS[conv.activation],
            )
        case "fully_connected":
            activation = _ACTIVATIONS[op.fully_connected.activation]
            return ops.FullyConnected(name=name, inputs=inputs, outputs=outputs, activation=activation)
        case "add":
            return ops.Add(name=name, inputs=inputs, outputs=outputs, activation=_ACTIVATIONS[op.add.activation])
        case "sub":
            return ops.Sub(name=name, inputs=inputs, outputs=outputs, activation=_ACTIVATIONS[op.sub.activation])
        case "mul":
            return ops.Mul(name=name, inputs=inputs, outputs=outputs, activation=_ACTIVATIONS[op.mul.activation])
        case "average_pool_2d" | "max_pool_2d" as kind:
            pool = op.average_pool_2d if kind == "average_pool_2d" else op.max_pool_2d
            make_pool = ops.AveragePool2D if kind == "average_pool_2d" else ops.MaxPool2D
            return make_pool(
                name=name,
                inputs=inputs,
                outputs=outputs,
                kernel_hw=_pair(pool.kernel),
                stride_hw=_pair(pool.stride),
                padding=_sides(pool.padding),
                activation=_ACTIVATIONS[pool.activation],
            )
        case "mean":
            return ops.Mean(name=name, inputs=inputs, outputs=outputs, axes=tuple(op.mean.axes))
        case "sum":
            return ops.Sum(name=name, inputs=inputs, outputs=outputs, axes=tuple(op.sum.axes))
        case "pad":
            before, after = tuple(op.pad.before), tuple(op.pad.after)
            return ops.Pad(name=name, inputs=inputs, outputs=outputs, before=before, after=after, value=op.pad.value)
        case "softmax":
            return ops.Softmax(name=name, inputs=inputs, outputs=outputs, beta=op.softmax.beta or 1.0)
        case "relu":
            return ops.Relu(name=name, inputs=inputs, outputs=outputs, activation=_ACTIVATIONS[op.relu.activation])
        case "leaky_relu":
            return ops.LeakyRelu(name=name, inputs=inputs, outputs=outputs, alpha=op.leaky_relu.alpha)
        case "concatenation":
            return ops.Concatenation(
                name=name,
                inputs=inputs,
                outputs=outputs,
                axis=op.concatenation.axis,
                activation=_ACTIVATIONS[op.concatenation.activation],
            )
        case "strided_slice":
            cut = op.strided_slice
            return ops.StridedSlice(
                name=name,
                inputs=inputs,
                outputs=outputs,
                begin=tuple(cut.begin),
                end=tuple(cut.end),
                strides=tuple(cut.strides),
            )
        case "split":
            return ops.Split(name=name, inputs=inputs, outputs=outputs, axis=op.split.axis)
        case "transpose":
            permutation = tuple(op.transpose.permutation)
            return ops.Transpose(name=name, inputs=inputs, outputs=outputs, permutation=permutation)
        case "resize_nearest_neighbor" | "resize_bilinear" as kind:
            nearest = kind == "resize_nearest_neighbor"
            resize = op.resize_nearest_neighbor if nearest else op.resize_bilinear
            make_resize = ops.ResizeNearestNeighbor if nearest else ops.ResizeBilinear
            return make_resize(
                name=name,
                inputs=inputs,
                outputs=outputs,
                align_corners=resize.align_corners,
                half_pixel_centers=resize.half_pixel_centers,
            )
        case "rnn_pool":
            return ops.RnnPool(
                name=name,
                inputs=inputs,
                outputs=outputs,
                kernel_hw=_pair(op.rnn_pool.patch),
                stride_hw=_pair(op.rnn_pool.stride),
                padding=_sides(op.rnn_pool.padding),
                zeta=_two(op.rnn_pool.zeta, "zeta"),
                nu=_two(op.rnn_pool.nu, "nu"),
            )
        case other:
            raise ValueError(f"operator {name!r} is of no known kind ({other})")


def _size(hw: tuple[int, int]) -> network_pb2.SizeHw:
    return network_pb2.SizeHw(height=hw[0], width=hw[1])


def _pair(size: network_pb2.SizeHw) -> tuple[int, int]:
    return size.height or 1, size.width or 1


def _padding(padding: ops.Padding) -> network_pb2.Padding:
    return network_pb2.Padding(top=padding.top, bottom=padding.bottom, left=padding.left, right=padding.right)


def _sides(padding: network_pb2.Padding) -> ops.Padding:
    return ops.Padding(padding.top, padding.bottom, padding.left, padding.right)


def _two(values: Sequence[float], name: str) -> tuple[float, float]:
    if len(values) != 2:
        raise ValueError(f"{name} has {len(values)} values: must be 2, of the sweep and of the summary")
    return values[0], values[1]
