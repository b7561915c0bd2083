"""How far modelled code is from what is linked, per layer, in patches and streamed.

    python -m benchmarks.code_size [--network NAME]... [--json] [TABLE...]

Networks that no cost table was fitted on: those of benchmarks/excited.py, MobileNetV2, and the larger of the shared
models if they are there. Each is compiled for a core under every schedule and linked; nothing is run. TABLE is one of
services/compiler/cost/cost_tables. Code are the library's functions and what they need of the compiler's runtime.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import excited
from benchmarks.cost_measured import BOARDS, Subject
from benchmarks.networks import mobilenet_v2, plan_graph
from benchmarks.shared import SHARED_MODELS
from services.compiler.cost import cost_model
from services.compiler.errors import UnsupportedModelError
from services.compiler.ir.graph import Graph
from services.compiler.options import Core, Interface, Kernels
from services.compiler.passes.optimize import optimize
from services.compiler.passes.strip_edge_transpose import strip_edge_transpose
from services.compiler.pipeline import compile_graph, import_model
from services.evaluator.farm import load_farm
from services.evaluator.image import build_image
from services.evaluator.library import read_library
from services.evaluator.toolchain import Toolchain

_PULLED = " --pull-input"
SCHEDULES = ("per-layer", "patch:2x2", "patch", "streaming", f"patch:2x2{_PULLED}", f"streaming{_PULLED}")
MODELS = ("ds_cnn_s_quantized", "mcunet_vww1", "person_detect", "pretrainedResnet_quant", "vww_96_int8")


@dataclass(frozen=True, slots=True)
class Row:
    """A network under a schedule: code and flash in bytes, modelled and linked."""

    network: str
    schedule: str
    code_modelled: int
    code_linked: int
    flash_modelled: int
    flash_linked: int

    @property
    def code_error(self) -> float:
        """How much more code is modelled than is linked, as a share of it."""
        return self.code_modelled / self.code_linked - 1

    @property
    def flash_error(self) -> float:
        """The same of code, weights and tables."""
        return self.flash_modelled / self.flash_linked - 1


def networks(names: Sequence[str]) -> Iterator[Graph]:
    """Yield the networks whose names contain one of these; all where there are none."""
    graphs = [*excited.networks(), plan_graph(mobilenet_v2(0.5, 96), "MobileNetV2 0.5, 96")]
    paths = [path for path in sorted(SHARED_MODELS.glob("*.tflite")) if path.stem in MODELS]
    for graph in (*graphs, *(import_model(path.read_bytes(), path.stem) for path in paths)):
        if not names or any(name in graph.name for name in names):
            yield strip_edge_transpose(optimize(graph, Interface.INT8))


def measure(graph: Graph, schedule: str, subject: Subject, cache: Path) -> Row:
    """Compile and link a network. Raises UnsupportedModelError where its input cannot be pulled."""
    asked = schedule.removesuffix(_PULLED)
    options = replace(subject.options(Interface.INT8), schedule=asked, pull_input=schedule != asked)
    compiled = compile_graph(graph, graph, options)
    facts = load_farm().board(BOARDS[subject.core]).facts
    sizes = build_image(read_library(compiled.library_zip), facts, Toolchain("zig", cache)).sizes
    assert compiled.code_bytes is not None
    rest = compiled.manifest.weights_bytes + compiled.manifest.tables_bytes
    return Row(graph.name, schedule, compiled.code_bytes, sizes.code, compiled.code_bytes + rest, sizes.flash)


def rows(subject: Subject, names: Sequence[str], cache: Path) -> Iterator[Row]:
    """Yield every network under every schedule that it can have."""
    for graph in networks(names):
        for schedule in SCHEDULES:
            with suppress(UnsupportedModelError):
                yield measure(graph, schedule, subject, cache)


def by_schedule(found: Sequence[Row], title: str) -> Table:
    """Return the errors of all networks, a row a schedule."""
    table = Table(title=title)
    for column in ("schedule", "networks", "code bytes", "code: mean", "least", "most", "flash: worst"):
        table.add_column(column, justify="left" if column == "schedule" else "right")
    for schedule in dict.fromkeys(row.schedule for row in found):
        own = [row for row in found if row.schedule == schedule]
        code, sizes = [row.code_error for row in own], [row.code_linked for row in own]
        shares = (sum(code) / len(code), min(code), max(code), max((row.flash_error for row in own), key=abs))
        span = f"{min(sizes):,} to {max(sizes):,}"
        table.add_row(schedule, str(len(own)), span, *(f"{100 * share:+.2f} %" for share in shares))
    return table


def main() -> None:
    """Measure for each of the tables asked for."""
    subjects = [Subject(core, kernels) for kernels in (Kernels.PORTABLE, Kernels.CORE) for core in Core]
    tables = {Path(cost_model.table_file(s.core, s.kernel_set)).stem: s for s in subjects}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"all unless given; of {', '.join(tables)}")
    parser.add_argument("--network", action="append", default=[], metavar="NAME", help="a part of a network's name")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.tables) - set(tables)):
        parser.error(f"unknown table {', '.join(unknown)}: there is {', '.join(tables)}")
    with tempfile.TemporaryDirectory() as cache:
        for name in asked.tables or tables:
            found = list(rows(tables[name], asked.network, Path(cache)))
            if asked.json:
                print(json.dumps({name: [asdict(row) for row in found]}))
            else:
                Console(width=130).print(by_schedule(found, name))


if __name__ == "__main__":
    main()
