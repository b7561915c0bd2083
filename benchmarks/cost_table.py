"""Measure what kernels cost on each core and fit services/compiler/cost_tables/<core>[-<kernel set>].json.

    python -m benchmarks.cost_table [CORE[-thumb1 | -thumb2]]...

The table of a core's own kernels takes what it says of portable kernels from the core's portable table.

Seeded layers of every kind are compiled, linked and run on simulated boards. Sizes of functions are read from the
ELF files; the time of a layer is fitted, non-negative and by relative error, to the counts of
services/compiler/cost_model.py. The error is that of other seeded layers, and of ../shared/models where it is there.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from scipy.optimize import nnls

from services.compiler import cost_model
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Activation
from services.compiler.ir.tensor import DType
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.options import CompileOptions, Core, Interface, Kernels, issue_of, kernel_set
from services.compiler.pipeline import compile_graph, compile_model
from services.compiler.planned import Planned, plan_network
from services.compiler.thumb2_counts import source_bytes
from services.evaluator.arrays import seeded_samples
from services.evaluator.boards.board import Write
from services.evaluator.boards.unicorn import UnicornBoard
from services.evaluator.farm import load_farm
from services.evaluator.image import build_image
from services.evaluator.interface import to_c
from services.evaluator.library import read_library
from services.evaluator.measure.latency import Counter, Timing
from services.evaluator.measure.memory import fits
from services.evaluator.toolchain import Toolchain
from tests.compiler.graph_maker import GraphMaker

SHARED_MODELS = Path(__file__).resolve().parents[2] / "shared" / "models"
TABLES = Path(cost_model.__file__).parent / "cost_tables"
BOARDS = {
    Core.CORTEX_M0PLUS: "rp2040",
    Core.CORTEX_M4: "nucleo-l4r5zi",
    Core.CORTEX_M7: "stm32h743",
    Core.CORTEX_M33: "nucleo-u575zi",
}
# far above what any of these networks needs
MOST_INSTRUCTIONS, TIME_LIMIT_S = 4_000_000_000, 600.0
TRAINING, HELD_OUT = range(14), range(14, 19)
# a network of the core's own kernels has more layers of each kind
CORE_TRAINING, CORE_HELD_OUT = range(5), range(5, 6)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a table is of."""

    core: Core
    kernels: Kernels

    @property
    def kernel_set(self) -> KernelSet:
        """The kernels that the options come to."""
        return kernel_set(self.options(Interface.INT8))

    def options(self, interface: Interface) -> CompileOptions:
        """Return what to compile for."""
        return CompileOptions(BOARDS[self.core], self.core, interface=interface, kernels=self.kernels)


@dataclass(frozen=True, slots=True)
class Measured:
    """A network as linked, and what its layers cost on the board: None where it does not fit."""

    planned: Planned
    elf: bytes
    code_bytes: int
    flash_bytes: int
    timing: Timing | None


def random_layers(seed: int) -> Graph:
    """Return a network of independent layers of every kind, all reading one image."""
    m = GraphMaker(seed=seed, name=f"layers_{seed}")
    pick = lambda *values: values[int(m.random.integers(len(values)))]  # noqa: E731
    h, w, c = int(m.random.integers(5, 15)), int(m.random.integers(5, 15)), pick(1, 3, 4, 8, 13, 16, 24)
    x = m.input(1, h, w, c)
    outputs = [
        m.conv2d(x, int(m.random.integers(1, 33)), (1, 1)),
        m.conv2d(x, int(m.random.integers(1, 25)), (3, 3), pick((1, 1), (2, 2))),
        m.conv2d(x, int(m.random.integers(1, 12)), pick((5, 5), (1, 7), (4, 3))),
        m.conv2d(x, 4, (3, 3), dilation=(2, 2)),
        m.depthwise(x, kernel=(3, 3), stride=pick((1, 1), (2, 2))),
        m.depthwise(x, kernel=pick((5, 5), (7, 7), (1, 5)), stride=pick((1, 1), (2, 2))),
        m.depthwise(x, pick(2, 4), kernel=pick((3, 3), (5, 3))),
        m.depthwise(m.conv2d(x, 32, (1, 1)), kernel=(3, 3), stride=pick((1, 1), (2, 2))),
        m.depthwise(m.conv2d(x, 20, (1, 1)), kernel=pick((5, 5), (7, 7), (3, 5))),
        m.dense(m.reshape(x, 1, h * w * c), int(m.random.integers(1, 20))),
        m.dense(m.reshape(x, h * w, c), int(m.random.integers(1, 9)), per_channel=True),
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
    ]
    return m.build(*outputs)


