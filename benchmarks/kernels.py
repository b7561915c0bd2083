"""Instructions and cycles of every kind of layer, on each core, beside what other engines need.

    python -m benchmarks.kernels [--board NAME]... [--kernels core|portable] [--layers] [--json] [MODEL]...

First seeded layers, one a kind; then the layers of real models (without names ../shared/models/mcunet_vww1.tflite),
summed by kind or, with --layers, one by one. A unit is a multiply-accumulate, or an output element where a layer has
none. Instructions are exact; cycles are the core's alone, without waiting for flash, modelled: for Cortex-M7 both ends
of the model's interval.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import prod
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.peers import KERNEL_PEERS
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D, Op
from services.compiler.ir.tensor import DType
from services.compiler.options import CompileOptions, Core, Interface, Kernels, kernel_set
from services.compiler.passes.optimize import optimize
from services.compiler.pipeline import compile_graph, import_model
from services.compiler.planned import plan_network
from services.evaluator.arrays import seeded_samples
from services.evaluator.boards.board import Write
from services.evaluator.boards.unicorn import UnicornBoard
from services.evaluator.cores.model import optimistic_cycle_model
from services.evaluator.farm import BoardConfig, load_farm
from services.evaluator.image import build_image
from services.evaluator.interface import to_c
from services.evaluator.library import read_library
from services.evaluator.measure.latency import Counter
from services.evaluator.toolchain import Toolchain
from tests.compiler.graph_maker import GraphMaker

DEFAULT_BOARDS = ("nucleo-l4r5zi", "nucleo-u575zi", "stm32f746")
PEERS_BOARD = "nucleo-l4r5zi"
DEFAULT_MODEL = Path(__file__).resolve().parents[2] / "shared" / "models" / "mcunet_vww1.tflite"
MOST_INSTRUCTIONS, TIME_LIMIT_S = 4_000_000_000, 600.0
# of one network of seeded layers: what fits every board
_MOST_VALUES = 100_000
RELU = Activation.RELU


def values(m: GraphMaker, shape: tuple[int, ...]) -> int:
    """Add a constant of seeded values."""
    return m.constant(m.random.integers(-99, 99, shape).astype(np.int8), m.quant())


def depthwise(kernel: int, stride: int, m: GraphMaker, x: int) -> int:
    """Add a depthwise convolution with a square window."""
    return m.depthwise(x, kernel=(kernel, kernel), stride=(stride, stride), activation=RELU)


# a layer that reads one input of the shape given
KINDS: dict[str, tuple[tuple[int, ...], Callable[[GraphMaker, int], int]]] = {
    "conv 3x3 s2 of 3": ((1, 80, 80, 3), lambda m, x: m.conv2d(x, 16, (3, 3), (2, 2), activation=RELU)),
    "conv 3x3 of 16": ((1, 32, 32, 16), lambda m, x: m.conv2d(x, 16, (3, 3), activation=RELU)),
    "conv 10x4 s2 of 1": ((1, 49, 10, 1), lambda m, x: m.conv2d(x, 64, (10, 4), (2, 2), activation=RELU)),
    "conv 1x1 of 16": ((1, 20, 20, 16), lambda m, x: m.conv2d(x, 64, (1, 1), activation=RELU)),
    "conv 1x1 of 48": ((1, 20, 20, 48), lambda m, x: m.conv2d(x, 16, (1, 1))),
    "conv 1x1 of 240": ((1, 5, 5, 240), lambda m, x: m.conv2d(x, 48, (1, 1))),
    **{f"depthwise {k}x{k} s{s}": ((1, 20, 20, 48), partial(depthwise, k, s)) for k in (3, 5, 7) for s in (1, 2)},
    "depthwise 3x3 no ReLU": ((1, 20, 20, 48), lambda m, x: m.depthwise(x)),
    "depthwise 3x3 on 5x5": ((1, 5, 5, 192), lambda m, x: m.depthwise(x, activation=RELU)),
    "depthwise 10x4 s2": ((1, 49, 10, 64), lambda m, x: m.depthwise(x, kernel=(10, 4), stride=(2, 2), activation=RELU)),
    "depthwise 3x1": ((1, 32, 8, 64), lambda m, x: m.depthwise(x, kernel=(3, 1), activation=RELU)),
    "depthwise 1x5": ((1, 8, 32, 64), lambda m, x: m.depthwise(x, kernel=(1, 5), activation=RELU)),
    "depthwise 3x3 x2": ((1, 20, 20, 24), lambda m, x: m.depthwise(x, 2, activation=RELU)),
    "depthwise 3x3 dilated": ((1, 20, 20, 48), lambda m, x: m.depthwise(x, dilation=(2, 2), activation=RELU)),
    "fully connected": ((1, 640), lambda m, x: m.dense(x, 128, activation=RELU)),
    "add": ((1, 20, 20, 16), lambda m, x: m.binary("add", x, m.input(1, 20, 20, 16))),
    "add of a channel's constant": ((1, 20, 20, 16), lambda m, x: m.binary("add", x, values(m, (16,)))),
    "sub": ((1, 20, 20, 16), lambda m, x: m.binary("sub", x, m.input(1, 20, 20, 16))),
    "sub of a channel's constant": ((1, 20, 20, 16), lambda m, x: m.binary("sub", x, values(m, (16,)))),
    "mul": ((1, 20, 20, 16), lambda m, x: m.binary("mul", x, m.input(1, 20, 20, 16))),
    "mul by channel (SE)": ((1, 28, 28, 72), lambda m, x: m.binary("mul", x, m.input(1, 1, 1, 72))),
    "mul by a channel's constant": ((1, 20, 20, 16), lambda m, x: m.binary("mul", x, values(m, (16,)))),
    "mul by pixel": ((1, 20, 20, 16), lambda m, x: m.binary("mul", x, m.input(1, 20, 20, 1))),
    "maximum": ((1, 20, 20, 16), lambda m, x: m.binary("maximum", x, m.input(1, 20, 20, 16, quant=m.same_quant(x)))),
    "prelu by channel": ((1, 20, 20, 16), lambda m, x: m.prelu(x, (16,))),
    "average pool 2x2 s2": ((1, 20, 20, 16), lambda m, x: m.pool("average", x, (2, 2), (2, 2))),
    "average pool 3x3": ((1, 20, 20, 16), lambda m, x: m.pool("average", x, (3, 3), (1, 1))),
    "average pool global": ((1, 8, 8, 64), lambda m, x: m.pool("average", x, (8, 8), (8, 8))),
    "max pool 2x2 s2": ((1, 20, 20, 16), lambda m, x: m.pool("max", x, (2, 2), (2, 2))),
    "max pool 3x3 s2": ((1, 20, 20, 16), lambda m, x: m.pool("max", x, (3, 3), (2, 2))),
    "mean over the image": ((1, 28, 28, 72), lambda m, x: m.mean(x, (1, 2))),
    "sums over the image": ((1, 28, 28, 72), lambda m, x: m.image_sums(x)),
    "logistic": ((1, 20, 20, 16), lambda m, x: m.unary("logistic", x)),
    "hard swish": ((1, 20, 20, 16), lambda m, x: m.unary("hard_swish", x)),
    **{f"softmax of {n}": ((1, n), lambda m, x: m.unary("softmax", x)) for n in (2, 10, 12, 1000)},
    "quantize": ((1, 20, 20, 16), lambda m, x: m.quantize(m.dequantize(x))),
    "resize x2": ((1, 10, 10, 32), lambda m, x: m.resize(x, 20, 20)),
    "resize x2, bilinear": ((1, 10, 10, 32), lambda m, x: m.resize(x, 20, 20, bilinear=True)),
    "transpose to NHWC": ((1, 3, 20, 20), lambda m, x: m.transpose(x, (0, 2, 3, 1))),
    "transpose of a matrix": ((80, 40), lambda m, x: m.transpose(x, (1, 0))),
    "pad": ((1, 20, 20, 16), lambda m, x: m.pad(x, (0, 1, 1, 0), (0, 1, 1, 0))),
    "concatenate channels": ((1, 20, 20, 16), lambda m, x: m.concatenate((x, m.input(1, 20, 20, 24)), 3)),
}
# the same on int16 activations
INT16_KINDS: dict[str, tuple[tuple[int, ...], Callable[[GraphMaker, int], int]]] = {
    "16x8 conv 3x3 of 16": ((1, 16, 16, 16), lambda m, x: m.conv2d(x, 16, (3, 3), activation=RELU)),
    "16x8 conv 10x4 s2 of 1": ((1, 49, 10, 1), lambda m, x: m.conv2d(x, 64, (10, 4), (2, 2), activation=RELU)),
    "16x8 conv 1x1 of 64": ((1, 16, 8, 64), lambda m, x: m.conv2d(x, 64, (1, 1), activation=RELU)),
    "16x8 depthwise 3x3": ((1, 16, 8, 64), lambda m, x: m.depthwise(x)),
    "16x8 fully connected": ((1, 640), lambda m, x: m.dense(x, 128, activation=RELU)),
    "16x8 add": ((1, 16, 8, 64), lambda m, x: m.binary("add", x, m.input(1, 16, 8, 64))),
    "16x8 softmax of 12": ((1, 12), lambda m, x: m.unary("softmax", x)),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One layer, or all of one kind: `units` are multiply-accumulates or output elements; cycles without flash."""

    name: str
    board: str
    unit: str
    units: int
    instructions: int
    cycles: float
    cycles_fast: float


