"""One-operator TFLite models with given shapes, quantization and seeded weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from tests.compiler.tflite_builder import ACTIVATIONS, VALID, ModelBuilder, TensorSpec


@dataclass(frozen=True)
class Quant:
    """Scale, zero point and type of an activation."""

    scale: float = 0.05
    zero_point: int = 0
    dtype: str = "int8"


def conv_output_hw(
    input_hw: Sequence[int],
    kernel_hw: Sequence[int],
    stride_hw: Sequence[int],
    dilation_hw: Sequence[int],
    padding: int,
) -> tuple[int, int]:
    """Return the output height and width that TFLite writes into the file."""
    sizes = []
    for size, kernel, stride, dilation in zip(input_hw, kernel_hw, stride_hw, dilation_hw, strict=True):
        reach = (kernel - 1) * dilation + 1
        sizes.append((size - reach) // stride + 1 if padding == VALID else -(-size // stride))
    return sizes[0], sizes[1]


def random_scales(rng: np.random.Generator, count: int, typical: float = 0.01) -> list[float]:
    """Return float32 scales spread over two octaves."""
    return [float(s) for s in (typical * np.exp2(rng.uniform(-1, 1, count))).astype(np.float32)]


def conv2d(
    input_shape: Sequence[int],
    out_channels: int,
    kernel_hw: tuple[int, int],
    *,
    stride_hw: tuple[int, int] = (1, 1),
    dilation_hw: tuple[int, int] = (1, 1),
    padding: int = VALID,
    activation: str = "none",
    source: Quant = Quant(),
    result: Quant = Quant(0.1, 3),
    per_channel: bool = True,
    bias: bool = True,
    weights: str = "int8",
    groups: int = 1,
    seed: int = 0,
) -> bytes:
    """Return a model of one CONV_2D."""
    rng = np.random.default_rng(seed)
    model = ModelBuilder()
    x = model.activation(input_shape, source.scale, source.zero_point, source.dtype)
    scales = random_scales(rng, out_channels if per_channel else 1)
    filters = _weights(model, rng, (out_channels, *kernel_hw, input_shape[3] // groups), scales, 0, weights)
    inputs = [x, filters, *([_bias(model, rng, out_channels, source, scales)] if bias else [])]
    hw = conv_output_hw(input_shape[1:3], kernel_hw, stride_hw, dilation_hw, padding)
    y = model.activation((1, *hw, out_channels), result.scale, result.zero_point, result.dtype)
    fields = _window_fields(stride_hw, padding, activation)
    model.operator("CONV_2D", inputs, [y], "Conv2DOptions", **fields, **_dilation_fields(dilation_hw))
    return model.build([x], [y])


def depthwise_conv2d(
    input_shape: Sequence[int],
    multiplier: int,
    kernel_hw: tuple[int, int],
    *,
    stride_hw: tuple[int, int] = (1, 1),
    dilation_hw: tuple[int, int] = (1, 1),
    padding: int = VALID,
    activation: str = "none",
    source: Quant = Quant(),
    result: Quant = Quant(0.1, 3),
    per_channel: bool = True,
    bias: bool = True,
    weights: str = "int8",
    seed: int = 0,
) -> bytes:
    """Return a model of one DEPTHWISE_CONV_2D."""
    rng = np.random.default_rng(seed)
    model = ModelBuilder()
    out_channels = input_shape[3] * multiplier
    x = model.activation(input_shape, source.scale, source.zero_point, source.dtype)
    scales = random_scales(rng, out_channels if per_channel else 1)
    filters = _weights(model, rng, (1, *kernel_hw, out_channels), scales, 3, weights)
    inputs = [x, filters, *([_bias(model, rng, out_channels, source, scales)] if bias else [])]
    hw = conv_output_hw(input_shape[1:3], kernel_hw, stride_hw, dilation_hw, padding)
    y = model.activation((1, *hw, out_channels), result.scale, result.zero_point, result.dtype)
    fields = {**_window_fields(stride_hw, padding, activation), "DepthMultiplier": multiplier}
    model.operator(
        "DEPTHWISE_CONV_2D", inputs, [y], "DepthwiseConv2DOptions", **fields, **_dilation_fields(dilation_hw)
    )
    return model.build([x], [y])


def fully_connected(
    input_shape: Sequence[int],
    out_features: int,
    *,
    activation: str = "none",
    source: Quant = Quant(),
    result: Quant = Quant(0.1, 3),
    per_channel: bool = False,
    bias: bool = True,
    weights: str = "int8",
    seed: int = 0,
) -> bytes:
    """Return a model of one FULLY_CONNECTED over the last dimension of the input."""
    rng = np.random.default_rng(seed)
    model = ModelBuilder()
    x = model.activation(input_shape, source.scale, source.zero_point, source.dtype)
    scales = random_scales(rng, out_features if per_channel else 1)
    filters = _weights(model, rng, (out_features, input_shape[-1]), scales, 0, weights)
    inputs = [x, filters, *([_bias(model, rng, out_features, source, scales)] if bias else [])]
    rows = prod(input_shape) // input_shape[-1]
    y = model.activation((rows, out_features), result.scale, result.zero_point, result.dtype)
    fields = {"FusedActivationFunction": ACTIVATIONS[activation]}
    model.operator("FULLY_CONNECTED", inputs, [y], "FullyConnectedOptions", **fields)
    return model.build([x], [y])


def _weights(
    model: ModelBuilder, rng: np.random.Generator, shape: tuple[int, ...], scales: list[float], axis: int, dtype: str
) -> int:
    """Add weights; int4 ones take all sixteen values."""
    if dtype == "int8":
        return model.constant(rng.integers(-127, 128, shape).astype(np.int8), scales, axis=axis)
    return model.constant(rng.integers(-8, 8, shape).astype(np.int8), scales, axis=axis, dtype=dtype)


def _bias(model: ModelBuilder, rng: np.random.Generator, count: int, source: Quant, scales: list[float]) -> int:
    bias_scales = [float(np.float32(source.scale) * np.float32(s)) for s in scales]
    dtype = np.int64 if source.dtype == "int16" else np.int32
    return model.constant(rng.integers(-3000, 3000, count).astype(dtype), bias_scales)


def _window_fields(stride_hw: tuple[int, int], padding: int, activation: str) -> dict[str, Any]:
    strides = {"StrideH": stride_hw[0], "StrideW": stride_hw[1]}
    return {"Padding": padding, **strides, "FusedActivationFunction": ACTIVATIONS[activation]}


def _dilation_fields(dilation_hw: tuple[int, int]) -> dict[str, Any]:
    return {"DilationHFactor": dilation_hw[0], "DilationWFactor": dilation_hw[1]}


def pool2d(
    kind: str,
    input_shape: Sequence[int],
    kernel_hw: tuple[int, int],
    *,
    stride_hw: tuple[int, int] = (1, 1),
    padding: int = VALID,
    activation: str = "none",
    quant: Quant = Quant(),
) -> bytes:
    """Return a model of one AVERAGE_POOL_2D or MAX_POOL_2D."""
    model = ModelBuilder()
    x = model.activation(input_shape, quant.scale, quant.zero_point, quant.dtype)
    hw = conv_output_hw(input_shape[1:3], kernel_hw, stride_hw, (1, 1), padding)
    y = model.activation((1, *hw, input_shape[3]), quant.scale, quant.zero_point, quant.dtype)
    kernel = {"FilterHeight": kernel_hw[0], "FilterWidth": kernel_hw[1]}
    model.operator(kind, [x], [y], "Pool2DOptions", **kernel, **_window_fields(stride_hw, padding, activation))
    return model.build([x], [y])


def binary(
    kind: str,
    left_shape: Sequence[int],
    right_shape: Sequence[int],
    *,
    left: Quant = Quant(),
    right: Quant = Quant(0.03, -7),
    result: Quant = Quant(0.08, 5),
    activation: str = "none",
    constant_right: bool = False,
    seed: int = 0,
) -> bytes:
    """Return a model of one ADD, SUB, MUL, MAXIMUM or MINIMUM with two inputs, or a constant right one."""
    model = ModelBuilder()
    x = model.activation(left_shape, left.scale, left.zero_point, left.dtype)
    if constant_right:
        limits = np.iinfo(right.dtype)
        values = np.random.default_rng(seed).integers(limits.min, limits.max + 1, right_shape).astype(right.dtype)
        other = model.constant(values, [right.scale], right.zero_point)
    else:
        other = model.activation(right_shape, right.scale, right.zero_point, right.dtype)
    shape = np.broadcast_shapes(tuple(left_shape), tuple(right_shape))
    y = model.activation(shape, result.scale, result.zero_point, result.dtype)
    extremum = kind in ("MAXIMUM", "MINIMUM")
    fields = {} if extremum else {"FusedActivationFunction": ACTIVATIONS[activation]}
    model.operator(
        kind, [x, other], [y], "MaximumMinimumOptions" if extremum else f"{kind.capitalize()}Options", **fields
    )
    return model.build([x] if constant_right else [x, other], [y])


def unary(
    kind: str,
    options: str,
    shape: Sequence[int],
    *,
    source: Quant = Quant(),
    result: Quant = Quant(),
    dtypes: tuple[str, str] | None = None,
    **fields: Any,
) -> bytes:
    """Return a model of one operator that keeps the shape; float32 tensors get no quantization."""
    model = ModelBuilder()
    ends = [
        model.activation(shape, 0.0 if dtype == "float32" else q.scale, q.zero_point, dtype)
        for q, dtype in zip((source, result), dtypes or (source.dtype, result.dtype), strict=True)
    ]
    model.operator(kind, ends[:1], ends[1:], options, **fields)
    return model.build(ends[:1], ends[1:])


def with_constants(
    kind: str,
    options: str,
    input_shape: Sequence[int],
    output_shapes: Sequence[Sequence[int]],
    constants: Sequence[Any],
    *,
    source: Quant = Quant(),
    result: Quant | None = None,
    input_position: int = 0,
    **fields: Any,
) -> bytes:
    """Return a model of one operator with an int8 input, constants beside it and int8 outputs.

    Constants are int32, or int8 arrays in the input's quantization.
    """
    model = ModelBuilder()
    x = model.activation(input_shape, source.scale, source.zero_point, source.dtype)
    others = [_constant(model, c, source) for c in constants]
    quant = result or source
    outputs = [model.activation(s, quant.scale, quant.zero_point, quant.dtype) for s in output_shapes]
    inputs = [*others[:input_position], x, *others[input_position:]]
    model.operator(kind, inputs, outputs, options, **fields)
    return model.build([x], outputs)


def _constant(model: ModelBuilder, values: Any, quant: Quant) -> int:
    if isinstance(values, np.ndarray) and values.dtype == np.int8:
        return model.constant(values, [quant.scale], quant.zero_point)
    return model.constant(np.asarray(values, dtype=np.int32))


def transpose_conv(
    input_shape: Sequence[int],
    out_channels: int,
    kernel_hw: tuple[int, int],
    stride_hw: tuple[int, int],
    *,
    padding: int = VALID,
    output_hw: tuple[int, int] | None = None,
    bias: bool = True,
    seed: int = 0,
    source: Quant = Quant(0.05, 7),
    result: Quant = Quant(0.1, 3),
) -> bytes:
    """Return a model of one TRANSPOSE_CONV; without `output_hw` the size that Keras would give it."""
    rng = np.random.default_rng(seed)
    model = ModelBuilder()
    x = model.activation(input_shape, source.scale, source.zero_point)
    spread = zip(input_shape[1:3], stride_hw, kernel_hw, strict=True)
    valid = tuple(i * s + (max(k - s, 0) if padding == VALID else 0) for i, s, k in spread)
    hw = output_hw or (valid[0], valid[1])
    scales = random_scales(rng, out_channels)
    values = rng.integers(-127, 128, (out_channels, *kernel_hw, input_shape[3])).astype(np.int8)
    inputs = [model.constant(np.array([1, *hw, out_channels], np.int32)), model.constant(values, scales, axis=0), x]
    if bias:
        inputs.append(_bias(model, rng, out_channels, source, scales))
    y = model.activation((1, *hw, out_channels), result.scale, result.zero_point)
    strides = {"StrideH": stride_hw[0], "StrideW": stride_hw[1]}
    model.operator("TRANSPOSE_CONV", inputs, [y], "TransposeConvOptions", Padding=padding, **strides)
    return model.build([x], [y])


def dilated_by_batches(
    image: Sequence[int],
    out_channels: int,
    kernel_hw: tuple[int, int],
    block: int,
    *,
    depthwise: bool = False,
    source: Quant = Quant(),
    result: Quant = Quant(0.1, 3),
    seed: int = 0,
) -> bytes:
    """Return SPACE_TO_BATCH_ND, a VALID convolution and BATCH_TO_SPACE_ND, as converters write a dilated SAME one.

    TFLite fills the padding with the zero point. TFLM is no oracle here: its filling is never initialized.
    """
    rng = np.random.default_rng(seed)
    model = ModelBuilder()
    x = model.activation(image, source.scale, source.zero_point)
    reach = [(k - 1) * block for k in kernel_hw]
    sizes = [d + r for d, r in zip(image[1:3], reach, strict=True)]
    extra = [-s % block for s in sizes]
    pads = [[r // 2, r - r // 2 + e] for r, e in zip(reach, extra, strict=True)]
    blocks = [(s + e) // block for s, e in zip(sizes, extra, strict=True)]
    batches = model.activation((block * block, *blocks, image[3]), source.scale, source.zero_point)
    block_shape = model.constant(np.array([block, block], np.int32))
    model.operator(
        "SPACE_TO_BATCH_ND", [x, block_shape, model.constant(np.array(pads, np.int32))], [batches],
        "SpaceToBatchNDOptions",
    )  # fmt: skip
    channels = image[3] if depthwise else out_channels
    scales = random_scales(rng, channels)
    shape = (1, *kernel_hw, channels) if depthwise else (channels, *kernel_hw, image[3])
    values = rng.integers(-127, 128, shape).astype(np.int8)
    weights = model.constant(values, scales, axis=3 if depthwise else 0)
    left = [b - k + 1 for b, k in zip(blocks, kernel_hw, strict=True)]
    convolved = model.activation((block * block, *left, channels), result.scale, result.zero_point)
    inputs = [batches, weights, _bias(model, rng, channels, source, scales)]
    fields = {**_window_fields((1, 1), VALID, "relu"), **_dilation_fields((1, 1))}
    if depthwise:
        model.operator("DEPTHWISE_CONV_2D", inputs, [convolved], "DepthwiseConv2DOptions", DepthMultiplier=1, **fields)
    else:
        model.operator("CONV_2D", inputs, [convolved], "Conv2DOptions", **fields)
    y = model.activation((1, *image[1:3], channels), result.scale, result.zero_point)
    crops = model.constant(np.array([[0, e] for e in extra], np.int32))
    model.operator("BATCH_TO_SPACE_ND", [convolved, block_shape, crops], [y], "BatchToSpaceNDOptions")
    return model.build([x], [y])


def pack(shape: Sequence[int], count: int, axis: int) -> bytes:
    """Return a model of one PACK of so many inputs."""
    model = ModelBuilder()
    inputs = [model.activation(shape, 0.05, 4) for _ in range(count)]
    at = axis % (len(shape) + 1)
    y = model.activation((*shape[:at], count, *shape[at:]), 0.05, 4)
    model.operator("PACK", inputs, [y], "PackOptions", Axis=axis, ValuesCount=count)
    return model.build(inputs, [y])


def unpack(shape: Sequence[int], axis: int) -> bytes:
    """Return a model of one UNPACK."""
    model = ModelBuilder()
    x = model.activation(shape, 0.05, 4)
    at = axis % len(shape)
    outputs = [model.activation((*shape[:at], *shape[at + 1 :]), 0.05, 4) for _ in range(shape[at])]
    model.operator("UNPACK", [x], outputs, "UnpackOptions", Axis=axis, Num=shape[at])
    return model.build([x], outputs)


def prelu(shape: Sequence[int], alpha_shape: Sequence[int], source: Quant, result: Quant, alpha: Quant) -> bytes:
    """Return a model of one PRELU with constant slopes."""
    model = ModelBuilder()
    x = model.activation(shape, source.scale, source.zero_point)
    values = np.random.default_rng(5).integers(-128, 128, alpha_shape).astype(np.int8)
    y = model.activation(shape, result.scale, result.zero_point)
    model.operator("PRELU", [x, model.constant(values, [alpha.scale], alpha.zero_point)], [y], "")
    return model.build([x], [y])


def concatenation(shapes: Sequence[Sequence[int]], axis: int, quant: Quant = Quant()) -> bytes:
    """Return a model of one CONCATENATION of int8 inputs."""
    model = ModelBuilder()
    inputs = [model.activation(s, quant.scale, quant.zero_point, quant.dtype) for s in shapes]
    joined = list(shapes[0])
    joined[axis] = sum(s[axis] for s in shapes)
    y = model.activation(joined, quant.scale, quant.zero_point, quant.dtype)
    model.operator("CONCATENATION", inputs, [y], "ConcatenationOptions", Axis=axis)
    return model.build(inputs, [y])


def replace_dtype(spec: TensorSpec, dtype: str) -> TensorSpec:
    """Return a constant's tensor with its data in another type."""
    assert spec.data is not None
    return replace(spec, dtype=dtype, data=spec.data.astype(dtype))
