"""Measure what kernels cost on each core and fit services/compiler/cost/cost_tables/<core>[-<kernel set>].json.

    python -m benchmarks.cost_table [--code | --turns] [--kernel KERNEL]... [TABLE...]

The table of a core's own kernels takes what it says of portable kernels from the core's portable table. With
`--kernel` only what is told of these kernels is measured, anew or for the first time; with `--turns` only the code
around kernels of layers that take turns (benchmarks/cost_turns.py).

Seeded layers of every kind are compiled, linked and run on simulated boards. Sizes of functions are read from the
ELF files; the time of a layer is fitted, non-negative and by relative error, to the counts of
services/compiler/cost/cost_model.py. The error is that of other seeded layers, and of ../shared/models if it is there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from benchmarks.cost_measured import Measured, Subject, code_table, run, run_model
from benchmarks.cost_networks import (
    convolution_chain,
    depthwise_chain,
    moved_images,
    random_core_layers,
    random_int4_layers,
    random_int16_layers,
    random_layers,
    random_signals,
    transposed_images,
)
from benchmarks.cost_turns import fitted_turns, runtime_of_rings
from benchmarks.shared import SHARED_MODELS
from services.compiler.cost import cost_model
from services.compiler.cost.glue_counts import RING
from services.compiler.cost.kernel_counts import layer_counts
from services.compiler.cost.thumb2_counts import source_bytes
from services.compiler.ir.graph import Graph
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.options import Core, Kernels, issue_of
from services.compiler.planned import plan_network

TABLES = Path(cost_model.__file__).parent / "cost_tables"
TRAINING, HELD_OUT = range(14), range(14, 19)
# a network of the core's own kernels has more layers of each kind
CORE_TRAINING, CORE_HELD_OUT = range(5), range(5, 6)


def fit(rows: Sequence[Mapping[str, float]], values: Sequence[float]) -> dict[str, float]:
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
            counts = layer_counts(graph, graph.ops[layer.op_index], layer.calls)
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
    for name, prices, ran in (
        ("instructions", table.instructions, [row[1] for row in layers]),
        ("cycles", table.cycles, [row[2] for row in layers]),
    ):
        pairs = [(sum(prices[k] * v for k, v in row[0].items()), x) for row, x in zip(layers, ran, strict=True)]
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


def seeded(subject: Subject, *, held_out: bool) -> list[Graph]:
    """Return seeded networks: those to fit, or those to tell the error by."""
    portable = subject.kernel_set is KernelSet.PORTABLE
    training, others = (TRAINING, HELD_OUT) if portable else (CORE_TRAINING, CORE_HELD_OUT)
    layers = random_layers, random_int4_layers, random_int16_layers, transposed_images, moved_images
    makers = layers if portable else (random_core_layers, random_signals, convolution_chain)
    seeds = others if held_out else training
    return [*(make(seed) for seed in seeds for make in makers), *map(depthwise_chain, seeds[:2])]


def make_table(subject: Subject, cache: Path) -> cost_model.CostTable:
    """Measure and fit one core's kernels."""
    portable = cost_model.load_cost_table(subject.core) if subject.kernel_set is not KernelSet.PORTABLE else None
    function_bytes, needs = code_table(subject, cache)
    if portable is None:
        rings = runtime_of_rings(subject, cache)
        function_bytes, needs = {**function_bytes, **rings}, {**needs, RING: sorted(rings)}
    else:
        function_bytes = {**portable.function_bytes, **function_bytes}
        needs = {**{kernel: list(names) for kernel, names in portable.needs.items()}, **needs}
    training = [run(graph, subject, cache) for graph in seeded(subject, held_out=False)]
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
        glue_bytes=fit([cost_model.glue_counts(one.planned) for one in training], glue_values)
        | fitted_turns(subject, cache),
        instructions={**(portable.instructions if portable else {}), **fit(counts, [row[1] for row in rows])},
        cycles={**(portable.cycles if portable else {}), **fit(counts, [row[2] for row in rows])},
        error={},
    )


def write(subject: Subject, table: cost_model.CostTable, error: dict[str, float]) -> None:
    """Write a table; that of a core's own kernels without what the core's portable table says."""
    TABLES.mkdir(exist_ok=True)
    fields: dict[str, Any] = {
        "source": table.source, "error": error, "function_bytes": table.function_bytes, "needs": table.needs,
        "glue_bytes": table.glue_bytes, "instructions": table.instructions, "cycles": table.cycles,
    }  # fmt: skip
    if subject.kernel_set is not KernelSet.PORTABLE:
        portable = cost_model.load_cost_table(subject.core)
        for name in ("function_bytes", "needs", "instructions", "cycles"):
            known = getattr(portable, name)
            fields[name] = {key: value for key, value in fields[name].items() if key not in known}
    (TABLES / cost_model.table_file(subject.core, subject.kernel_set)).write_text(
        json.dumps(fields, indent=1, sort_keys=True) + "\n"
    )


