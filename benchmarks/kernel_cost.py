"""Measure one kernel and write what it costs into the cost tables, leaving all else in them as it is.

    python -m benchmarks.kernel_cost tf_rnn_pool_s8 [CORE]...

For a new portable kernel, where a full run of benchmarks.cost_table would take long. Whole networks' errors in the
tables stay those of the last full run; the new kernel's own error on held-out layers is printed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.cost_table import (
    STATIC,
    TABLES,
    Subject,
    fit,
    kernel_networks,
    layer_rows,
    linked_functions,
    run,
    worst_and_rms,
)
from services.compiler import cost_model
from services.compiler.ir.graph import Graph
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.options import Core, Kernels
from tests.compiler.graph_maker import GraphMaker

TRAINING, HELD_OUT = range(6), range(6, 8)


def rnn_pools(seed: int) -> Graph:
    """Return a network of RNNPool layers of many shapes on one image."""
    m = GraphMaker(seed=seed, name=f"rnn_pools_{seed}")
    pick = lambda *values: values[int(m.random.integers(len(values)))]  # noqa: E731
    x = m.input(1, int(m.random.integers(8, 15)), int(m.random.integers(8, 15)), pick(1, 3, 8, 16))
    shapes = ((4, 4), (3, 5), (8, 8), (6, 2))
    return m.build(*(m.rnn_pool(x, pick(2, 4, 8, 16), pick(2, 4, 8, 16), s, pick((2, 2), (4, 4))) for s in shapes))


LAYERS: dict[str, Callable[[int], Graph]] = {"tf_rnn_pool_s8": rnn_pools}


def measure(kernel: str, core: Core, cache: Path) -> None:
    """Measure the kernel on one core and update its tables."""
    subject = Subject(core, Kernels.PORTABLE)
    sizes = linked_functions(run(dict(kernel_networks())[kernel], subject, cache).elf)
    sizes = {(f"{kernel}.{name}" if name in STATIC else name): size for name, size in sizes.items()}
    rows = list(layer_rows(run(LAYERS[kernel](seed), subject, cache) for seed in TRAINING))
    fitted = {
        "instructions": fit([row[0] for row in rows], [row[1] for row in rows]),
        "cycles": fit([row[0] for row in rows], [row[2] for row in rows]),
    }
    for kernels in KernelSet:
        path = TABLES / cost_model.table_file(core, kernels)
        if path.exists():
            _update(path, kernel, sizes, fitted)
    held_out = list(layer_rows(run(LAYERS[kernel](seed), subject, cache) for seed in HELD_OUT))
    for index, (name, prices) in enumerate(fitted.items(), start=1):
        pairs = [(sum(prices[k] * v for k, v in row[0].items()), float(row[index])) for row in held_out]
        worst, rms = worst_and_rms(pairs)
        print(f"{core.value} {kernel} {name}: worst {worst:.4f}, rms {rms:.4f} on {len(pairs)} held-out layers")


def _update(path: Path, kernel: str, sizes: dict[str, int], fitted: dict[str, dict[str, float]]) -> None:
    table = json.loads(path.read_text(encoding="utf-8"))
    table["function_bytes"] |= sizes
    table["needs"][kernel] = sorted(sizes)
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