def rows_of(
    graph: Graph, name: Callable[[Graph, Op], str], board: BoardConfig, kernels: Kernels, cache: Path
) -> Iterator[Row]:
    """Compile and run a network once and yield a row a layer."""
    options = CompileOptions(board.target, Core(board.facts.core), interface=Interface.FLOAT, kernels=kernels)
    planned = plan_network(graph, kernel_set(options))
    library = read_library(compile_graph(graph, graph, options).library_zip)
    manifest, image = library.manifest, build_image(library, board.facts, Toolchain("zig", cache), board.port)
    inputs = zip(manifest.inputs, seeded_samples(manifest.inputs).inputs, strict=True)
    writes = tuple(Write(s.offset_bytes, np.ascontiguousarray(to_c(s, x)[0]).tobytes()) for s, x in inputs)
    with UnicornBoard(cache, TIME_LIMIT_S) as simulated:
        simulated.flash(image)
        profile = simulated.run(writes, (), MOST_INSTRUCTIONS).profile
    assert profile is not None
    slow = Counter(image).timing(profile).layers
    fast = Counter(image, optimistic_cycle_model(image.target.core)).timing(profile).layers
    layers = zip(planned.program.layers, manifest.layers, slow, fast, strict=True)
    for planned_layer, layer, one, other in layers:
        op = planned.graph.ops[planned_layer.op_index]
        unit, units = ("MAC", layer.macs) if layer.macs else ("element", prod(layer.output_shape))
        work = one.instructions, one.core_cycles, other.core_cycles
        yield Row(name(planned.graph, op), board.name, unit, units, *work)