def random_int4_layers(seed: int) -> Graph:
    """Return a network of independent layers with int4 weights, of every kind that has a kernel for them."""
    m = GraphMaker(seed=seed, name=f"int4_layers_{seed}")
    pick = lambda *values: values[int(m.random.integers(len(values)))]  # noqa: E731
    h, w, c = int(m.random.integers(5, 15)), int(m.random.integers(5, 15)), pick(1, 3, 4, 8, 13, 16, 24)
    x, int4 = m.input(1, h, w, c), DType.INT4
    outputs = [
        m.conv2d(x, int(m.random.integers(1, 33)), (1, 1), weights=int4),
        m.conv2d(x, int(m.random.integers(1, 25)), (3, 3), pick((1, 1), (2, 2)), weights=int4),
        m.conv2d(x, int(m.random.integers(1, 12)), pick((5, 5), (1, 7), (4, 3)), weights=int4),
        m.conv2d(x, 4, (3, 3), dilation=(2, 2), weights=int4),
        m.depthwise(x, kernel=(3, 3), stride=pick((1, 1), (2, 2)), weights=int4),
        m.depthwise(x, kernel=pick((5, 5), (7, 7), (1, 5)), stride=pick((1, 1), (2, 2)), weights=int4),
        m.depthwise(x, pick(2, 4), kernel=pick((3, 3), (5, 3)), weights=int4),
        m.depthwise(m.conv2d(x, 32, (1, 1)), kernel=(3, 3), stride=pick((1, 1), (2, 2)), weights=int4),
        m.depthwise(m.conv2d(x, 20, (1, 1)), kernel=pick((5, 5), (7, 7), (3, 5)), weights=int4),
        m.dense(m.reshape(x, 1, h * w * c), int(m.random.integers(1, 20)), weights=int4),
        m.dense(m.reshape(x, h * w, c), int(m.random.integers(1, 9)), per_channel=True, weights=int4),
    ]
    return m.build(*outputs)


def random_int16_layers(seed: int) -> Graph:
    """Return a network of independent layers on int16 activations, of every kind that has a kernel for them."""
    m = GraphMaker(seed=seed, name=f"int16_layers_{seed}", activations=DType.INT16)
    pick = lambda *values: values[int(m.random.integers(len(values)))]  # noqa: E731
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
    pick = lambda *values: values[int(m.random.integers(len(values)))]  # noqa: E731
    activation = lambda: pick(Activation.NONE, Activation.NONE, Activation.RELU)  # noqa: E731
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


def depthwise_chain(seed: int) -> Graph:
    """Return depthwise layers with no memory to spare, whose planes are cut in chunks of rows."""
    m = GraphMaker(seed=seed, name=f"depthwise_{seed}")
    x = m.input(1, *(int(n) for n in m.random.integers(24, 40, 2)), 8)
    for kernel, stride in ((3, 1), (5, 1), (3, 2)):
        x = m.depthwise(x, kernel=(kernel, kernel), stride=(stride, stride))
    return m.build(x)


