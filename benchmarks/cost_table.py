"""Measure what kernels cost on each core and fit services/compiler/cost_tables/<core>.json.

    python -m benchmarks.cost_table [CORE]...

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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from scipy.optimize import nnls

from services.compiler import cost_model
from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import DType
from services.compiler.options import CompileOptions, Core, Interface
from services.compiler.pipeline import compile_graph, compile_model
from services.compiler.planned import Planned, plan_network
from services.evaluator.evaluate import Evaluation, Request, Workplace, evaluate
from services.evaluator.farm import load_farm
from tests.compiler.graph_maker import GraphMaker

SHARED_MODELS = Path(__file__).resolve().parents[2] / "shared" / "models"
TABLES = Path(cost_model.__file__).parent / "cost_tables"
BOARDS = {
    Core.CORTEX_M0PLUS: "rp2040",
    Core.CORTEX_M4: "nucleo-l4r5zi",
    Core.CORTEX_M7: "stm32h743",
    Core.CORTEX_M33: "nucleo-u575zi",
}
TRAINING, HELD_OUT = range(14), range(14, 19)


@dataclass(frozen=True, slots=True)
class Measured:
    """A network with what the board said."""

    planned: Planned
    evaluation: Evaluation


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
    ]
    return m.build(*outputs)


def kernel_networks() -> Iterator[tuple[str, Graph]]:
    """Yield for every kernel a network that uses it, and one that uses none; what each links beyond is known."""
    makers: dict[str, Callable[[GraphMaker], int]] = {
        "": lambda m: m.reshape(m.input(1, 4), 4),
        "tf_conv2d_s8": lambda m: m.conv2d(m.input(1, 6, 6, 4), 4),
        "tf_depthwise_conv2d_s8": lambda m: m.depthwise(m.input(1, 6, 6, 1)),
        "tf_depthwise_conv2d_plane_s8": lambda m: m.depthwise(m.input(1, 6, 6, 16)),
        "tf_fully_connected_s8": lambda m: m.dense(m.input(1, 8), 4),
        "tf_add_s8": lambda m: m.binary("add", m.input(1, 4), m.input(1, 4)),
        "tf_mul_s8": lambda m: m.binary("mul", m.input(1, 4), m.input(1, 4)),
        "tf_average_pool2d_s8": lambda m: m.pool("average", m.input(1, 4, 4, 2), (2, 2)),
        "tf_max_pool2d_s8": lambda m: m.pool("max", m.input(1, 4, 4, 2), (2, 2)),
        "tf_mean_s8": lambda m: m.mean(m.input(1, 4, 4, 2), (1, 2)),
        "tf_softmax_s8": lambda m: m.unary("softmax", m.input(1, 4)),
        "tf_lut_s8": lambda m: m.unary("logistic", m.input(1, 4)),
        "tf_copy_s8": lambda m: m.transpose(m.input(4, 5), (1, 0)),
        "tf_fill_s8": lambda m: m.pad(m.input(4, 5), (1, 0), (0, 0)),
        "tf_resize_nearest_s8": lambda m: m.resize(m.input(1, 2, 2, 3), 4, 4),
        "tf_quantize_f32": lambda m: m.quantize(m.input(1, 4, dtype=DType.FLOAT32)),
        "tf_dequantize_f32": lambda m: m.dequantize(m.input(1, 4)),
    }
    for kernel, make in makers.items():
        m = GraphMaker(name="probe")
        yield kernel, m.build(make(m))


def run(graph: Graph, core: Core, workplace: Workplace) -> Measured:
    """Compile a graph with its own interface and run it once on the core's board."""
    board = load_farm().board(BOARDS[core])
    library = compile_graph(graph, graph, CompileOptions(board.target, core, interface=Interface.FLOAT)).library_zip
    return Measured(plan_network(graph), evaluate(Request(library, board_samples=1), board, workplace))


def run_model(path: Path, core: Core, workplace: Workplace) -> Measured:
    """Compile a model file and run it once."""
    board = load_farm().board(BOARDS[core])
    compiled = compile_model(path.read_bytes(), path.stem, CompileOptions(board.target, core))
    found = evaluate(Request(compiled.library_zip, board_samples=1), board, workplace)
    return Measured(plan_network(compiled.graph), found)


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