def renew_code(subject: Subject, cache: Path) -> None:
    """Measure the bytes of functions anew and keep all that was fitted: for changes of C code that cost no time."""
    table = cost_model.load_cost_table(subject.core, subject.kernel_set)
    function_bytes, needs = code_table(subject, cache)
    linked = {kernel: tuple(names) for kernel, names in needs.items()}
    write(subject, replace(table, function_bytes=function_bytes, needs=linked), dict(table.error))
    cost_model.load_cost_table.cache_clear()


def renew_turns(subject: Subject, cache: Path) -> None:
    """Measure and fit the code around kernels of layers that take turns, and keep all else."""
    table = cost_model.load_cost_table(subject.core, subject.kernel_set)
    renewed = replace(table, glue_bytes={**table.glue_bytes, **fitted_turns(subject, cache)})
    if subject.kernel_set is KernelSet.PORTABLE:
        rings = runtime_of_rings(subject, cache)
        known = {**table.function_bytes, **rings}
        renewed = replace(renewed, function_bytes=known, needs={**table.needs, RING: tuple(sorted(rings))})
    write(subject, renewed, dict(table.error))
    cost_model.load_cost_table.cache_clear()


def renew_kernels(kernels: Sequence[str], subject: Subject, cache: Path) -> None:
    """Measure and fit kernels, from seeded layers less what other kernels are known to take there; keep all else."""
    table = cost_model.load_cost_table(subject.core, subject.kernel_set)
    planned = ((g, plan_network(g, subject.kernel_set, exact=False)) for g in seeded(subject, held_out=False))
    graphs = [graph for graph, plan in planned if not set(kernels).isdisjoint(plan.program.functions())]
    rows = list(layer_rows(run(graph, subject, cache) for graph in graphs))
    own = [{name: n for name, n in row[0].items() if name.partition(" ")[0] in kernels} for row in rows]
    fitted: dict[str, dict[str, float]] = {}
    for figure, prices, ran in (
        ("instructions", table.instructions, [row[1] for row in rows]),
        ("cycles", table.cycles, [row[2] for row in rows]),
    ):
        others = {name: price for name, price in prices.items() if name.partition(" ")[0] not in kernels}
        found = [
            (mine, x - sum(others[k] * n for k, n in row[0].items() if k not in mine))
            for mine, x, row in zip(own, ran, rows, strict=True)
            if mine
        ]
        fitted[figure] = {**others, **fit([mine for mine, _ in found], [x for _, x in found])}
        pairs = [(sum(fitted[figure][k] * n for k, n in mine.items()), x) for mine, x in found]
        print(subject.core.value, *kernels, len(found), "layers,", figure, "worst and rms", worst_and_rms(pairs))
    function_bytes, needs = dict(table.function_bytes), dict(table.needs)
    for kernel in kernels:
        sizes, linked = code_table(subject, cache, only=kernel)
        function_bytes |= sizes
        needs[kernel] = tuple(linked[kernel])
    renewed = replace(
        table,
        instructions=fitted["instructions"],
        cycles=fitted["cycles"],
        function_bytes=function_bytes,
        needs=needs,
    )
    write(subject, renewed, dict(table.error))
    cost_model.load_cost_table.cache_clear()


def main() -> None:
    tables = {
        _name(subject): subject for subject in (Subject(c, k) for k in (Kernels.PORTABLE, Kernels.CORE) for c in Core)
    }
    parser = argparse.ArgumentParser(description="Measure and fit the cost tables anew: ten minutes a table.")
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"all unless given; of {', '.join(tables)}")
    parser.add_argument("--code", action="store_true", help="only the bytes of their functions")
    parser.add_argument("--turns", action="store_true", help="only the code of layers and stages that take turns")
    parser.add_argument(
        "--kernel", action="append", metavar="KERNEL", help="only what is told of this one, where layers call it"
    )
    options = parser.parse_args()
    if unknown := sorted(set(options.tables) - set(tables)):
        parser.error(f"unknown table {', '.join(unknown)}: there is {', '.join(tables)}")
    only_code, subjects = options.code, [tables[name] for name in options.tables or tables]
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        for subject in subjects:
            if options.kernel:
                renew_kernels(options.kernel, subject, cache)
                continue
            if only_code:
                renew_code(subject, cache)
                continue
            if options.turns:
                renew_turns(subject, cache)
                continue
            table = make_table(subject, cache)
            write(subject, table, {})
            cost_model.load_cost_table.cache_clear()
            held_out = [run(graph, subject, cache) for graph in seeded(subject, held_out=True)]
            models = [run_model(path, subject, cache) for path in sorted(SHARED_MODELS.glob("*.tflite"))]
            error = errors(table, subject, held_out, models)
            write(subject, table, error)
            print(subject.core.value, subject.kernel_set.value, error)


def _name(subject: Subject) -> str:
    return Path(cost_model.table_file(subject.core, subject.kernel_set)).stem


if __name__ == "__main__":
    main()
