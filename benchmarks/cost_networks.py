"""Networks whose layers' costs are measured: seeded layers of every kind, and one network for each kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import DType, TensorId
from services.compiler.kernels.kernel_set import KernelSet
from tests.compiler.graph_maker import GraphMaker

Pick = Callable[..., Any]  # one of its arguments


def _weighted(m: GraphMaker, pick: Pick, x: TensorId, weights: DType = DType.INT8) -> list[TensorId]:
    """Return seeded layers with weights of a type, of every kind that int4 weights have a kernel for."""
    _, h, w, c = m.shape(x)
    return [
        m.conv2d(x, int(m.random.integers(1, 33)), (1, 1), weights=weights),
        m.conv2d(x, int(m.random.integers(1, 25)), (3, 3), pick((1, 1), (2, 2)), weights=weights),
        m.conv2d(x, int(m.random.integers(1, 12)), pick((5, 5), (1, 7), (4, 3)), weights=weights),
        m.conv2d(x, 4, (3, 3), dilation=(2, 2), weights=weights),
        m.depthwise(x, kernel=(3, 3), stride=pick((1, 1), (2, 2)), weights=weights),
        m.depthwise(x, kernel=pick((5, 5), (7, 7), (1, 5)), stride=pick((1, 1), (2, 2)), weights=weights),
        m.depthwise(x, pick(2, 4), kernel=pick((3, 3), (5, 3)), weights=weights),
        m.depthwise(m.conv2d(x, 32, (1, 1)), kernel=(3, 3), stride=pick((1, 1), (2, 2)), weights=weights),
        m.depthwise(m.conv2d(x, 20, (1, 1)), kernel=pick((5, 5), (7, 7), (3, 5)), weights=weights),
        m.dense(m.reshape(x, 1, h * w * c), int(m.random.integers(1, 20)), weights=weights),
        m.dense(m.reshape(x, h * w, c), int(m.random.integers(1, 9)), per_channel=True, weights=weights),
    ]


def random_layers(seed: int) -> Graph:
    """Return a network of independent layers of every kind, all reading one image."""
    m = GraphMaker(seed=seed, name=f"layers_{seed}")
    pick = m.pick
    h, w, c = int(m.random.integers(5, 15)), int(m.random.integers(5, 15)), pick(1, 3, 4, 8, 13, 16, 24)
    x = m.input(1, h, w, c)
    outputs = [
        *_weighted(m, pick, x),
        m.binary(pick("add", "sub"), x, x),
        m.binary("mul", x, m.mean(x, (1, 2))),
        m.binary("mul", x, x),
        m.binary("add", x, m.constant(m.random.integers(-9, 9, (c,)).astype(np.int8), m.quant())),
        m.pool("average", x, pick((2, 2), (3, 3), (h, w)), pick((1, 1), (2, 2))),
        m.pool("max", x, pick((2, 2), (3, 3), (4, 2)), pick((1, 1), (2, 2))),
        m.mean(x, pick((1,), (3,), (1, 2, 3))),
        m.unary("softmax", m.dense(m.reshape(x, 1, h * w * c), int(m.random.integers(2, 40)))),
        m.unary("logistic", x),
        m.pad(x, (0, pick(0, 1, 2), 1, 0), (0, 1, pick(0, 3), pick(0, 1))),
        m.concatenate((x, x), pick(1, 2, 3)),
        m.slice(x, (0, 1, 1, 0), (1, h, w, c), (1, pick(1, 2), 1, 1)),
        m.transpose(x, pick((0, 3, 1, 2), (0, 2, 1, 3))),
        m.resize(x, h * 2, w * 2),
        m.dequantize(x),
        m.quantize(m.dequantize(x)),
        m.rnn_pool(x, pick(2, 4, 8), pick(2, 5), pick((3, 3), (4, 5), (5, 2)), pick((2, 2), (4, 3))),
        m.binary(pick("maximum", "minimum"), x, m.pool("max", x, (1, 1))),
        m.prelu(x, (c,)),
        m.prelu(x, (h, w, c)),
        m.resize(x, pick(h * 2, h // 2, h + 3), pick(w * 2, w // 2), bilinear=True),
        m.mean_in_halves(x),
    ]
    return m.build(*outputs)


def random_int4_layers(seed: int) -> Graph:
    """Return a network of independent layers with int4 weights, of every kind that has a kernel for them."""
    m = GraphMaker(seed=seed, name=f"int4_layers_{seed}")
    pick = m.pick
    h, w, c = int(m.random.integers(5, 15)), int(m.random.integers(5, 15)), pick(1, 3, 4, 8, 13, 16, 24)
    return m.build(*_weighted(m, pick, m.input(1, h, w, c), DType.INT4))


def random_int16_layers(seed: int) -> Graph:
    """Return a network of independent layers on int16 activations, of every kind that has a kernel for them."""
    m = GraphMaker(seed=seed, name=f"int16_layers_{seed}", activations=DType.INT16)
    pick = m.pick
    h, w, c = int(m.random.integers(5, 15)), int(m.random.integers(5, 15)), pick(1, 3, 4, 8, 13, 16, 24)
    x = m.input(1, h, w, c)
    narrow = m.quantize(x, DType.INT8)
    outputs = [
        m.conv2d(x, int(m.random.integers(1, 33)), (1, 1)),
        m.conv2d(x, int(m.random.integers(1, 25)), (3, 3), pick((1, 1), (2, 2))),
        m.conv2d(x, int(m.random.integers(1, 12)), pick((5, 5), (1, 7), (4, 3))),
        m.conv2d(x, 4, (3, 3), dilation=(2, 2)),
        m.depthwise(x, kernel=(3, 3), stride=pick((1, 1), (2, 2))),
        m.depthwise(x, kernel=pick((5, 5), (7, 7), (1, 5)), stride=pick((1, 1), (2, 2))),
        m.depthwise(x, pick(2, 4), kernel=pick((3, 3), (5, 3))),
        m.dense(m.reshape(x, 1, h * w * c), int(m.random.integers(1, 20))),
        m.dense(m.reshape(x, h * w, c), int(m.random.integers(1, 9)), per_channel=True),
        m.binary(pick("add", "sub"), x, x),
        m.binary("mul", x, m.mean(x, (1, 2))),
        m.binary("mul", x, x),
        m.pool("average", x, pick((2, 2), (3, 3), (h, w)), pick((1, 1), (2, 2))),
        m.pool("max", x, pick((2, 2), (3, 3), (4, 2)), pick((1, 1), (2, 2))),
        m.mean(x, pick((1,), (3,), (1, 2, 3))),
        m.unary("softmax", m.dense(m.reshape(x, 1, h * w * c), int(m.random.integers(2, 40)))),
        m.unary(pick("logistic", "tanh"), x),
        m.unary("relu", x),
        m.quantize(narrow, DType.INT16),
        m.dequantize(x),
        m.quantize(m.dequantize(x), DType.INT16),
    ]
    return m.build(*outputs)


def random_core_layers(seed: int) -> Graph:
    """Return a network of independent layers of the kinds that cores have kernels of their own for."""
    m = GraphMaker(seed=seed, name=f"core_layers_{seed}")
    pick = m.pick
    activation = partial(pick, Activation.NONE, Activation.NONE, Activation.RELU)
    outputs = []
    for first in range(3):
        size = (6, 16) if first else (17, 33)
        h, w = (int(n) for n in m.random.integers(*size, 2))
        c = pick(3, 4, 8, 13, 16, 24)
        x = m.input(1, h, w, c)
        wide = m.conv2d(x, pick(16, 32, 64), (1, 1), activation=activation())
        outputs += [
            m.conv2d(x, int(m.random.integers(1, 33)), (1, 1), pick((1, 1), (2, 2)), activation=activation()),
            m.conv2d(
                wide, int(m.random.integers(1, 40)), (1, 1), pick((1, 1), (1, 1), (2, 2)), activation=activation()
            ),
            m.conv2d(x, int(m.random.integers(1, 25)), (3, 3), pick((1, 1), (2, 2)), activation=activation()),
            m.conv2d(x, int(m.random.integers(1, 12)), pick((5, 5), (1, 7), (4, 3)), activation=activation()),
            m.conv2d(x, 4, (3, 3), dilation=(2, 2)),
            m.depthwise(x, kernel=(3, 3), stride=pick((1, 1), (2, 2)), activation=activation()),
            m.depthwise(x, kernel=pick((5, 5), (7, 7), (2, 5)), stride=pick((1, 1), (2, 2)), activation=activation()),
            m.depthwise(wide, kernel=(3, 3), stride=pick((1, 1), (2, 2)), activation=activation()),
            m.depthwise(wide, kernel=pick((5, 5), (7, 7), (3, 5)), activation=activation()),
            m.dense(m.reshape(x, 1, h * w * c), int(m.random.integers(1, 20)), activation=activation()),
            m.dense(m.reshape(x, h * w, c), int(m.random.integers(1, 9)), per_channel=True),
            m.binary("add", x, m.conv2d(x, c, (1, 1), activation=Activation.RELU6)),
        ]
    return m.build(*outputs)


def random_signals(seed: int) -> Graph:
    """Return a network of independent convolutions of signals: images of one column."""
    m = GraphMaker(seed=seed, name=f"signals_{seed}")
    length = int(m.random.integers(60, 200))
    outputs = []
    for channels in (m.pick(1, 2, 3), m.pick(4, 8), m.pick(12, 16, 32)):
        x = m.input(1, length, 1, channels)
        for taps in (2, m.pick(3, 4), m.pick(5, 7, 8, 9), m.pick(10, 13), m.pick(16, 24, 40)):
            filters, stride = int(m.random.integers(1, 40)), m.pick(1, 1, 2, 4)
            activation = m.pick(Activation.NONE, Activation.RELU)
            outputs.append(m.conv2d(x, filters, (taps, 1), (stride, 1), activation=activation))
    return m.build(*outputs)


def transposed_images(seed: int) -> Graph:
    """Return a network that transposes images of several sizes in place, each for itself."""
    m = GraphMaker(seed=seed, name=f"transposed_{seed}")
    images = [m.input(1, *(int(n) for n in m.random.integers(4, 40, 2)), c) for c in (1, 1, 3, 3, m.pick(4, 8), 13, 24)]
    return m.build(*map(m.transpose_image, images))


def moved_images(seed: int) -> Graph:
    """Return a network that joins, cuts, pads and transposes images, each layer for itself."""
    m = GraphMaker(seed=seed, name=f"moved_{seed}")
    outputs: list[TensorId] = []
    for channels in (m.pick(1, 2, 3), m.pick(4, 8), m.pick(5, 6, 10), m.pick(12, 20), m.pick(16, 24, 48)):
        h, w = (int(n) for n in m.random.integers(4, 20, 2))
        x, cut = m.input(1, h, w, channels), int(m.random.integers(0, max(1, channels // 2)))
        outputs += [
            m.concatenate((x, x), 3),
            m.concatenate((m.slice(x, (0, 0, 0, cut), (1, h, w, channels), (1, 1, 1, 1)), x), 3),
            *(m.split(x, 3, (channels // 2, channels - channels // 2)) if channels > 1 else ()),
            m.slice(x, (0, 1, 1, 0), (1, h, w, channels), (1, m.pick(1, 2), m.pick(1, 2), m.pick(1, 2))),
            m.pad(x, (0, 1, 1, 0), (0, m.pick(0, 2), 1, m.pick(0, 1, 3))),
            m.pad(x, (0, 0, 2, 0), (0, m.pick(0, 1), 0, 0)),
            m.transpose(x, m.pick((0, 3, 1, 2), (0, 2, 1, 3))),
        ]
    return m.build(*outputs)


def depthwise_chain(seed: int) -> Graph:
    """Return depthwise layers with no memory to spare, whose planes are cut in chunks of rows."""
    m = GraphMaker(seed=seed, name=f"depthwise_{seed}")
    x = m.input(1, *(int(n) for n in m.random.integers(24, 40, 2)), 8)
    for kernel, stride in ((3, 1), (5, 1), (3, 2)):
        x = m.depthwise(x, kernel=(kernel, kernel), stride=(stride, stride))
    return m.build(x)


def convolution_chain(seed: int) -> Graph:
    """Return convolutions with no memory to spare, whose pixels go in blocks of few pairs."""
    m = GraphMaker(seed=seed, name=f"convolutions_{seed}")
    channels = m.pick(3, 4, 5, 8)
    x = m.input(1, *(int(n) for n in m.random.integers(24, 40, 2)), channels)
    for kernel in (1, 3, 3, 5):
        x = m.conv2d(x, channels, (kernel, kernel), activation=m.pick(Activation.NONE, Activation.RELU))
    return m.build(x)


def core_kernel_networks(kernels: KernelSet) -> Iterator[tuple[str, Graph]]:
    """Yield for every kernel of a core's own a network that uses it and no other; the last uses two."""
    own = kernels.value
    pointwise: dict[str, Callable[[GraphMaker], int]] = {
        f"tf_pointwise_{own}_s8": lambda m: m.conv2d(m.input(1, 6, 6, 4), 4, (1, 1)),
    }
    signal: dict[str, Callable[[GraphMaker], int]] = {
        f"tf_conv2d_column_{own}_s8": lambda m: m.conv2d(m.input(1, 20, 1, 4), 4, (3, 1)),
    }
    element_wise: dict[str, Callable[[GraphMaker], int]] = {
        f"tf_mul_{own}_s8": lambda m: m.binary("mul", m.input(1, 4), m.input(1, 4)),
        f"tf_max_pool2d_{own}_s8": lambda m: m.pool("max", m.input(1, 4, 4, 2), (2, 2)),
        f"tf_average_pool2d_{own}_s8": lambda m: m.pool("average", m.input(1, 4, 4, 2), (2, 2)),
        f"tf_mean_{own}_s8": lambda m: m.mean(m.input(1, 4, 4, 2), (1, 2)),
        f"tf_image_sums_{own}_s8": lambda m: m.image_sums(m.input(1, 4, 4, 2)),
        f"tf_add_constant_{own}_s8": lambda m: m.binary(
            "add", m.input(1, 3, 4), m.constant(np.array([1, 2, 3, 4], np.int8), m.quant())
        ),
        f"tf_quantize_{own}_f32": lambda m: m.quantize(m.input(1, 4, dtype=DType.FLOAT32)),
        f"tf_softmax_{own}_s8": lambda m: m.unary("softmax", m.input(1, 4)),
    }
    makers: dict[str, Callable[[GraphMaker], int]] = {
        f"tf_conv2d_{own}_s8": lambda m: m.conv2d(m.input(1, 6, 6, 4), 4),
        **(pointwise | signal if kernels is KernelSet.THUMB2 else {}),
        **(element_wise if kernels is KernelSet.THUMB2 else {}),
        f"tf_fully_connected_{own}_s8": lambda m: m.dense(m.input(1, 8), 4),
        f"tf_depthwise_{own}_s8": lambda m: m.depthwise(m.input(1, 6, 6, 4)),
        f"tf_add_{own}_s8": lambda m: m.binary("add", m.input(1, 4), m.input(1, 4)),
        "tf_limit_s8": lambda m: m.conv2d(m.input(1, 6, 6, 4), 4, (1, 1), activation=Activation.RELU_N1_TO_1),
    }
    for kernel, make in makers.items():
        m = GraphMaker(name="probe")
        yield kernel, m.build(make(m))
    if kernels is KernelSet.THUMB2:
        thumb2_int16 = {
            f"tf_conv2d_{own}_s16": _INT16_WEIGHTED["tf_conv2d_s16"],
            f"tf_fully_connected_{own}_s16": _INT16_WEIGHTED["tf_fully_connected_s16"],
            f"tf_depthwise_{own}_s16": _INT16_WEIGHTED["tf_depthwise_conv2d_s16"],
        }
        for kernel, make in thumb2_int16.items():
            m = GraphMaker(name="probe", activations=DType.INT16)
            yield kernel, m.build(make(m))


