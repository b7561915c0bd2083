"""Hand-made graphs for tests: one method an operator, seeded weights, output shapes worked out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from services.compiler.importers.padding import Window, output_hw, same_padding
from services.compiler.ir import ops, planned_ops
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Mean, Op, Padding, Sum
from services.compiler.ir.tensor import DType, QuantParams, Tensor, TensorId
from services.compiler.ir.verify import verify

Pair = tuple[int, int]
T = TypeVar("T")
_BINARY: dict[str, type[ops.Add] | type[ops.Sub] | type[ops.Mul]] = {
    "add": ops.Add,
    "sub": ops.Sub,
    "mul": ops.Mul,
}


@dataclass
class GraphMaker:
    """Grows a graph; scales and zero points of new tensors come from the seed, some of them extreme if `wild`."""

    seed: int = 0
    name: str = "made"
    activations: DType = DType.INT8
    wild: bool = False
    tensors: dict[TensorId, Tensor] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    inputs: list[TensorId] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def pick(self, *values: T) -> T:
        """Return one of the values."""
        return values[int(self.random.integers(len(values)))]

    # tensors
    def quant(self) -> QuantParams:
        if self.wild and self.random.random() < 0.2:
            scale = float(np.float32(2.0 ** self.random.uniform(-18, 5)))
            return QuantParams((scale,), (int(self.random.choice([-128, -1, 0, 127])),))
        scale = float(np.float32(self.random.uniform(0.01, 0.2)))
        zero_point = int(self.random.integers(-128, 128))
        if self.activations is DType.INT16:
            return QuantParams((float(np.float32(scale / 100)),), (0,))
        return QuantParams((scale,), (zero_point,))

    def tensor(self, shape: tuple[int, ...], quant: QuantParams | None = None, dtype: DType | None = None) -> TensorId:
        t = len(self.tensors)
        dtype = dtype or self.activations
        self.tensors[t] = Tensor(f"t{t}", shape, dtype, None if dtype.is_float else quant or self.quant())
        return t

    def input(self, *shape: int, quant: QuantParams | None = None, dtype: DType | None = None) -> TensorId:
        t = self.tensor(shape, quant, dtype)
        self.inputs.append(t)
        return t

    def constant(
        self, data: npt.NDArray[np.generic], quant: QuantParams | None, dtype: DType | None = None
    ) -> TensorId:
        """Add a constant of the array's type, or int4 held as int8."""
        t = len(self.tensors)
        held = dtype or DType(data.dtype.name)
        self.tensors[t] = Tensor(f"t{t}", data.shape, held, quant, data, is_constant=True)
        return t

    def shape(self, t: TensorId) -> tuple[int, ...]:
        return self.tensors[t].shape

    def same_quant(self, t: TensorId) -> QuantParams:
        quant = self.tensors[t].quant
        assert quant is not None
        return quant

    def add_op(self, op: Op) -> TensorId:
        self.ops.append(op)
        return op.output

    def name_op(self, kind: str) -> str:
        return f"{kind} {len(self.ops)}"

    # operators with weights
    def conv2d(
        self, x: TensorId, channels: int, kernel: Pair = (3, 3), stride: Pair = (1, 1), dilation: Pair = (1, 1),
        padding: Padding | None = None, activation: Activation = Activation.NONE, bias: bool = True,
        weights: DType = DType.INT8,
    ) -> TensorId:  # fmt: skip
        _, h, w, c = self.shape(x)
        window = Window(kernel, stride, dilation)
        padding = same_padding(window, (h, w)) if padding is None else padding
        filters, scales = self._weights((channels, *kernel, c), 0, weights)
        inputs = (x, filters, *([self._bias(x, scales)] if bias else []))
        y = self.tensor((1, *output_hw(window, padding, (h, w)), channels))
        return self.add_op(
            ops.Conv2D(
                name=self.name_op("conv"),
                inputs=inputs,
                outputs=(y,),
                stride_hw=stride,
                dilation_hw=dilation,
                padding=padding,
                activation=activation,
            )
        )

    def depthwise(
        self, x: TensorId, multiplier: int = 1, kernel: Pair = (3, 3), stride: Pair = (1, 1), dilation: Pair = (1, 1),
        padding: Padding | None = None, activation: Activation = Activation.NONE, weights: DType = DType.INT8,
    ) -> TensorId:  # fmt: skip
        _, h, w, c = self.shape(x)
        window = Window(kernel, stride, dilation)
        padding = same_padding(window, (h, w)) if padding is None else padding
        filters, scales = self._weights((1, *kernel, c * multiplier), 3, weights)
        y = self.tensor((1, *output_hw(window, padding, (h, w)), c * multiplier))
        return self.add_op(
            ops.DepthwiseConv2D(
                name=self.name_op("depthwise"),
                inputs=(x, filters, self._bias(x, scales)),
                outputs=(y,),
                stride_hw=stride,
                dilation_hw=dilation,
                padding=padding,
                activation=activation,
            )
        )

    def dense(
        self, x: TensorId, features: int, *, per_channel: bool = False, activation: Activation = Activation.NONE,
        weights: DType = DType.INT8,
    ) -> TensorId:  # fmt: skip
        rows, scales = self._weights((features, self.shape(x)[-1]), 0, weights, per_channel=per_channel)
        y = self.tensor((*self.shape(x)[:-1], features))
        inputs = (x, rows, self._bias(x, scales, features))
        return self.add_op(
            ops.FullyConnected(name=self.name_op("dense"), inputs=inputs, outputs=(y,), activation=activation)
        )

    def _weights(
        self, shape: tuple[int, ...], axis: int, dtype: DType, *, per_channel: bool = True
    ) -> tuple[TensorId, tuple[float, ...]]:
        count = shape[axis] if per_channel else 1
        fan_in = max(1, int(np.prod(shape)) // shape[axis])
        scales = tuple(float(np.float32(s)) for s in self.random.uniform(0.002, 0.02, count) / fan_in**0.5)
        quant = QuantParams(scales, (0,) * count, axis if per_channel else None)
        if dtype is DType.INT4:
            scales = tuple(s * 16 for s in scales)
            quant = replace(quant, scale=scales)
            return self.constant(self.random.integers(-8, 8, shape).astype(np.int8), quant, DType.INT4), scales
        return self.constant(self.random.integers(-127, 128, shape).astype(np.int8), quant), scales

    def _bias(self, x: TensorId, scales: tuple[float, ...], count: int | None = None) -> TensorId:
        dtype = np.int64 if self.activations is DType.INT16 else np.int32
        values = self.random.integers(-3000, 3000, count or len(scales)).astype(dtype)
        return self.constant(values, None)

    def rnn_pool(
        self, x: TensorId, hidden: int, summary: int, patch: Pair = (4, 4), stride: Pair = (4, 4),
        padding: Padding | None = None,
    ) -> TensorId:  # fmt: skip
        _, h, w, c = self.shape(x)
        padding = padding or Padding()
        cells = [*self._cell(hidden, c, self.same_quant(x).scale[0] * 40), *self._cell(summary, hidden, 0.5)]
        size = output_hw(Window(patch, stride), padding, (h, w))
        y = self.tensor((1, *size, 4 * summary), QuantParams((1 / 128,), (0,)))
        return self.add_op(
            ops.RnnPool(
                name=self.name_op("rnn pool"),
                inputs=(x, *cells),
                outputs=(y,),
                kernel_hw=patch,
                stride_hw=stride,
                padding=padding,
                zeta=(float(self.random.uniform(0.5, 1)), 1.0),
                nu=(float(self.random.uniform(0, 0.3)), 0.01),
            )
        )

    def _cell(self, hidden: int, inputs: int, typical_input: float) -> tuple[TensorId, TensorId, TensorId]:
        """Weights such that sums are a few units of the sigmoid's argument."""

        def matrix(columns: int, typical: float) -> TensorId:
            scale = float(np.float32(self.random.uniform(0.01, 0.04) / columns**0.5 / typical))
            return self.constant(
                self.random.integers(-127, 128, (hidden, columns)).astype(np.int8), QuantParams((scale,), (0,))
            )

        bias = self.random.integers(-6000, 6000, (2, hidden)).astype(np.int32)
        return matrix(inputs, typical_input), matrix(hidden, 0.5), self.constant(bias, None)

    # operators without
    def binary(self, kind: str, a: TensorId, b: TensorId, activation: Activation = Activation.NONE) -> TensorId:
        shape = np.broadcast_shapes(self.shape(a), self.shape(b))
        y = self.tensor(tuple(int(d) for d in shape))
        if kind in ("maximum", "minimum"):
            self.tensors[y] = replace(self.tensors[y], quant=self.same_quant(a))
            extremum = ops.Maximum if kind == "maximum" else ops.Minimum
            return self.add_op(extremum(name=self.name_op(kind), inputs=(a, b), outputs=(y,)))
        return self.add_op(_BINARY[kind](name=self.name_op(kind), inputs=(a, b), outputs=(y,), activation=activation))

    def pool(
        self, kind: str, x: TensorId, kernel: Pair, stride: Pair = (1, 1), padding: Padding | None = None,
        activation: Activation = Activation.NONE,
    ) -> TensorId:  # fmt: skip
        _, h, w, c = self.shape(x)
        window = Window(kernel, stride)
        padding = same_padding(window, (h, w)) if padding is None else padding
        y = self.tensor((1, *output_hw(window, padding, (h, w)), c), self.same_quant(x))
        cls = ops.AveragePool2D if kind == "average" else ops.MaxPool2D
        return self.add_op(
            cls(
                name=self.name_op(kind),
                inputs=(x,),
                outputs=(y,),
                kernel_hw=kernel,
                stride_hw=stride,
                padding=padding,
                activation=activation,
            )
        )

    def unary(self, kind: str, x: TensorId, **attributes: float | Activation) -> TensorId:
        fixed = {
            "logistic": QuantParams((1 / 256,), (-128,)),
            "softmax": QuantParams((1 / 256,), (-128,)),
            "tanh": QuantParams((1 / 128,), (0,)),
        }
        if self.activations is DType.INT16:
            fixed = dict.fromkeys(fixed, QuantParams((2.0**-15,), (0,)))
        classes = {
            "logistic": ops.Logistic, "softmax": ops.Softmax, "tanh": ops.Tanh, "hard_swish": ops.HardSwish,
            "relu": ops.Relu, "leaky_relu": ops.LeakyRelu,
        }  # fmt: skip
        y = self.tensor(self.shape(x), fixed.get(kind))
        return self.add_op(classes[kind](name=self.name_op(kind), inputs=(x,), outputs=(y,), **attributes))

    def quantize(self, x: TensorId, dtype: DType | None = None) -> TensorId:
        fixed = {
            DType.UINT8: QuantParams((0.07,), (131,)),
            DType.INT16: QuantParams((float(np.float32(0.0007)),), (0,)),
        }
        quant = fixed.get(dtype) if dtype else None
        y = self.tensor(self.shape(x), quant, dtype)
        return self.add_op(ops.Quantize(name=self.name_op("quantize"), inputs=(x,), outputs=(y,)))

    def dequantize(self, x: TensorId) -> TensorId:
        y = self.tensor(self.shape(x), dtype=DType.FLOAT32)
        return self.add_op(ops.Dequantize(name=self.name_op("dequantize"), inputs=(x,), outputs=(y,)))

    def prelu(self, x: TensorId, alpha_shape: tuple[int, ...]) -> TensorId:
        alpha = self.constant(self.random.integers(-128, 128, alpha_shape).astype(np.int8), self.quant())
        y = self.tensor(self.shape(x))
        return self.add_op(ops.PRelu(name=self.name_op("prelu"), inputs=(x, alpha), outputs=(y,)))

    def table(self, x: TensorId) -> TensorId:
        results = self.constant(self.random.integers(-128, 128, 256).astype(np.int8), None)
        y = self.tensor(self.shape(x))
        return self.add_op(ops.Table(name=self.name_op("table"), inputs=(x, results), outputs=(y,)))

    def mean(self, x: TensorId, axes: tuple[int, ...], *, keep: bool = True) -> TensorId:
        return self.reduce(Mean, x, axes, keep=keep)

    def sum(self, x: TensorId, axes: tuple[int, ...], *, keep: bool = True) -> TensorId:
        return self.reduce(Sum, x, axes, keep=keep)

    def reduce(self, cls: type[Mean] | type[Sum], x: TensorId, axes: tuple[int, ...], *, keep: bool) -> TensorId:
        shape = self.shape(x)
        kept = tuple(1 if i in axes else d for i, d in enumerate(shape) if keep or i not in axes)
        return self.add_op(cls(name=self.name_op(cls.__name__), inputs=(x,), outputs=(self.tensor(kept),), axes=axes))

    def image_sums(self, x: TensorId) -> TensorId:
        y = self.tensor((1, 1, 1, self.shape(x)[3]), self.same_quant(x), DType.INT32)
        return self.add_op(planned_ops.ImageSums(name=self.name_op("image sums"), inputs=(x,), outputs=(y,)))

    def mean_of_sums(self, sums: TensorId, pixels: int, *, keep: bool = True) -> TensorId:
        channels = self.shape(sums)[3]
        y = self.tensor((1, 1, 1, channels) if keep else (1, channels))
        return self.add_op(
            planned_ops.MeanOfSums(name=self.name_op("mean of sums"), inputs=(sums,), outputs=(y,), pixels=pixels)
        )

    def mean_in_halves(self, x: TensorId, *, keep: bool = True) -> TensorId:
        _, h, w, _ = self.shape(x)
        return self.mean_of_sums(self.image_sums(x), h * w, keep=keep)

    def pool_of_sums(self, sums: TensorId, pixels: int, activation: Activation = Activation.NONE) -> TensorId:
        y = self.tensor(self.shape(sums), self.same_quant(sums))
        return self.add_op(
            planned_ops.PoolOfSums(
                name=self.name_op("pool of sums"), inputs=(sums,), outputs=(y,), pixels=pixels, activation=activation
            )
        )

    def pool_in_halves(self, x: TensorId, activation: Activation = Activation.NONE) -> TensorId:
        _, h, w, _ = self.shape(x)
        return self.pool_of_sums(self.image_sums(x), h * w, activation)

    def global_pool(self, x: TensorId, activation: Activation = Activation.NONE) -> TensorId:
        """An average pool whose window is the image."""
        _, h, w, _ = self.shape(x)
        return self.pool("average", x, (h, w), padding=Padding(), activation=activation)

    def pad(self, x: TensorId, before: tuple[int, ...], after: tuple[int, ...]) -> TensorId:
        shape = tuple(b + d + a for b, d, a in zip(before, self.shape(x), after, strict=True))
        quant = self.same_quant(x)
        y = self.tensor(shape, quant)
        return self.add_op(
            ops.Pad(
                name=self.name_op("pad"),
                inputs=(x,),
                outputs=(y,),
                before=before,
                after=after,
                value=quant.zero_point[0],
            )
        )

    def reshape(self, x: TensorId, *shape: int) -> TensorId:
        y = self.tensor(shape, self.tensors[x].quant, self.tensors[x].dtype)
        return self.add_op(ops.Reshape(name=self.name_op("reshape"), inputs=(x,), outputs=(y,)))

    def concatenate(self, parts: tuple[TensorId, ...], axis: int, activation: Activation = Activation.NONE) -> TensorId:
        shape = list(self.shape(parts[0]))
        shape[axis] = sum(self.shape(p)[axis] for p in parts)
        y = self.tensor(tuple(shape), self.same_quant(parts[0]))
        return self.add_op(
            ops.Concatenation(
                name=self.name_op("concatenate"), inputs=parts, outputs=(y,), axis=axis, activation=activation
            )
        )

    def slice(
        self, x: TensorId, begin: tuple[int, ...], end: tuple[int, ...], strides: tuple[int, ...],
        shape: tuple[int, ...] | None = None,
    ) -> TensorId:  # fmt: skip
        size = tuple(len(range(*limits)) for limits in zip(begin, end, strides, strict=True))
        y = self.tensor(shape or size, self.same_quant(x))
        return self.add_op(
            ops.StridedSlice(
                name=self.name_op("slice"), inputs=(x,), outputs=(y,), begin=begin, end=end, strides=strides
            )
        )

    def split(self, x: TensorId, axis: int, sizes: tuple[int, ...]) -> tuple[TensorId, ...]:
        shape = self.shape(x)
        outputs = tuple(self.tensor((*shape[:axis], size, *shape[axis + 1 :]), self.same_quant(x)) for size in sizes)
        self.ops.append(ops.Split(name=self.name_op("split"), inputs=(x,), outputs=outputs, axis=axis))
        return outputs

    def transpose(self, x: TensorId, permutation: tuple[int, ...]) -> TensorId:
        y = self.tensor(tuple(self.shape(x)[p] for p in permutation), self.same_quant(x))
        return self.add_op(
            ops.Transpose(name=self.name_op("transpose"), inputs=(x,), outputs=(y,), permutation=permutation)
        )

    def transpose_image(self, x: TensorId) -> TensorId:
        _, h, w, c = self.shape(x)
        y = self.tensor((1, w, h, c), self.tensors[x].quant, self.tensors[x].dtype)
        return self.add_op(planned_ops.TransposeImage(name=self.name_op("transpose image"), inputs=(x,), outputs=(y,)))

    def resize(
        self, x: TensorId, h: int, w: int, *, corners: bool = False, half: bool = False, bilinear: bool = False
    ) -> TensorId:
        y = self.tensor((1, h, w, self.shape(x)[3]), self.same_quant(x))
        cls = ops.ResizeBilinear if bilinear else ops.ResizeNearestNeighbor
        return self.add_op(
            cls(name=self.name_op("resize"), inputs=(x,), outputs=(y,), align_corners=corners, half_pixel_centers=half)
        )

    # result
    def build(self, *outputs: TensorId) -> Graph:
        return verify(Graph(self.name, self.tensors, tuple(self.ops), tuple(self.inputs), outputs))


def random_inputs(graph: Graph, seed: int) -> tuple[npt.NDArray[np.generic], ...]:
    """Return one array an input: bytes over the whole range, floats well over the quantized range."""
    random = np.random.default_rng(seed)
    arrays: list[npt.NDArray[np.generic]] = []
    for t in graph.inputs:
        tensor = graph.tensors[t]
        if tensor.dtype.is_float:
            arrays.append(random.normal(0, 8, tensor.shape).astype(np.float32))
        else:
            low, high = tensor.dtype.value_range
            arrays.append(random.integers(low, high + 1, tensor.shape).astype(tensor.dtype.numpy))
    return tuple(arrays)
