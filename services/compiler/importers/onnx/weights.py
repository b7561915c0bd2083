"""Weights and biases of convolutions and dense layers in the form that int8 kernels need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.compiler.importers.onnx.builder import GraphBuilder
from services.compiler.importers.onnx.lowering import NOT_QUANTIZED, Lowering
from services.compiler.importers.onnx.model import Array, Node
from services.compiler.importers.onnx.quantization import QuantType
from services.compiler.importers.onnx.refusals import invalid, unsupported
from services.compiler.ir.tensor import DType, QuantParams, TensorId

_INT32 = DType.INT32.value_range


@dataclass(frozen=True, slots=True)
class Weights:
    """Symmetric int8 or int4 weights; one scale a tensor (`axis` None) or one for each index of `axis`."""

    name: str
    data: Array
    dtype: DType
    scales: tuple[float, ...]
    axis: int | None

    @staticmethod
    def from_real(real: Array) -> Weights:
        """Return real weights of one element a channel (first axis) as +-127 with one scale each.

        Scales stay within a thousandth of the largest, so that zeros have one too.
        """
        magnitude = np.abs(real.reshape(-1))
        scales = np.maximum(magnitude, max(float(magnitude.max()), 1e-6) / 1000) / 127.0
        data = np.rint(real / scales.reshape((-1,) + (1,) * (real.ndim - 1))).astype(np.int8)
        return Weights("factor", data, DType.INT8, tuple(scales.tolist()), 0)

    def transposed(self, permutation: Sequence[int]) -> Weights:
        """Return the weights with their axes in another order."""
        axis = None if self.axis is None else tuple(permutation).index(self.axis)
        return replace(self, data=self.data.transpose(permutation), axis=axis)

    def reshaped(self, shape: Sequence[int]) -> Weights:
        """Return the weights under another shape that leaves the axes up to `axis` alone."""
        return replace(self, data=self.data.reshape(shape))

    def rows(self, rows: slice) -> Weights:
        """Return some output channels of weights whose first axis they are."""
        scales = self.scales if self.axis is None else self.scales[rows]
        return replace(self, data=self.data[rows], scales=scales)

    def scaled(self, factor: float) -> Weights:
        """Return the weights times a positive number."""
        return replace(self, scales=tuple(s * factor for s in self.scales))

    def times_each(self, factors: Array) -> Weights:
        """Return the weights with each output channel (first axis) times a number; its sign goes into the integers.

        int4 weights become int8 where -8 changes its sign: 7 in its place would be off by an eighth.
        """
        magnitude = np.abs(factors)
        scales = np.broadcast_to(np.array(self.scales), factors.shape) * np.maximum(magnitude, magnitude.max() * 1e-6)
        signs = np.sign(factors).astype(np.int64).reshape((-1,) + (1,) * (self.data.ndim - 1))
        signed = self.data.astype(np.int64) * signs
        dtype = DType.INT8 if signed.max(initial=0) > self.dtype.value_range[1] else self.dtype
        data = np.clip(signed, *dtype.value_range).astype(dtype.numpy)
        return replace(self, data=data, dtype=dtype, scales=tuple(scales.tolist()), axis=0)

    def add_to(self, builder: GraphBuilder) -> TensorId:
        """Add the weights as a constant and return its id."""
        quant = QuantParams(self.scales, (0,) * len(self.scales), self.axis)
        return builder.add_constant(self.name, self.data, self.dtype, quant)


def read_weights(lowering: Lowering, node: Node, index: int) -> Weights:
    """Return the quantized weights of a node. Raises its refusal if they are float or not symmetric."""
    constant = lowering.constant(node, index)
    if constant.type is None:
        raise unsupported(node, f"its weights {node.inputs[index]!r} are float", NOT_QUANTIZED)
    if constant.type.dtype not in (DType.INT8, DType.INT4):
        raise unsupported(node, f"its weights are {constant.type.dtype.value}", "use int8 or int4 weights")
    data = _centered(node, constant.data, constant.type)
    quant = constant.type.quant
    if quant.axis is not None and len(quant.scale) != data.shape[quant.axis]:
        raise invalid(
            f"the number of scales of {node.inputs[index]!r}", len(quant.scale), f"must be {data.shape[quant.axis]}"
        )
    return Weights(node.inputs[index], data, constant.type.dtype, quant.scale, quant.axis)


def _centered(node: Node, data: Array, type_: QuantType) -> Array:
    """Return the weights minus their zero points, if the type still holds them."""
    shape = [1] * data.ndim
    if type_.quant.axis is not None:
        shape[type_.quant.axis] = -1
    if not any(type_.quant.zero_point):
        return data
    centered = data.astype(np.int64) - np.array(type_.quant.zero_point).reshape(shape)
    low, high = type_.dtype.value_range
    if centered.min() < low or centered.max() > high:
        raise unsupported(
            node,
            f"its weights have zero point {type_.quant.zero_point[0]} and do not fit {type_.dtype.value} without it",
            "quantize weights symmetrically",
        )
    return np.asarray(centered, dtype=type_.dtype.numpy)


def read_bias(lowering: Lowering, node: Node, index: int, source: QuantType, weights: Weights) -> Array | None:
    """Return the bias as one real number an output channel (the weights' first axis), None where there is none.

    Plain int32 (QLinearConv) is in units of input scale times weight scale.
    """
    constant = lowering.optional_constant(node, index)
    if constant is None:
        return None
    real = constant.real().reshape(-1)
    channels = weights.data.shape[0]
    if real.size not in (1, channels) or not np.all(np.isfinite(real)):
        raise invalid(
            f"the bias of {node.op_type} {node.name!r}", f"{real.size} numbers", f"must be {channels}, finite"
        )
    if constant.type is None and constant.data.dtype.kind in "iu":
        real = real * np.array(weights.scales) * source.quant.scale[0]
    return np.broadcast_to(real, (channels,))


def add_bias(lowering: Lowering, source: TensorId, weights: Weights, bias: Array | None) -> tuple[TensorId, ...]:
    """Add a bias of real numbers as int32 in units of input scale times weight scale; no tensor where there is none."""
    if bias is None:
        return ()
    type_ = lowering.builder.type_of(source)
    assert type_ is not None  # the caller has read it as a quantized view
    scales = np.broadcast_to(np.array(weights.scales) * type_.quant.scale[0], bias.shape)
    whole = np.rint(bias / scales)
    if not np.all((whole >= _INT32[0]) & (whole <= _INT32[1])):
        worst = float(np.max(np.abs(whole)))
        raise invalid(f"the bias of weights {weights.name!r}", f"{worst:.3g} in units of its scale", "must fit int32")
    per_channel = weights.axis is not None
    held = scales if per_channel else scales[:1]
    quant = QuantParams(tuple(held.tolist()), (0,) * held.size, 0 if per_channel else None)
    name = f"{weights.name}/bias"
    return (lowering.builder.add_constant(name, whole.astype(np.int32), DType.INT32, quant),)