_INT16_WEIGHTED: dict[str, Callable[[GraphMaker], int]] = {
    "tf_conv2d_s16": lambda m: m.conv2d(m.input(1, 6, 6, 4), 4),
    "tf_fully_connected_s16": lambda m: m.dense(m.input(1, 8), 4),
    "tf_depthwise_conv2d_s16": lambda m: m.depthwise(m.input(1, 6, 6, 4)),
}


def kernel_networks() -> Iterator[tuple[str, Graph]]:
    """Yield for every kernel a network that uses it, and one that uses none; what each links beyond is known."""
    makers: dict[str, Callable[[GraphMaker], int]] = {
        "": lambda m: m.reshape(m.input(1, 4), 4),
        "tf_conv2d_s8": lambda m: m.conv2d(m.input(1, 6, 6, 4), 4),
        "tf_depthwise_conv2d_s8": lambda m: m.depthwise(m.input(1, 6, 6, 1)),
        "tf_depthwise_conv2d_plane_s8": lambda m: m.depthwise(m.input(1, 6, 6, 16)),
        "tf_fully_connected_s8": lambda m: m.dense(m.input(1, 8), 4),
        "tf_conv2d_s4": lambda m: m.conv2d(m.input(1, 6, 6, 4), 4, weights=DType.INT4),
        "tf_depthwise_conv2d_s4": lambda m: m.depthwise(m.input(1, 6, 6, 1), weights=DType.INT4),
        "tf_depthwise_conv2d_plane_s4": lambda m: m.depthwise(m.input(1, 6, 6, 16), weights=DType.INT4),
        "tf_fully_connected_s4": lambda m: m.dense(m.input(1, 8), 4, weights=DType.INT4),
        "tf_add_s8": lambda m: m.binary("add", m.input(1, 4), m.input(1, 4)),
        "tf_mul_s8": lambda m: m.binary("mul", m.input(1, 4), m.input(1, 4)),
        "tf_extremum_s8": lambda m: m.binary("maximum", x := m.input(1, 4), m.input(1, 4, quant=m.same_quant(x))),
        "tf_prelu_s8": lambda m: m.prelu(m.input(1, 4), (4,)),
        "tf_average_pool2d_s8": lambda m: m.pool("average", m.input(1, 4, 4, 2), (2, 2)),
        "tf_max_pool2d_s8": lambda m: m.pool("max", m.input(1, 4, 4, 2), (2, 2)),
        "tf_mean_s8": lambda m: m.mean(m.input(1, 4, 4, 2), (1, 2)),
        "tf_image_sums_s8": lambda m: m.image_sums(m.input(1, 4, 4, 2)),
        "tf_mean_of_sums_s8": lambda m: m.mean_of_sums(m.input(1, 1, 1, 2, dtype=DType.INT32), 16),
        "tf_pool_of_sums_s8": lambda m: m.pool_of_sums(m.input(1, 1, 1, 2, dtype=DType.INT32), 16),
        "tf_softmax_s8": lambda m: m.unary("softmax", m.input(1, 4)),
        "tf_lut_s8": lambda m: m.unary("logistic", m.input(1, 4)),
        "tf_copy_s8": lambda m: m.transpose(m.input(4, 5), (1, 0)),
        "tf_transpose_image_s8": lambda m: m.transpose_image(m.input(1, 4, 5, 3)),
        "tf_fill_s8": lambda m: m.pad(m.input(4, 5), (1, 0), (0, 0)),
        "tf_resize_nearest_s8": lambda m: m.resize(m.input(1, 2, 2, 3), 4, 4),
        "tf_rnn_pool_s8": lambda m: m.rnn_pool(m.input(1, 4, 4, 2), 2, 2),
        "tf_resize_bilinear_s8": lambda m: m.resize(m.input(1, 2, 2, 3), 4, 4, bilinear=True),
        "tf_quantize_f32": lambda m: m.quantize(m.input(1, 4, dtype=DType.FLOAT32)),
        "tf_dequantize_f32": lambda m: m.dequantize(m.input(1, 4)),
    }
    for kernel, make in makers.items():
        m = GraphMaker(name="probe")
        yield kernel, m.build(make(m))
    yield from _int16_networks()


