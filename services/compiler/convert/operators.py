"""Operators on the wire: which message is whose, and how each attribute is told there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from services.compiler.ir import ops
from services.compiler.ir.activation import Activation
from services.compiler.ir.planned_ops import PLANNED_ONLY
from tinyfarm.v1 import network_pb2

_ACTIVATIONS = {
    network_pb2.ACTIVATION_UNSPECIFIED: Activation.NONE,
    network_pb2.ACTIVATION_RELU: Activation.RELU,
    network_pb2.ACTIVATION_RELU6: Activation.RELU6,
    network_pb2.ACTIVATION_RELU_N1_TO_1: Activation.RELU_N1_TO_1,
}
_TO_ACTIVATION = {ours: theirs for theirs, ours in _ACTIVATIONS.items()}


def op_to_proto(op: ops.Op) -> network_pb2.Op:
    """Return the message of an operator, which keeps the ids of its tensors."""
    if isinstance(op, PLANNED_ONLY):
        raise AssertionError(f"{op.kind} {op.name!r}: a network is told as it was before it was planned")
    told = _BY_KIND[type(op)]
    content: dict[str, Any] = {told.field: {a.field: a.to_proto(getattr(op, a.name)) for a in told.attributes}}
    return network_pb2.Op(name=op.name, inputs=op.inputs, outputs=op.outputs, **content)


def op_from_proto(op: network_pb2.Op) -> ops.Op:
    """Return the operator; ValueError or KeyError where the message is of no known kind or has impossible values."""
    kind = str(op.WhichOneof("kind"))
    told = _BY_FIELD.get(kind)
    if told is None:
        raise ValueError(f"operator {op.name!r} is of no known kind ({kind})")
    message = getattr(op, told.field)
    attributes = {a.name: a.from_proto(getattr(message, a.field)) for a in told.attributes}
    return told.kind(name=op.name, inputs=tuple(op.inputs), outputs=tuple(op.outputs), **attributes)


@dataclass(frozen=True, slots=True)
class _Attribute:
    """An operator's attribute by its name here, the message's field for it, and its value there and back."""

    name: str
    field: str
    to_proto: Callable[[Any], Any]
    from_proto: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Operator:
    """An operator, the field of `network_pb2.Op` that holds its message, and what that says of it."""

    kind: type[ops.Op]
    field: str
    attributes: tuple[_Attribute, ...] = ()


def _same(value: Any) -> Any:
    return value


def _plain(name: str) -> _Attribute:
    """An attribute that is a number or a truth value on both sides."""
    return _Attribute(name, name, _same, _same)


def _integers(name: str) -> _Attribute:
    return _Attribute(name, name, _same, tuple)


def _size(name: str, field: str) -> _Attribute:
    """Height and width; what is not told is 1."""
    return _Attribute(
        name,
        field,
        lambda hw: network_pb2.SizeHw(height=hw[0], width=hw[1]),
        lambda size: (size.height or 1, size.width or 1),
    )


def _of_sweep_and_summary(name: str) -> _Attribute:
    def pair(values: Sequence[float]) -> tuple[float, float]:
        if len(values) != 2:
            raise ValueError(f"{name} has {len(values)} values: must be 2, of the sweep and of the summary")
        return values[0], values[1]

    return _Attribute(name, name, _same, pair)


def _padding_to_proto(padding: ops.Padding) -> network_pb2.Padding:
    return network_pb2.Padding(top=padding.top, bottom=padding.bottom, left=padding.left, right=padding.right)


def _padding_from_proto(padding: network_pb2.Padding) -> ops.Padding:
    return ops.Padding(padding.top, padding.bottom, padding.left, padding.right)


_ACTIVATION = _Attribute("activation", "activation", _TO_ACTIVATION.__getitem__, _ACTIVATIONS.__getitem__)
_PADDING = _Attribute("padding", "padding", _padding_to_proto, _padding_from_proto)
_KERNEL, _PATCH = _size("kernel_hw", "kernel"), _size("kernel_hw", "patch")
_STRIDE, _DILATION = _size("stride_hw", "stride"), _size("dilation_hw", "dilation")
# A beta of 0 would make every output equal: it stands for what is not told.
_BETA = _Attribute("beta", "beta", _same, lambda beta: beta or 1.0)
_AXES, _AXIS = _integers("axes"), _plain("axis")
_CORNERS, _CENTERS = _plain("align_corners"), _plain("half_pixel_centers")

_OPERATORS = (
    _Operator(ops.Conv2D, "conv_2d", (_STRIDE, _DILATION, _PADDING, _ACTIVATION)),
    _Operator(ops.DepthwiseConv2D, "depthwise_conv_2d", (_STRIDE, _DILATION, _PADDING, _ACTIVATION)),
    _Operator(ops.FullyConnected, "fully_connected", (_ACTIVATION,)),
    _Operator(ops.Add, "add", (_ACTIVATION,)),
    _Operator(ops.Sub, "sub", (_ACTIVATION,)),
    _Operator(ops.Mul, "mul", (_ACTIVATION,)),
    _Operator(ops.Maximum, "maximum"),
    _Operator(ops.Minimum, "minimum"),
    _Operator(ops.AveragePool2D, "average_pool_2d", (_KERNEL, _STRIDE, _PADDING, _ACTIVATION)),
    _Operator(ops.MaxPool2D, "max_pool_2d", (_KERNEL, _STRIDE, _PADDING, _ACTIVATION)),
    _Operator(ops.Mean, "mean", (_AXES,)),
    _Operator(ops.Sum, "sum", (_AXES,)),
    _Operator(ops.Pad, "pad", (_integers("before"), _integers("after"), _plain("value"))),
    _Operator(ops.Reshape, "reshape"),
    _Operator(ops.Softmax, "softmax", (_BETA,)),
    _Operator(ops.Logistic, "logistic"),
    _Operator(ops.Tanh, "tanh"),
    _Operator(ops.HardSwish, "hard_swish"),
    _Operator(ops.Relu, "relu", (_ACTIVATION,)),
    _Operator(ops.LeakyRelu, "leaky_relu", (_plain("alpha"),)),
    _Operator(ops.PRelu, "p_relu"),
    _Operator(ops.Table, "table"),
    _Operator(ops.Concatenation, "concatenation", (_AXIS, _ACTIVATION)),
    _Operator(ops.StridedSlice, "strided_slice", (_integers("begin"), _integers("end"), _integers("strides"))),
    _Operator(ops.Split, "split", (_AXIS,)),
    _Operator(ops.Transpose, "transpose", (_integers("permutation"),)),
    _Operator(ops.ResizeNearestNeighbor, "resize_nearest_neighbor", (_CORNERS, _CENTERS)),
    _Operator(
        ops.RnnPool,
        "rnn_pool",
        (_PATCH, _STRIDE, _PADDING, _of_sweep_and_summary("zeta"), _of_sweep_and_summary("nu")),
    ),
    _Operator(ops.ResizeBilinear, "resize_bilinear", (_CORNERS, _CENTERS)),
    _Operator(ops.Quantize, "quantize"),
    _Operator(ops.Dequantize, "dequantize"),
)
_BY_KIND = {operator.kind: operator for operator in _OPERATORS}
_BY_FIELD = {operator.field: operator for operator in _OPERATORS}