def core_kernel_networks(kernels: KernelSet) -> Iterator[tuple[str, Graph]]:
    """Yield for every kernel of a core's own a network that uses it and no other; the last uses two."""
    own = kernels.value
    pointwise: dict[str, Callable[[GraphMaker], int]] = {
        f"tf_pointwise_{own}_s8": lambda m: m.conv2d(m.input(1, 6, 6, 4), 4, (1, 1)),
    }
    element_wise: dict[str, Callable[[GraphMaker], int]] = {
        f"tf_mul_{own}_s8": lambda m: m.binary("mul", m.input(1, 4), m.input(1, 4)),
        f"tf_max_pool2d_{own}_s8": lambda m: m.pool("max", m.input(1, 4, 4, 2), (2, 2)),
        f"tf_average_pool2d_{own}_s8": lambda m: m.pool("average", m.input(1, 4, 4, 2), (2, 2)),
        f"tf_mean_{own}_s8": lambda m: m.mean(m.input(1, 4, 4, 2), (1, 2)),
    }
    makers: dict[str, Callable[[GraphMaker], int]] = {
        f"tf_conv2d_{own}_s8": lambda m: m.conv2d(m.input(1, 6, 6, 4), 4),
        **(pointwise if kernels is KernelSet.THUMB2 else {}),
        **(element_wise if kernels is KernelSet.THUMB2 else {}),
        f"tf_fully_connected_{own}_s8": lambda m: m.dense(m.input(1, 8), 4),
        f"tf_depthwise_{own}_s8": lambda m: m.depthwise(m.input(1, 6, 6, 4)),
        f"tf_add_{own}_s8": lambda m: m.binary("add", m.input(1, 4), m.input(1, 4)),
        "tf_limit_s8": lambda m: m.conv2d(m.input(1, 6, 6, 4), 4, (1, 1), activation=Activation.RELU_N1_TO_1),
    }
    for kernel, make in makers.items():
        m = GraphMaker(name="probe")
        yield kernel, m.build(make(m))


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
        "tf_softmax_s8": lambda m: m.unary("softmax", m.input(1, 4)),
        "tf_lut_s8": lambda m: m.unary("logistic", m.input(1, 4)),
        "tf_copy_s8": lambda m: m.transpose(m.input(4, 5), (1, 0)),
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
        "tf_conv2d_s16": lambda m: m.conv2d(m.input(1, 6, 6, 4), 4),
        "tf_depthwise_conv2d_s16": lambda m: m.depthwise(m.input(1, 6, 6, 4)),
        "tf_fully_connected_s16": lambda m: m.dense(m.input(1, 8), 4),
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


def run(graph: Graph, subject: Subject, cache: Path) -> Measured:
    """Compile a graph with its own interface and run it once on the core's board."""
    library = compile_graph(graph, graph, subject.options(Interface.FLOAT)).library_zip
    return _on_board(library, plan_network(graph, subject.kernel_set), subject, cache)


def run_model(path: Path, subject: Subject, cache: Path) -> Measured:
    """Compile a model file and run it once."""
    compiled = compile_model(path.read_bytes(), path.stem, subject.options(Interface.INT8))
    return _on_board(compiled.library_zip, plan_network(compiled.graph, subject.kernel_set), subject, cache)


def _on_board(library_zip: bytes, planned: Planned, subject: Subject, cache: Path) -> Measured:
    """Link a library and run it once: cycles are those of the core alone, without waiting for its flash."""
    library, board = read_library(library_zip), load_farm().board(BOARDS[subject.core])
    image = build_image(library, board.facts, Toolchain("zig", cache), board.port)
    manifest, timing = library.manifest, None
    if all(fit.ok for fit in fits(manifest, image)):
        inputs = zip(manifest.inputs, seeded_samples(manifest.inputs).inputs, strict=True)
        writes = tuple(Write(s.offset_bytes, np.ascontiguousarray(to_c(s, x)[0]).tobytes()) for s, x in inputs)
        with UnicornBoard(cache, TIME_LIMIT_S) as simulated:
            simulated.flash(image)
            profile = simulated.run(writes, (), MOST_INSTRUCTIONS).profile
        timing = Counter(image).timing(profile) if profile is not None else None
    return Measured(planned, image.elf, image.sizes.code, image.sizes.flash, timing)