def _int16_networks() -> Iterator[tuple[str, Graph]]:
    makers: dict[str, Callable[[GraphMaker], int]] = {
        **_INT16_WEIGHTED,
        "tf_add_s16": lambda m: m.binary("add", m.input(1, 4), m.input(1, 4)),
        "tf_mul_s16": lambda m: m.binary("mul", m.input(1, 4), m.input(1, 4)),
        "tf_average_pool2d_s16": lambda m: m.pool("average", m.input(1, 4, 4, 2), (2, 2)),
        "tf_max_pool2d_s16": lambda m: m.pool("max", m.input(1, 4, 4, 2), (2, 2)),
        "tf_mean_s16": lambda m: m.mean(m.input(1, 4, 4, 2), (1, 2)),
        "tf_softmax_s16": lambda m: m.unary("softmax", m.input(1, 4)),
        "tf_sigmoid_s16": lambda m: m.unary("logistic", m.input(1, 4)),
        "tf_rescale_s16": lambda m: m.unary("relu", m.input(1, 4)),
        "tf_rescale_s16_s8": lambda m: m.quantize(m.input(1, 4), DType.INT8),
        "tf_rescale_s8_s16": lambda m: m.quantize(m.input(1, 4, dtype=DType.INT8), DType.INT16),
        "tf_quantize_f32_s16": lambda m: m.quantize(m.input(1, 4, dtype=DType.FLOAT32), DType.INT16),
        "tf_dequantize_s16_f32": lambda m: m.dequantize(m.input(1, 4)),
    }
    for kernel, make in makers.items():
        m = GraphMaker(name="probe", activations=DType.INT16)
        yield kernel, m.build(make(m))
