"""Measure one kernel and write what it costs into the cost tables, leaving all else in them as it is.

    python -m benchmarks.kernel_cost tf_rnn_pool_s8 [CORE]...

For a new kernel, where a full run of benchmarks.cost_table would take long. Whole networks' errors in the
tables stay those of the last full run; the new kernel's own error on held-out layers is printed.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from benchmarks.cost_measured import Subject, kernel_functions, run
from benchmarks.cost_networks import core_kernel_networks, depthwise_chain, kernel_networks
from benchmarks.cost_parts import image_sums, run_in_parts
from benchmarks.cost_table import TABLES, fit, layer_rows, worst_and_rms
from services.compiler.cost import cost_model
from services.compiler.cost.kernel_counts import Counts
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import DType, QuantParams
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.options import Core, Kernels
from tests.compiler.graph_maker import GraphMaker

TRAINING, HELD_OUT = range(6), range(6, 8)


def rnn_pools(seed: int) -> Graph:
    """Return a network of RNNPool layers of many shapes on one image."""
    m = GraphMaker(seed=seed, name=f"rnn_pools_{seed}")
    pick = m.pick
    x = m.input(1, int(m.random.integers(8, 15)), int(m.random.integers(8, 15)), pick(1, 3, 8, 16))
    shapes = ((4, 4), (3, 5), (8, 8), (6, 2))
    return m.build(*(m.rnn_pool(x, pick(2, 4, 8, 16), pick(2, 4, 8, 16), s, pick((2, 2), (4, 4))) for s in shapes))


def images(seed: int) -> tuple[GraphMaker, int]:
    """Return a maker with an image of a random size."""
    m = GraphMaker(seed=seed, name=f"images_{seed}")
    h, w = (int(n) for n in m.random.integers(6, 17, 2))
    return m, m.input(1, h, w, (3, 8, 13, 16, 24, 42)[seed % 6])


def products(seed: int) -> Graph:
    """Return products of an image with itself and with a value a channel."""
    m, x = images(seed)
    return m.build(m.binary("mul", x, x), m.binary("mul", x, m.input(1, 1, 1, m.shape(x)[3])))


def pools(kind: str) -> Callable[[int], Graph]:
    """Return a maker of pools of one kind."""

    def make(seed: int) -> Graph:
        m, x = images(seed)
        windows = ((2, 2), (2, 2)), ((3, 3), (1, 1)), ((3, 3), (2, 2)), ((5, 4), (3, 3)), ((6, 6), (6, 6))
        return m.build(*(m.pool(kind, x, kernel, stride) for kernel, stride in windows))

    return make


def depthwise_convolutions(seed: int) -> Graph:
    """Return depthwise convolutions of an image, or some in a row whose planes are cut in chunks."""
    if seed % 3 == 2:
        return depthwise_chain(seed)
    m, x = images(seed)
    windows = ((3, 3), (1, 1)), ((3, 3), (2, 2)), ((5, 5), (1, 1)), ((7, 7), (2, 2)), ((3, 1), (1, 1)), ((1, 5), (1, 2))
    multipliers = 1, 1, 2, 1, 4, 1, 3, 1, 1, 1, 2, 1
    layers = zip(multipliers, itertools.product(windows, (Activation.RELU, Activation.NONE)), strict=True)
    dilated = ((3, 3), (2, 2)), ((1, 3), (1, 3)), ((5, 3), (1, 4))
    return m.build(
        *(m.depthwise(x, n, k, s, activation=a) for n, ((k, s), a) in layers),
        *(m.depthwise(x, kernel=k, dilation=d, activation=Activation.RELU) for k, d in dilated),
    )


def means(seed: int) -> Graph:
    """Return the mean of an image."""
    m, x = images(seed)
    return m.build(m.mean(x, (1, 2)))


def reductions(activations: DType) -> Callable[[int], Graph]:
    """Return a maker of means and sums over all kinds of dimensions."""

    def make(seed: int) -> Graph:
        m = GraphMaker(seed=seed, name=f"reductions_{seed}", activations=activations)
        h, w = (int(n) for n in m.random.integers(2, 17, 2))
        x = m.input(1, h, w, (3, 8, 13, 16, 24, 42)[seed % 6])
        axes = (1, 2), (3,), (1,), (2,), (1, 3), (2, 3), (1, 2, 3)
        return m.build(*(m.mean(x, a) for a in axes), m.sum(x, (1, 2)))

    return make


def pools_of_sums(seed: int) -> Graph:
    """Return pools over images of many sizes in two halves."""
    m = GraphMaker(seed=seed, name=f"pools_of_sums_{seed}")
    images = (m.input(1, *m.random.integers(2, 25, 2).tolist(), channels) for channels in (2, 4, 8, 13, 24, 42))
    return m.build(*(m.pool_in_halves(x) for x in images))


def softmaxes(seed: int) -> Graph:
    """Return softmaxes of single vectors and of several."""
    m = GraphMaker(seed=seed, name=f"softmaxes_{seed}")
    shapes = ((1, 2), (1, 3), (1, 10), (1, 12), (1, 1000), (7, 4), (3, 5), (20, 21))
    more = ((1, int(m.random.integers(2, 300))), (int(m.random.integers(2, 30)), int(m.random.integers(2, 30))))
    return m.build(*(m.unary("softmax", m.input(*shape)) for shape in (*shapes, *more)))


def sums(seed: int) -> Graph:
    """Return sums and differences of images of one scale and of several."""
    m, x = images(seed)
    shape, scale = m.shape(x), m.same_quant(x).scale[0]
    others = [m.input(*shape, quant=QuantParams((scale * part,), (5,))) for part in (1.0, 0.9, 2.3, 0.01)]
    return m.build(*(m.binary(kind, x, y) for kind in ("add", "sub") for y in others))


def sums_with_constants(seed: int) -> Graph:
    """Return sums and differences of images and constants: a value a channel, or a row of them."""
    m, x = images(seed)
    shape, scale = m.shape(x), m.same_quant(x).scale[0]
    outputs = []
    for part, held in itertools.product((1.0, 0.9, 2.0, 2.3), (shape[3:], shape[2:])):
        values = m.random.integers(-128, 128, held).astype(np.int8)
        constant = m.constant(values, QuantParams((scale * part,), (5,)))
        outputs += [m.binary("add", x, constant), m.binary("sub", constant, x)]
    return m.build(*outputs)


def wide_convolutions(seed: int) -> Graph:
    """Return convolutions of an int16 image."""
    m = GraphMaker(seed=seed, name=f"wide_convolutions_{seed}", activations=DType.INT16)
    h, w = (int(n) for n in m.random.integers(6, 17, 2))
    x = m.input(1, h, w, (3, 8, 13, 16, 24, 1)[seed % 6])
    windows = (
        ((1, 1), (1, 1)),
        ((3, 3), (1, 1)),
        ((3, 3), (2, 2)),
        ((10, 4), (2, 2)),
        ((1, 5), (1, 1)),
        ((5, 2), (1, 3)),
    )
    layers = [m.conv2d(x, int(m.random.integers(1, 33)), *window) for window in windows]
    return m.build(*layers, m.conv2d(x, 5, (3, 3), dilation=(2, 2)))


def wide_depthwise_convolutions(seed: int) -> Graph:
    """Return depthwise convolutions of an int16 image."""
    m = GraphMaker(seed=seed, name=f"wide_depthwise_{seed}", activations=DType.INT16)
    h, w = (int(n) for n in m.random.integers(6, 17, 2))
    x = m.input(1, h, w, (3, 8, 13, 16, 24, 1)[seed % 6])
    windows = ((3, 3), (1, 1)), ((3, 3), (2, 2)), ((5, 5), (1, 1)), ((7, 7), (2, 2)), ((3, 1), (1, 1)), ((1, 5), (1, 2))
    layers = [m.depthwise(x, 1, *window) for window in windows]
    return m.build(*layers, m.depthwise(x, dilation=(2, 2)))


def wide_dense_layers(seed: int) -> Graph:
    """Return fully connected layers on int16 vectors."""
    m = GraphMaker(seed=seed, name=f"wide_dense_layers_{seed}", activations=DType.INT16)
    sizes = (int(m.random.integers(1, 300)) for _ in range(3))
    inputs = [m.input(1, n) for n in sizes] + [m.input(9, 40), m.input(1, 6)]
    return m.build(*(m.dense(x, int(m.random.integers(1, 40))) for x in inputs))


def quantized_floats(seed: int) -> Graph:
    """Return float images made int8 and uint8."""
    m = GraphMaker(seed=seed, name=f"quantized_{seed}")
    h, w = (int(n) for n in m.random.integers(1, 17, 2))
    inputs = [m.input(1, h, w, (3, 8, 13, 16, 24, 42)[seed % 6], dtype=DType.FLOAT32) for _ in range(3)]
    return m.build(*(m.quantize(x, dtype) for x, dtype in zip(inputs, (None, DType.UINT8, None), strict=True)))


LAYERS: dict[str, Callable[[int], Graph]] = {
    "tf_rnn_pool_s8": rnn_pools,
    "tf_depthwise_thumb2_s8": depthwise_convolutions,
    "tf_mul_thumb2_s8": products,
    "tf_max_pool2d_thumb2_s8": pools("max"),
    "tf_average_pool2d_thumb2_s8": pools("average"),
    "tf_mean_s8": reductions(DType.INT8),
    "tf_mean_s16": reductions(DType.INT16),
    "tf_mean_thumb2_s8": means,
    "tf_image_sums_s8": image_sums,
    "tf_image_sums_thumb2_s8": image_sums,
    "tf_mean_of_sums_s8": image_sums,
    "tf_pool_of_sums_s8": pools_of_sums,
    "tf_add_thumb2_s8": sums,
    "tf_add_constant_thumb2_s8": sums_with_constants,
    "tf_quantize_thumb2_f32": quantized_floats,
    "tf_conv2d_thumb2_s16": wide_convolutions,
    "tf_fully_connected_thumb2_s16": wide_dense_layers,
    "tf_depthwise_thumb2_s16": wide_depthwise_convolutions,
    "tf_softmax_s8": softmaxes,
    "tf_softmax_thumb2_s8": softmaxes,
}


def rows_of(kernel: str, seeds: Iterable[int], subject: Subject, cache: Path) -> list[tuple[Counts, int, float]]:
    """Return counts, instructions and cycles of the layers that the kernel covers."""
    run_network = run_in_parts if LAYERS[kernel] is image_sums else run
    rows = layer_rows(run_network(LAYERS[kernel](seed), subject, cache) for seed in seeds)
    return [row for row in rows if all(name.startswith(f"{kernel} ") for name in row[0])]


def measure(kernel: str, core: Core, cache: Path) -> None:
    """Measure the kernel on one core and update its tables."""
    subject = Subject(core, Kernels.CORE if "thumb" in kernel else Kernels.PORTABLE)
    own = subject.kernel_set
    networks = dict(kernel_networks() if own is KernelSet.PORTABLE else core_kernel_networks(own))
    sizes = kernel_functions(kernel, run(networks[kernel], subject, cache))
    rows = rows_of(kernel, TRAINING, subject, cache)
    fitted = {
        "instructions": fit([row[0] for row in rows], [row[1] for row in rows]),
        "cycles": fit([row[0] for row in rows], [row[2] for row in rows]),
    }
    _update(TABLES / cost_model.table_file(core, own), kernel, sizes, fitted)
    held_out = rows_of(kernel, HELD_OUT, subject, cache)
    for name, prices in fitted.items():
        pairs = [
            (sum(prices[k] * v for k, v in counts.items()), cycles if name == "cycles" else instructions)
            for counts, instructions, cycles in held_out
        ]
        worst, rms = worst_and_rms(pairs)
        print(f"{core.value} {kernel} {name}: worst {worst:.4f}, rms {rms:.4f} on {len(pairs)} held-out layers")


def _update(path: Path, kernel: str, sizes: dict[str, int], fitted: dict[str, dict[str, float]]) -> None:
    table = json.loads(path.read_text(encoding="utf-8"))
    table["needs"][kernel] = sorted(sizes)
    needed = {name for names in table["needs"].values() for name in names}
    known = table["function_bytes"] | sizes
    table["function_bytes"] = {name: size for name, size in known.items() if name in needed}
    for quantity, prices in fitted.items():
        kept = {name: price for name, price in table[quantity].items() if not name.startswith(f"{kernel} ")}
        table[quantity] = {**kept, **prices}
    path.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    """Measure the kernel named on the command line, on all cores or those named."""
    kernel, *names = sys.argv[1:] or [""]
    if kernel not in LAYERS:
        sys.exit(f"kernel is {kernel!r}: must be one of {', '.join(LAYERS)}")
    with tempfile.TemporaryDirectory() as folder:
        for core in [Core(name) for name in names] or list(Core):
            measure(kernel, core, Path(folder))


if __name__ == "__main__":
    main()