def kinds_graphs() -> Iterator[Graph]:
    """Yield networks of layers that stand beside each other, one a kind, whose outputs are named after the kinds."""
    for kinds, dtype in ((KINDS, DType.INT8), (INT16_KINDS, DType.INT16)):
        m, outputs = _kinds_maker(dtype), list[int]()
        for kind, (shape, make) in kinds.items():
            y = make(m, m.input(*shape))
            m.tensors[y] = replace(m.tensors[y], name=kind)
            outputs.append(y)
            values = sum(tensor.elements for tensor in m.tensors.values() if not tensor.is_constant)
            if values > _MOST_VALUES or kind == list(kinds)[-1]:
                yield m.build(*outputs)
                m, outputs = _kinds_maker(dtype), []


def _kinds_maker(dtype: DType) -> GraphMaker:
    return GraphMaker(seed=1, name="kinds", activations=dtype)


def named(graph: Graph, op: Op) -> str:
    """Return the name that a seeded layer was given."""
    return graph.tensors[op.outputs[0]].name


def kind_of(graph: Graph, op: Op) -> str:
    """Return the kind of a real model's layer, as the peers' figures are recorded."""
    match op:
        case Conv2D() | DepthwiseConv2D():
            _, h, w, _ = graph.tensors[op.weights].shape
            first = op.input in graph.inputs
            name = "depthwise" if isinstance(op, DepthwiseConv2D) else "first conv" if first else "conv"
            return f"{name} {h}x{w}"
        case _:
            return type(op).__name__


def summed(rows: Iterable[Row]) -> list[Row]:
    """Return one row for all of a board's layers of a kind."""
    found: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        key = row.name, row.board, row.unit
        sum_ = found.get(key, Row(*key, 0, 0, 0.0, 0.0))
        work = sum_.instructions + row.instructions, sum_.cycles + row.cycles, sum_.cycles_fast + row.cycles_fast
        found[key] = Row(*key, sum_.units + row.units, *work)
    return list(found.values())


def table_of(title: str, rows: list[Row], peers: Mapping[str, Mapping[str, float]]) -> Table:
    """Return rows as a table; a peer's figure stands beside instructions on Cortex-M4."""
    table = Table(title=title)
    for name in ("layer", "board"):
        table.add_column(name)
    for name in ("units", "", "instructions", "a unit", "cycles", "a unit", "fast end", "peers, instructions a unit"):
        table.add_column(name, justify="right")
    for row in rows:
        cells = [f"{row.units:,}", row.unit, f"{row.instructions:,}", f"{row.instructions / row.units:.2f}"]
        cells += [f"{row.cycles:,.0f}", f"{row.cycles / row.units:.2f}", f"{row.cycles_fast / row.units:.2f}"]
        theirs = peers.get(row.name, {}) if row.board == PEERS_BOARD else {}
        table.add_row(row.name, row.board, *cells, ", ".join(f"{n} {v:g}" for n, v in theirs.items()))
    return table


def main() -> None:
    """Measure what the command line names and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--board", action="append", dest="boards", metavar="NAME")
    parser.add_argument("--kernels", type=Kernels, default=Kernels.CORE, help="core (default), small or portable")
    parser.add_argument("--layers", action="store_true", help="every layer of the models, not their kinds' sums")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    boards = [load_farm().board(name) for name in options.boards or DEFAULT_BOARDS]
    with tempfile.TemporaryDirectory() as folder:
        run = partial(rows_of, kernels=options.kernels, cache=Path(folder))
        found = {"seeded layers": [row for graph in kinds_graphs() for b in boards for row in run(graph, named, b)]}
        for path in options.models or [DEFAULT_MODEL]:
            graph = optimize(import_model(path.read_bytes(), path.name), Interface.FLOAT)
            rows = [row for board in boards for row in run(graph, kind_of, board)]
            found[path.stem] = rows if options.layers else summed(rows)
    if options.json:
        print(json.dumps({title: [asdict(row) for row in rows] for title, rows in found.items()}, indent=1))
        return
    for title, rows in found.items():
        Console(width=180).print(table_of(title, rows, KERNEL_PEERS if title == DEFAULT_MODEL.stem else {}))


if __name__ == "__main__":
    main()