def linked_functions(elf: bytes) -> dict[str, int]:
    """Return the bytes of every function of the library and its runtime but the network's own, word-aligned."""
    file = ELFFile(io.BytesIO(elf))
    names = [section.name for section in file.iter_sections()]
    table = file.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    found: dict[int, tuple[str, int]] = {}  # by address: the runtime's routines have several names
    for symbol in table.iter_symbols():
        where, start = symbol["st_shndx"], int(symbol["st_value"])
        if symbol["st_info"]["type"] != "STT_FUNC" or not isinstance(where, int) or symbol.name.startswith("probe_"):
            continue
        if names[where] in (".library_code", ".runtime"):
            named = symbol.name, int(symbol["st_size"])
            found[start] = min(found.get(start, named), named)
    return {name: -(-size // 4) * 4 for name, size in found.values()}


def code_table(subject: Subject, cache: Path) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Return the bytes of every function, and what each kernel links (under its own file's name where static).

    Routines that are generated for a layer are left out: their sizes are known from their instructions.
    """
    sizes: dict[str, int] = {}
    needs: dict[str, list[str]] = {}
    own = subject.kernel_set is not KernelSet.PORTABLE
    for kernel, graph in core_kernel_networks(subject.kernel_set) if own else kernel_networks():
        measured = run(graph, subject, cache)
        generated = {r.name for source in measured.planned.program.sources() for r in source.routines()}
        linked = linked_functions(measured.elf)
        functions = {name: size for name, size in linked.items() if name not in generated}
        if kernel == "tf_limit_s8":  # what that network needs beyond is the pixels' kernel
            functions = {name: size for name, size in functions.items() if name == kernel}
        named = {(f"{kernel}.{name}" if name in STATIC else name): size for name, size in functions.items()}
        if kernel == "tf_fill_s8":  # the pad of that network copies, too
            named = {name: size for name, size in named.items() if name not in ("tf_copy_s8", "tf_copy_bytes")}
        sizes |= named
        needs[kernel] = sorted(named)
    return sizes, needs


# names of functions that more than one kernel file has for itself
STATIC = frozenset(
    ("inside", "border", "row", "run", "sum", "dot", "clipped", "channel", "fill_row", "fill_plane", "taps", "taps3x3",
     "vector", "mul_q31", "one_over_one_plus", "round_half_away", "dot2", "leading_zeros", "fill", "load_rows",
     "run_whole", "run_pixels", "border_row", "pixel", "window", "expand_windows", "copy_run", "gather", "turn_of",
     "step", "expand_taps", "move_down", "channels", "four_sums")
)  # fmt: skip


def fit(rows: list[dict[str, float]], values: list[float]) -> dict[str, float]:
    """Return non-negative coefficients with the least squares of relative errors."""
    names = sorted({name for row in rows for name in row})
    matrix = np.array([[row.get(name, 0.0) for name in names] for row in rows])
    wanted = np.maximum(np.array(values), 1.0)
    scale = np.maximum(np.abs(matrix / wanted[:, None]).max(axis=0), 1e-12)
    solution, _ = nnls(matrix / wanted[:, None] / scale, np.ones(len(rows)), maxiter=100_000)
    return {name: float(f"{v / s:.6g}") for name, v, s in zip(names, solution, scale, strict=True)}


def layer_rows(measured: Iterable[Measured]) -> Iterator[tuple[dict[str, float], int, float]]:
    """Yield counts, instructions and cycles of every layer that ran."""
    for one in measured:
        assert one.timing is not None
        graph = one.planned.graph
        for layer, figures in zip(one.planned.program.layers, one.timing.layers, strict=True):
            counts = cost_model.layer_counts(graph, graph.ops[layer.op_index], layer.calls)
            yield counts, figures.instructions, figures.cycles


def worst_and_rms(pairs: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Return the worst and the root-mean-square relative error of (predicted, measured) pairs."""
    errors = np.array([p / m - 1 for p, m in pairs])
    return float(np.abs(errors).max()), float(np.sqrt((errors**2).mean()))


def errors(
    table: cost_model.CostTable, subject: Subject, held_out: list[Measured], models: list[Measured]
) -> dict[str, float]:
    """Return the errors of layers not seen in the fit, and of whole real models."""
    layers = list(layer_rows(held_out))
    found: dict[str, float] = {}
    for name, prices, index in (("instructions", table.instructions, 1), ("cycles", table.cycles, 2)):
        pairs = [(sum(prices[k] * v for k, v in row[0].items()), float(row[index])) for row in layers]
        found[f"held-out layers {name} worst"], found[f"held-out layers {name} rms"] = worst_and_rms(pairs)
    for kind, measured in (("held-out networks", held_out), ("models", models)):
        for name, pairs in network_pairs(subject.core, measured):
            if pairs:
                found[f"{kind} {name} worst"], found[f"{kind} {name} rms"] = worst_and_rms(pairs)
    return {name: round(value, 4) for name, value in found.items()}


def network_pairs(core: Core, measured: list[Measured]) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Yield (predicted, measured) of whole networks that ran: instructions, cycles, flash."""
    done = [(m.planned, m.timing.total) for m in measured if m.timing is not None]
    yield "instructions", [(cost_model.work(p, core).instructions, float(f.instructions)) for p, f in done]
    yield "cycles", [(cost_model.work(p, core).cycles, f.cycles) for p, f in done]
    flash = [(m.planned.weights_bytes + m.planned.tables_bytes, m) for m in measured]
    yield "flash", [(n + cost_model.code_bytes(m.planned, core), float(m.flash_bytes)) for n, m in flash]


def seeded(subject: Subject, cache: Path, *, held_out: bool) -> list[Measured]:
    """Return seeded networks that ran: those to fit, or those to tell the error by."""
    portable = subject.kernel_set is KernelSet.PORTABLE
    training, others = (TRAINING, HELD_OUT) if portable else (CORE_TRAINING, CORE_HELD_OUT)
    makers = (random_layers, random_int4_layers, random_int16_layers) if portable else (random_core_layers,)
    seeds = others if held_out else training
    graphs = [*(make(seed) for seed in seeds for make in makers), *map(depthwise_chain, seeds[:2])]
    return [run(graph, subject, cache) for graph in graphs]


def make_table(subject: Subject, cache: Path) -> cost_model.CostTable:
    """Measure and fit one core's kernels."""
    portable = cost_model.load_cost_table(subject.core) if subject.kernel_set is not KernelSet.PORTABLE else None
    function_bytes, needs = code_table(subject, cache)
    if portable is not None:
        function_bytes = {**portable.function_bytes, **function_bytes}
        needs = {**{kernel: list(names) for kernel, names in portable.needs.items()}, **needs}
    training = seeded(subject, cache, held_out=False)
    rows = list(layer_rows(training))
    counts = [row[0] for row in rows]
    glue_values = []
    for one in training:
        used = {name for kernel in ("", *one.planned.program.functions()) for name in needs[kernel]}
        generated = sum(source_bytes(source, issue_of(subject.core)) for source in one.planned.program.sources())
        glue_values.append(one.code_bytes - sum(function_bytes[name] for name in used) - generated)
    return cost_model.CostTable(
        source="python -m benchmarks.cost_table: zig 0.17.1 -O2, counted in Unicorn; cycles by the core's model",
        function_bytes=function_bytes,
        needs={kernel: tuple(names) for kernel, names in needs.items()},
        glue_bytes=fit([cost_model.glue_counts(one.planned.program) for one in training], glue_values),
        instructions={**(portable.instructions if portable else {}), **fit(counts, [row[1] for row in rows])},
        cycles={**(portable.cycles if portable else {}), **fit(counts, [row[2] for row in rows])},
        error={},
    )


def write(subject: Subject, table: cost_model.CostTable, error: dict[str, float]) -> None:
    """Write a table."""
    TABLES.mkdir(exist_ok=True)
    fields = {
        "source": table.source, "error": error, "function_bytes": table.function_bytes, "needs": table.needs,
        "glue_bytes": table.glue_bytes, "instructions": table.instructions, "cycles": table.cycles,
    }  # fmt: skip
    (TABLES / cost_model.table_file(subject.core, subject.kernel_set)).write_text(
        json.dumps(fields, indent=1, sort_keys=True) + "\n"
    )


def renew_code(subject: Subject, cache: Path) -> None:
    """Measure the bytes of functions anew and keep all that was fitted: for changes of C code that cost no time."""
    table = cost_model.load_cost_table(subject.core, subject.kernel_set)
    function_bytes, needs = code_table(subject, cache)
    linked = {kernel: tuple(names) for kernel, names in needs.items()}
    if subject.kernel_set is not KernelSet.PORTABLE:
        portable = cost_model.load_cost_table(subject.core)
        function_bytes, linked = {**portable.function_bytes, **function_bytes}, {**portable.needs, **linked}
    write(subject, replace(table, function_bytes=function_bytes, needs=linked), dict(table.error))
    cost_model.load_cost_table.cache_clear()


def main() -> None:
    """Make the tables named on the command line, or all; with `--code` first, only the bytes of their functions."""
    only_code = sys.argv[1:2] == ["--code"]
    subjects = [_subject(name) for name in sys.argv[1 + only_code :]] or [
        Subject(c, k) for k in (Kernels.PORTABLE, Kernels.CORE) for c in Core
    ]
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        for subject in subjects:
            if only_code:
                renew_code(subject, cache)
                continue
            table = make_table(subject, cache)
            write(subject, table, {})
            cost_model.load_cost_table.cache_clear()
            held_out = seeded(subject, cache, held_out=True)
            models = [run_model(path, subject, cache) for path in sorted(SHARED_MODELS.glob("*.tflite"))]
            error = errors(table, subject, held_out, models)
            write(subject, table, error)
            print(subject.core.value, subject.kernel_set.value, error)


def _subject(name: str) -> Subject:
    core, own, _ = name.partition("-thumb")
    return Subject(Core(core), Kernels.CORE if own else Kernels.PORTABLE)


if __name__ == "__main__":
    main()
