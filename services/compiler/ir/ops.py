"""The closed set of operators, those of model files here: dispatch with `match` over `Op` and `assert_never`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from services.compiler.ir.activation import Activation
from services.compiler.ir.node import Node, WeightedNode
from services.compiler.ir.planned_ops import ImageSums, MeanOfSums, PoolOfSums, PullRows, TransposeImage
from services.compiler.ir.tensor import TensorId


@dataclass(frozen=True, slots=True)
class Padding:
    """Explicit rows and columns of the input's zero point around the image."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def __post_init__(self) -> None:
        if min(self.top, self.bottom, self.left, self.right) < 0:
            raise ValueError(f"padding {self} is negative: every side must be at least 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv2D(WeightedNode):
    """2-D convolution: NHWC input, OHWI weights. 1-D convolutions are 2-D ones of height or width 1."""

    stride_hw: tuple[int, int] = (1, 1)
    dilation_hw: tuple[int, int] = (1, 1)
    padding: Padding = Padding()
    activation: Activation = Activation.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthwiseConv2D(WeightedNode):
    """Depthwise convolution: NHWC input with C channels, 1HWO weights with O = C * multiplier."""

    stride_hw: tuple[int, int] = (1, 1)
    dilation_hw: tuple[int, int] = (1, 1)
    padding: Padding = Padding()
    activation: Activation = Activation.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class FullyConnected(WeightedNode):
    """Dense layer: the input is read as [batch, I], weights are [O, I]."""

    activation: Activation = Activation.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Node):
    """Element-wise sum with numpy broadcasting; either input may be a constant."""

    activation: Activation = Activation.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Sub(Node):
    """Element-wise difference with numpy broadcasting."""

    activation: Activation = Activation.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Mul(Node):
    """Element-wise product with numpy broadcasting (also the excitation of an SE block)."""

    activation: Activation = Activation.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Maximum(Node):
    """Element-wise larger one of two inputs of one quantization, with numpy broadcasting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Minimum(Node):
    """Element-wise smaller one of two inputs of one quantization, with numpy broadcasting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragePool2D(Node):
    """Average over windows; padding does not count towards the divisor."""

    kernel_hw: tuple[int, int]
    stride_hw: tuple[int, int] = (1, 1)
    padding: Padding = Padding()
    activation: Activation = Activation.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxPool2D(Node):
    """Maximum over windows; padding never wins."""

    kernel_hw: tuple[int, int]
    stride_hw: tuple[int, int] = (1, 1)
    padding: Padding = Padding()
    activation: Activation = Activation.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean(Node):
    """Mean over `axes` (non-negative, sorted); the output shape tells whether dimensions are kept."""

    axes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum(Node):
    """Sum over `axes` (non-negative, sorted); the output shape tells whether dimensions are kept."""

    axes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pad(Node):
    """Constant padding; `before` and `after` have one entry a dimension, `value` is a quantized integer."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reshape(Node):
    """The same bytes under another shape, or another scale and zero point (Reshape, ExpandDims, Squeeze, Flatten)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Softmax(Node):
    """Softmax over the last dimension."""

    beta: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Logistic(Node):
    """Sigmoid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tanh(Node):
    """Hyperbolic tangent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HardSwish(Node):
    """x * relu6(x + 3) / 6."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relu(Node):
    """Requantize to the output's scale and clamp there: `activation` is RELU, RELU6 or RELU_N1_TO_1."""

    activation: Activation = Activation.RELU


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakyRelu(Node):
    """x where x >= 0, else alpha * x."""

    alpha: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PRelu(Node):
    """x where x >= 0, else alpha * x: inputs are data and a constant alpha that broadcasts (one a channel)."""

    @property
    def alpha(self) -> TensorId:
        """The slopes of negative values."""
        return self.inputs[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Node):
    """Any function of one int8 element: the second input holds the 256 results, that of -128 first."""

    @property
    def table(self) -> TensorId:
        """The int8 constant [256] of results."""
        return self.inputs[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Concatenation(Node):
    """Inputs joined along `axis` (non-negative); bytes are copied, never requantized."""

    axis: int
    activation: Activation = Activation.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class StridedSlice(Node):
    """Elements begin, begin + stride, ... before end in every dimension; masks are resolved by the importer.

    A negative stride runs down to above `end`, which may be -1. The output may drop dimensions of size 1.
    """

    begin: tuple[int, ...]
    end: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split(Node):
    """The input cut along `axis` into its outputs, whose shapes give the sizes."""

    axis: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Transpose(Node):
    """Dimensions in the order `permutation`, as numpy.transpose."""

    permutation: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeNearestNeighbor(Node):
    """Nearest-neighbor resize of H and W to the output's shape."""

    align_corners: bool = False
    half_pixel_centers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RnnPool(Node):
    """RNNPool: every patch of the image summarized by recurrent sweeps over its rows and columns.

    Inputs are the data and, of the sweep, then of the summary, input weights [hidden, inputs], recurrent weights
    [hidden, hidden] and biases [2, hidden] of gate and update. The output has four times the summary's hidden size
    as channels. `zeta` and `nu`, from 0 to 1, are of the sweep and of the summary. Arithmetic: docs/rnnpool.md.
    Sources: Saha et al., NeurIPS 2020; FastGRNN: Kusupati et al., NeurIPS 2018.
    """

    kernel_hw: tuple[int, int]
    stride_hw: tuple[int, int]
    padding: Padding = Padding()
    zeta: tuple[float, float]
    nu: tuple[float, float]

    @property
    def sweep(self) -> tuple[TensorId, TensorId, TensorId]:
        """Input weights, recurrent weights and biases of the sweeps over rows and columns."""
        return self.inputs[1], self.inputs[2], self.inputs[3]

    @property
    def summary(self) -> tuple[TensorId, TensorId, TensorId]:
        """Input weights, recurrent weights and biases of the passes over what the sweeps left."""
        return self.inputs[4], self.inputs[5], self.inputs[6]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeBilinear(Node):
    """Bilinear resize of H and W to the output's shape."""

    align_corners: bool = False
    half_pixel_centers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantize(Node):
    """Float to integer, or integer to integer of another scale or type (requantization)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dequantize(Node):
    """Integer to float32."""


Op = Union[  # noqa: UP007 - one operator a line reads as the list it is
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Add,
    Sub,
    Mul,
    Maximum,
    Minimum,
    AveragePool2D,
    MaxPool2D,
    Mean,
    Sum,
    ImageSums,
    MeanOfSums,
    PoolOfSums,
    Pad,
    Reshape,
    Softmax,
    Logistic,
    Tanh,
    HardSwish,
    Relu,
    LeakyRelu,
    PRelu,
    Table,
    Concatenation,
    StridedSlice,
    Split,
    Transpose,
    TransposeImage,
    ResizeNearestNeighbor,
    RnnPool,
    ResizeBilinear,
    Quantize,
    Dequantize,
    PullRows,
]
