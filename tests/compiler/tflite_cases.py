"""Named TFLite models of one operator each: every operator the compiler takes, with the corners of its parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.compiler import tflite_models as m
from tests.compiler.tflite_builder import SAME
from tests.compiler.tflite_models import Quant

CASES: dict[str, Callable[[], bytes]] = {
    "conv pointwise": lambda: m.conv2d((1, 5, 6, 8), 4, (1, 1)),
    "conv 3x3 same": lambda: m.conv2d((1, 7, 6, 3), 5, (3, 3), padding=SAME),
    "conv 3x3 same stride 2 even": lambda: m.conv2d((1, 8, 8, 3), 5, (3, 3), padding=SAME, stride_hw=(2, 2)),
    "conv 3x3 same stride 2 odd": lambda: m.conv2d((1, 7, 9, 3), 5, (3, 3), padding=SAME, stride_hw=(2, 2)),
    "conv kernel beyond image": lambda: m.conv2d((1, 2, 2, 3), 2, (5, 5), padding=SAME),
    "conv stride beyond kernel": lambda: m.conv2d((1, 9, 9, 2), 2, (2, 2), stride_hw=(3, 4)),
    "conv dilated": lambda: m.conv2d((1, 11, 12, 2), 3, (3, 3), dilation_hw=(2, 3)),
    "conv dilated same": lambda: m.conv2d((1, 11, 12, 2), 3, (3, 2), dilation_hw=(2, 3), padding=SAME),
    "conv 1-D as 2-D": lambda: m.conv2d((1, 1, 40, 3), 4, (1, 7), stride_hw=(1, 2), padding=SAME),
    "conv per tensor": lambda: m.conv2d((1, 4, 4, 3), 4, (3, 3), per_channel=False),
    "conv without bias": lambda: m.conv2d((1, 4, 4, 3), 4, (3, 3), bias=False),
    "conv relu": lambda: m.conv2d((1, 6, 6, 3), 4, (3, 3), activation="relu", result=Quant(0.4, -10)),
    "conv relu6": lambda: m.conv2d((1, 6, 6, 3), 4, (3, 3), activation="relu6", result=Quant(6 / 255, -128)),
    "conv relu -1 to 1": lambda: m.conv2d((1, 6, 6, 3), 4, (3, 3), activation="relu_n1_to_1", result=Quant(0.02, 9)),
    "conv scale above 1": lambda: m.conv2d((1, 4, 4, 1), 2, (1, 1), source=Quant(0.9, 4), result=Quant(0.002, 0)),
    "conv single output": lambda: m.conv2d((1, 3, 3, 16), 1, (3, 3)),
    "conv in groups": lambda: m.conv2d((1, 7, 6, 6), 9, (3, 3), padding=SAME, stride_hw=(2, 1), groups=3),
    "conv in groups, per tensor": lambda: m.conv2d((1, 5, 6, 4), 4, (1, 3), groups=2, per_channel=False, bias=False),
    "conv in groups of one channel": lambda: m.conv2d((1, 7, 6, 4), 8, (3, 3), padding=SAME, groups=4),
    "conv in groups, int4": lambda: m.conv2d((1, 5, 6, 4), 6, (3, 3), groups=2, weights="int4", result=INT4_RESULT),
    "depthwise 3x3 same": lambda: m.depthwise_conv2d((1, 7, 6, 5), 1, (3, 3), padding=SAME),
    "depthwise stride 2": lambda: m.depthwise_conv2d((1, 8, 9, 4), 1, (3, 3), padding=SAME, stride_hw=(2, 2)),
    "depthwise multiplier 3": lambda: m.depthwise_conv2d((1, 6, 6, 4), 3, (3, 3)),
    "depthwise one channel multiplier 8": lambda: m.depthwise_conv2d((1, 49, 10, 1), 8, (10, 8), padding=SAME),
    "depthwise dilated": lambda: m.depthwise_conv2d((1, 9, 9, 3), 1, (3, 3), dilation_hw=(2, 2)),
    "depthwise 1-D": lambda: m.depthwise_conv2d((1, 30, 1, 4), 1, (5, 1), padding=SAME),
    "depthwise per tensor relu6": lambda: m.depthwise_conv2d(
        (1, 6, 6, 4), 1, (3, 3), per_channel=False, activation="relu6"
    ),
    "depthwise without bias": lambda: m.depthwise_conv2d((1, 6, 6, 4), 1, (3, 3), bias=False),
    "conv int4": lambda: m.conv2d((1, 7, 6, 3), 5, (3, 3), padding=SAME, weights="int4", result=INT4_RESULT),
    "conv int4 per tensor": lambda: m.conv2d((1, 4, 4, 4), 4, (1, 1), per_channel=False, weights="int4"),
    "conv int4 odd elements": lambda: m.conv2d((1, 5, 5, 1), 3, (3, 3), weights="int4", result=INT4_RESULT),
    "depthwise int4": lambda: m.depthwise_conv2d(
        (1, 7, 6, 5), 1, (3, 3), padding=SAME, weights="int4", result=INT4_RESULT
    ),
    "depthwise int4 multiplier 3": lambda: m.depthwise_conv2d(
        (1, 6, 6, 3), 3, (3, 3), weights="int4", result=INT4_RESULT
    ),
    "dense int4": lambda: m.fully_connected((1, 41), 9, weights="int4", result=INT4_RESULT),
    "dense int4 several rows": lambda: m.fully_connected((1, 5, 12), 4, weights="int4"),
    "dense": lambda: m.fully_connected((1, 40), 10),
    "dense relu": lambda: m.fully_connected((1, 40), 10, activation="relu"),
    "dense per channel": lambda: m.fully_connected((1, 40), 10, per_channel=True),
    "dense without bias": lambda: m.fully_connected((1, 40), 10, bias=False),
    "dense several rows": lambda: m.fully_connected((1, 5, 12), 4),
    "average pool valid": lambda: m.pool2d("AVERAGE_POOL_2D", (1, 7, 6, 3), (3, 2)),
    "average pool same": lambda: m.pool2d("AVERAGE_POOL_2D", (1, 7, 6, 3), (3, 3), padding=SAME, stride_hw=(2, 2)),
    "average pool global": lambda: m.pool2d("AVERAGE_POOL_2D", (1, 25, 5, 8), (25, 5)),
    "average pool relu": lambda: m.pool2d("AVERAGE_POOL_2D", (1, 6, 6, 3), (2, 2), activation="relu"),
    "max pool valid": lambda: m.pool2d("MAX_POOL_2D", (1, 7, 6, 3), (2, 2), stride_hw=(2, 2)),
    "max pool same": lambda: m.pool2d("MAX_POOL_2D", (1, 7, 6, 3), (3, 3), padding=SAME, stride_hw=(2, 2)),
    "max pool relu6": lambda: m.pool2d("MAX_POOL_2D", (1, 7, 6, 3), (3, 3), activation="relu6"),
    "add": lambda: m.binary("ADD", (1, 4, 5, 3), (1, 4, 5, 3)),
    "add relu": lambda: m.binary("ADD", (1, 4, 5, 3), (1, 4, 5, 3), activation="relu"),
    "add broadcast channel": lambda: m.binary("ADD", (1, 4, 5, 3), (1, 1, 1, 3)),
    "add broadcast scalar constant": lambda: m.binary("ADD", (1, 4, 5, 3), (1,), constant_right=True),
    "add broadcast both": lambda: m.binary("ADD", (1, 4, 1, 3), (1, 1, 5, 3)),
    "add very different scales": lambda: m.binary("ADD", (1, 99), (1, 99), left=Quant(3.0, 1), result=Quant(2.9, 0)),
    "sub": lambda: m.binary("SUB", (1, 4, 5, 3), (1, 4, 5, 3)),
    "sub broadcast left": lambda: m.binary("SUB", (1, 1, 1, 3), (1, 4, 5, 3)),
    "sub constant": lambda: m.binary("SUB", (1, 4, 5, 3), (1, 4, 5, 3), constant_right=True, activation="relu"),
    "mul": lambda: m.binary("MUL", (1, 4, 5, 3), (1, 4, 5, 3)),
    "mul excitation": lambda: m.binary("MUL", (1, 4, 5, 3), (1, 1, 1, 3), result=Quant(0.001, -3)),
    "mul relu6": lambda: m.binary("MUL", (1, 4, 5, 3), (1, 4, 5, 3), activation="relu6"),
    "softmax": lambda: m.unary("SOFTMAX", "SoftmaxOptions", (1, 10), source=Quant(0.1, 3), result=SOFTMAX, Beta=1.0),
    "softmax large scale": lambda: m.unary(
        "SOFTMAX", "SoftmaxOptions", (1, 12), source=Quant(1.7, 3), result=SOFTMAX, Beta=1.0
    ),
    "softmax beta": lambda: m.unary(
        "SOFTMAX", "SoftmaxOptions", (1, 3, 7), source=Quant(0.02, 0), result=SOFTMAX, Beta=0.7
    ),
    "softmax wide": lambda: m.unary(
        "SOFTMAX", "SoftmaxOptions", (1, 1000), source=Quant(0.01, 0), result=SOFTMAX, Beta=1.0
    ),
    "leaky relu negative alpha": lambda: m.unary(
        "LEAKY_RELU", "LeakyReluOptions", (1, 256), result=Quant(0.1, 3), Alpha=-0.3
    ),
    "hard swish small scale": lambda: m.unary(
        "HARD_SWISH", "HardSwishOptions", (1, 999), source=Quant(0.004, 9), result=Quant(0.003, 3)
    ),
    "hard swish large scale": lambda: m.unary(
        "HARD_SWISH", "HardSwishOptions", (1, 999), source=Quant(0.4, 9), result=Quant(0.3, 3)
    ),
    "relu same scale": lambda: m.unary("RELU", "", (1, 256), source=Quant(0.05, 3), result=Quant(0.05, 3)),
    "relu6 same scale": lambda: m.unary("RELU6", "", (1, 256), source=Quant(0.05, 3), result=Quant(0.05, 3)),
    "relu6 other scale": lambda: m.unary("RELU6", "", (1, 256), source=Quant(0.05, 3), result=Quant(6 / 255, -128)),
    "quantize float to int8": lambda: m.unary(
        "QUANTIZE", "QuantizeOptions", (1, 999), result=Quant(0.03, 7), dtypes=("float32", "int8")
    ),
    "quantize int8 to uint8": lambda: m.unary(
        "QUANTIZE", "QuantizeOptions", (1, 999), source=Quant(0.5, -5), result=Quant(0.3, 9), dtypes=("int8", "uint8")
    ),
    "quantize uint8 to int8 same scale": lambda: m.unary(
        "QUANTIZE", "QuantizeOptions", (1, 999), source=Quant(0.5, 128), result=Quant(0.5, 0), dtypes=("uint8", "int8")
    ),
    "quantize uint8 to int8": lambda: m.unary(
        "QUANTIZE", "QuantizeOptions", (1, 999), source=Quant(0.5, 3), result=Quant(0.7, 0), dtypes=("uint8", "int8")
    ),
    "quantize int8 to int8": lambda: m.unary("QUANTIZE", "QuantizeOptions", (1, 999), result=Quant(0.07, 2)),
    "dequantize int8": lambda: m.unary(
        "DEQUANTIZE", "DequantizeOptions", (1, 999), source=Quant(0.037, -11), dtypes=("int8", "float32")
    ),
    "dequantize uint8": lambda: m.unary(
        "DEQUANTIZE", "DequantizeOptions", (1, 999), source=Quant(0.037, 11), dtypes=("uint8", "float32")
    ),
    "mean over image, kept": lambda: mean((1, 6, 7, 5), (1, 2), keep=True),
    "mean over image, dropped": lambda: mean((1, 6, 7, 5), (1, 2), keep=False),
    "mean over channels": lambda: mean((1, 6, 7, 5), (3,), keep=False),
    "mean over negative axis": lambda: mean((1, 6, 7), (-1,), keep=True),
    "mean over all but batch": lambda: mean((1, 6, 7, 5), (1, 2, 3), keep=False),
    "mean large count": lambda: mean((1, 48, 48, 3), (1, 2), keep=True, result=Quant(0.001, 60)),
    "pad": lambda: m.with_constants(
        "PAD", "PadOptions", (1, 4, 5, 2), [(1, 7, 6, 2)], [[[0, 0], [1, 2], [0, 1], [0, 0]]], source=Quant(0.1, -9)
    ),
    "pad channels": lambda: m.with_constants(
        "PAD", "PadOptions", (1, 4, 5, 2), [(1, 4, 5, 5)], [[[0, 0], [0, 0], [0, 0], [1, 2]]], source=Quant(0.1, -9)
    ),
    "pad v2": lambda: m.with_constants(
        "PADV2",
        "PadV2Options",
        (1, 4, 5, 2),
        [(1, 7, 6, 2)],
        [[[0, 0], [1, 2], [0, 1], [0, 0]], np.array([-77], dtype=np.int8)],
    ),
    "reshape": lambda: m.with_constants(
        "RESHAPE", "ReshapeOptions", (1, 4, 5, 2), [(1, 40)], [[1, 40]], NewShape=[1, 40]
    ),
    "expand dims": lambda: m.with_constants("EXPAND_DIMS", "ExpandDimsOptions", (1, 4, 5), [(1, 4, 1, 5)], [[2]]),
    "squeeze": lambda: m.with_constants("SQUEEZE", "SqueezeOptions", (1, 4, 1, 5), [(1, 4, 5)], [], SqueezeDims=[2]),
    "transpose": lambda: m.with_constants(
        "TRANSPOSE", "TransposeOptions", (1, 4, 5, 3), [(1, 3, 4, 5)], [[0, 3, 1, 2]]
    ),
    "transpose rank 3": lambda: m.with_constants("TRANSPOSE", "TransposeOptions", (2, 4, 5), [(5, 2, 4)], [[2, 0, 1]]),
    "split": lambda: m.with_constants(
        "SPLIT", "SplitOptions", (1, 4, 6, 2), [(1, 4, 3, 2)] * 2, [[2]], input_position=1, NumSplits=2
    ),
    "split negative axis": lambda: m.with_constants(
        "SPLIT", "SplitOptions", (1, 4, 6), [(1, 4, 2)] * 3, [[-1]], input_position=1, NumSplits=3
    ),
    "split v": lambda: m.with_constants(
        "SPLIT_V", "SplitVOptions", (1, 4, 6), [(1, 4, 1), (1, 4, 5)], [[1, 5], [2]], NumSplits=2
    ),
    "concatenation channels": lambda: m.concatenation([(1, 3, 4, 2), (1, 3, 4, 5), (1, 3, 4, 1)], 3),
    "concatenation rows": lambda: m.concatenation([(1, 3, 4, 2), (1, 1, 4, 2)], 1),
    "concatenation negative axis": lambda: m.concatenation([(1, 3), (1, 4)], -1),
    "strided slice": lambda: strided((1, 8, 9, 4), (1, 3, 4, 2), [0, 1, 2, 1], [1, 7, 9, 3], [1, 2, 2, 1]),
    "strided slice negative end": lambda: strided((1, 8, 9), (1, 7, 6), [0, 0, -7], [1, -1, -1], [1, 1, 1]),
    "strided slice masks": lambda: strided(
        (1, 8, 9), (1, 6, 4), [5, 2, 5], [0, 0, 9], [1, 1, 1], BeginMask=1, EndMask=3
    ),
    "strided slice shrink": lambda: strided((1, 8, 9), (1, 9), [0, 3, 0], [1, 4, 9], [1, 1, 1], ShrinkAxisMask=2),
    "strided slice shrink negative": lambda: strided(
        (1, 8, 9), (1, 8), [0, 0, -1], [1, 8, 0], [1, 1, 1], ShrinkAxisMask=4
    ),
    "strided slice backwards": lambda: strided((1, 8, 9), (1, 8, 3), [0, 7, 8], [1, 0, 0], [1, -1, -3], EndMask=2),
    "maximum": lambda: m.binary("MAXIMUM", (1, 4, 5, 3), (1, 4, 5, 3), left=SAME_QUANT, **SAME_QUANTS),
    "minimum": lambda: m.binary("MINIMUM", (1, 4, 5, 3), (1, 1, 1, 3), left=SAME_QUANT, **SAME_QUANTS),
    "maximum of a constant": lambda: m.binary(
        "MAXIMUM", (1, 4, 5, 3), (1,), left=SAME_QUANT, **SAME_QUANTS, constant_right=True
    ),
    "sum over image": lambda: mean((1, 6, 7, 5), (1, 2), keep=True, kind="SUM"),
    "sum over channels": lambda: mean((1, 6, 7, 5), (3,), keep=False, kind="SUM", result=Quant(0.4, 11)),
    "reduce max over image": lambda: mean((1, 6, 7, 5), (1, 2), keep=False, kind="REDUCE_MAX", result=Quant()),
    "abs same scale": lambda: m.unary("ABS", "AbsOptions", (1, 999), source=Quant(0.05, 3), result=Quant(0.05, -70)),
    "abs other scale": lambda: m.unary("ABS", "AbsOptions", (1, 999), source=Quant(0.05, 3), result=Quant(0.04, -128)),
    "elu": lambda: m.unary("ELU", "", (1, 999), source=Quant(0.05, 3), result=Quant(0.03, -90)),
    "prelu one slope a channel": lambda: m.prelu(
        (1, 4, 5, 3), (1, 1, 3), Quant(0.05, 3), Quant(0.06, -20), Quant(0.01, 2)
    ),
    "prelu one slope": lambda: m.prelu((1, 4, 5, 3), (1,), Quant(0.05, 3), Quant(0.03, 0), Quant(0.004, 0)),
    "pack first": lambda: m.pack((1, 4, 3), 3, 1),
    "pack last": lambda: m.pack((1, 4, 3), 2, -1),
    "unpack": lambda: m.unpack((1, 4, 3, 2), 2),
    "slice": lambda: m.with_constants(
        "SLICE", "SliceOptions", (1, 8, 9, 4), [(1, 3, 7, 4)], [[0, 4, 2, 0], [1, 3, -1, 4]]
    ),
    "reverse": lambda: m.with_constants("REVERSE_V2", "ReverseV2Options", (1, 4, 5, 3), [(1, 4, 5, 3)], [[2]]),
    "gather one": lambda: m.with_constants("GATHER", "GatherOptions", (1, 4, 5), [(1, 5)], [np.int32(2)], Axis=1),
    "gather every second": lambda: m.with_constants(
        "GATHER", "GatherOptions", (1, 7, 5), [(1, 3, 5)], [[1, 3, 5]], Axis=1
    ),
    "mirror pad reflect": lambda: mirror(0),
    "mirror pad symmetric": lambda: mirror(1),
    "depth to space": lambda: m.with_constants(
        "DEPTH_TO_SPACE", "DepthToSpaceOptions", (1, 3, 4, 12), [(1, 6, 8, 3)], [], BlockSize=2
    ),
    "space to depth": lambda: m.with_constants(
        "SPACE_TO_DEPTH", "SpaceToDepthOptions", (1, 6, 9, 2), [(1, 2, 3, 18)], [], BlockSize=3
    ),
    "transposed conv 3x3 stride 2 same": lambda: m.transpose_conv((1, 4, 5, 3), 4, (3, 3), (2, 2), padding=SAME),
    "transposed conv 3x3 stride 2 valid": lambda: m.transpose_conv((1, 4, 5, 3), 4, (3, 3), (2, 2)),
    "transposed conv 2x2 stride 2": lambda: m.transpose_conv((1, 4, 5, 3), 4, (2, 2), (2, 2), bias=False),
    "transposed conv 4x4 stride 2 same": lambda: m.transpose_conv((1, 4, 5, 3), 2, (4, 4), (2, 2), padding=SAME),
    "transposed conv odd output": lambda: m.transpose_conv(
        (1, 4, 5, 3), 2, (5, 4), (2, 3), padding=SAME, output_hw=(7, 13)
    ),
    "transposed conv stride 1": lambda: m.transpose_conv((1, 4, 5, 3), 2, (3, 3), (1, 1), padding=SAME),
    "transposed conv stride above kernel": lambda: m.transpose_conv((1, 3, 4, 3), 2, (2, 1), (3, 2)),
    "bilinear doubled": lambda: resize((1, 4, 5, 3), (8, 10), BILINEAR),
    "bilinear doubled half pixel": lambda: resize((1, 4, 5, 3), (8, 10), BILINEAR, HalfPixelCenters=True),
    "bilinear odd": lambda: resize((1, 4, 5, 3), (7, 3), BILINEAR),
    "bilinear align corners": lambda: resize((1, 4, 5, 3), (7, 9), BILINEAR, AlignCorners=True),
    "bilinear down half pixel": lambda: resize((1, 9, 11, 2), (4, 5), BILINEAR, HalfPixelCenters=True),
    "resize doubled": lambda: resize((1, 4, 5, 3), (8, 10)),
    "resize odd": lambda: resize((1, 4, 5, 3), (7, 3)),
    "resize align corners": lambda: resize((1, 4, 5, 3), (7, 9), AlignCorners=True),
    "resize half pixel": lambda: resize((1, 4, 5, 3), (9, 7), HalfPixelCenters=True),
}

SOFTMAX = Quant(1 / 256, -128)
INT4_RESULT = Quant(0.02, 3)
INT8_SOURCE = Quant()
MEAN_RESULT = Quant(0.03, -5)
SAME_QUANT = Quant(0.05, 3)
SAME_QUANTS: dict[str, Any] = {"right": SAME_QUANT, "result": SAME_QUANT}
NEAREST, BILINEAR = "NEAREST_NEIGHBOR", "BILINEAR"


def mean(
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    *,
    keep: bool,
    source: Quant = INT8_SOURCE,
    result: Quant = MEAN_RESULT,
    kind: str = "MEAN",
) -> bytes:
    """Return a model of one MEAN, SUM or REDUCE_MAX."""
    positive = {a % len(shape) for a in axes}
    kept = tuple(1 if i in positive else d for i, d in enumerate(shape) if keep or i not in positive)
    return m.with_constants(kind, "ReducerOptions", shape, [kept], [axes], source=source, result=result, KeepDims=keep)


def strided(shape: Any, output: Any, begin: Any, end: Any, strides: Any, **masks: int) -> bytes:
    """Return a model of one STRIDED_SLICE."""
    return m.with_constants("STRIDED_SLICE", "StridedSliceOptions", shape, [output], [begin, end, strides], **masks)


def mirror(mode: int) -> bytes:
    """Return a model of one MIRROR_PAD of height and width: mode 0 reflects, 1 repeats the border too."""
    widths = [[0, 0], [1, 2], [3, 0], [0, 0]]
    return m.with_constants("MIRROR_PAD", "MirrorPadOptions", (1, 4, 5, 2), [(1, 7, 8, 2)], [widths], Mode=mode)


def resize(shape: tuple[int, ...], hw: tuple[int, int], kind: str = NEAREST, **options: bool) -> bytes:
    """Return a model of one RESIZE_NEAREST_NEIGHBOR or RESIZE_BILINEAR."""
    table = "".join(word.capitalize() for word in kind.split("_"))
    return m.with_constants(f"RESIZE_{kind}", f"Resize{table}Options", shape, [(1, *hw, shape[3])], [hw], **options)