def code_table(core: Core, workplace: Workplace) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Return the bytes of every function, and what each kernel links (under its own file's name where static)."""
    sizes: dict[str, int] = {}
    needs: dict[str, list[str]] = {}
    for kernel, graph in kernel_networks():
        found = run(graph, core, workplace).evaluation
        functions = linked_functions(found.elf)
        named = {(f"{kernel}.{name}" if name in _STATIC else name): size for name, size in functions.items()}
        if kernel == "tf_fill_s8":  # the pad of that network copies, too
            named = {name: size for name, size in named.items() if name not in ("tf_copy_s8", "tf_copy_bytes")}
        sizes |= named
        needs[kernel] = sorted(named)
    return sizes, needs


# names of functions that more than one kernel file has for itself
_STATIC = frozenset(
    ("inside", "border", "row", "run", "sum", "dot", "clipped", "channel", "fill_row", "fill_plane", "taps", "taps3x3",
     "vector", "mul_q31", "one_over_one_plus", "round_half_away", "dot2", "leading_zeros")
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
        assert one.evaluation.performance is not None
        graph = one.planned.graph
        for layer, figures in zip(one.planned.program.layers, one.evaluation.performance.layers, strict=True):
            counts = cost_model.layer_counts(graph, graph.ops[layer.op_index], layer.calls)
            yield counts, figures.instructions, figures.cycles


def worst_and_rms(pairs: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Return the worst and the root-mean-square relative error of (predicted, measured) pairs."""
    errors = np.array([p / m - 1 for p, m in pairs])
    return float(np.abs(errors).max()), float(np.sqrt((errors**2).mean()))


def errors(
    table: cost_model.CostTable, core: Core, held_out: list[Measured], models: list[Measured]
) -> dict[str, float]:
    """Return the errors of layers not seen in the fit, and of whole real models."""
    layers = list(layer_rows(held_out))
    found: dict[str, float] = {}
    for name, prices, index in (("instructions", table.instructions, 1), ("cycles", table.cycles, 2)):
        pairs = [(sum(prices[k] * v for k, v in row[0].items()), float(row[index])) for row in layers]
        found[f"held-out layers {name} worst"], found[f"held-out layers {name} rms"] = worst_and_rms(pairs)
    for kind, measured in (("held-out networks", held_out), ("models", models)):
        for name, pairs in network_pairs(core, measured):
            if pairs:
                found[f"{kind} {name} worst"], found[f"{kind} {name} rms"] = worst_and_rms(pairs)
    return {name: round(value, 4) for name, value in found.items()}


def network_pairs(core: Core, measured: list[Measured]) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Yield (predicted, measured) of whole networks that ran: instructions, cycles, flash."""
    ran = [(m.planned, m.evaluation.performance, m.evaluation.flash.total) for m in measured]
    done = [(planned, figures, flash) for planned, figures, flash in ran if figures is not None]
    yield "instructions", [(cost_model.instructions(p, core), float(f.instructions)) for p, f, _ in done]
    yield "cycles", [(cost_model.cycles(p, core), f.cycles) for p, f, _ in done]
    yield "flash", [(p.weights_bytes + p.tables_bytes + cost_model.code_bytes(p, core), float(b)) for p, _, b in ran]


def make_table(core: Core, workplace: Workplace) -> cost_model.CostTable:
    """Measure and fit one core."""
    function_bytes, needs = code_table(core, workplace)
    training = [run(random_layers(seed), core, workplace) for seed in TRAINING]
    rows = list(layer_rows(training))
    glue_values = []
    for one in training:
        used = {name for kernel in ("", *one.planned.program.functions()) for name in needs[kernel]}
        glue_values.append(one.evaluation.flash.code - sum(function_bytes[name] for name in used))
    return cost_model.CostTable(
        source="python -m benchmarks.cost_table: zig 0.17.1 -O2, counted in Unicorn; cycles by the core's model",
        function_bytes=function_bytes,
        needs={kernel: tuple(names) for kernel, names in needs.items()},
        glue_bytes=fit([cost_model.glue_counts(one.planned.program) for one in training], glue_values),
        instructions=fit([row[0] for row in rows], [row[1] for row in rows]),
        cycles=fit([row[0] for row in rows], [row[2] for row in rows]),
        error={},
    )


def write(core: Core, table: cost_model.CostTable, error: dict[str, float]) -> None:
    """Write a core's table."""
    TABLES.mkdir(exist_ok=True)
    fields = {
        "source": table.source, "error": error, "function_bytes": table.function_bytes, "needs": table.needs,
        "glue_bytes": table.glue_bytes, "instructions": table.instructions, "cycles": table.cycles,
    }  # fmt: skip
    (TABLES / f"{core.value}.json").write_text(json.dumps(fields, indent=1, sort_keys=True) + "\n")


def main() -> None:
    """Make the tables of the cores named on the command line, or of all."""
    cores = [Core(name) for name in sys.argv[1:]] or list(Core)
    with tempfile.TemporaryDirectory() as cache:
        workplace = Workplace(Path(cache))
        for core in cores:
            table = make_table(core, workplace)
            write(core, table, {})
            cost_model.load_cost_table.cache_clear()
            held_out = [run(random_layers(seed), core, workplace) for seed in HELD_OUT]
            models = [run_model(path, core, workplace) for path in sorted(SHARED_MODELS.glob("*.tflite"))]
            error = errors(table, core, held_out, models)
            write(core, table, error)
            print(core.value, error)


if __name__ == "__main__":
    main()
