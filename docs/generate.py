"""Write what is made from the code: pages of operators, targets and commands, Grafana's dashboard (`make docs`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from deploy.grafana import dashboard
from services.common.targets import EnergyPerCycle, Target, Timing, all_targets
from services.compiler.importers.supported import SupportRow, support_table

ROOT = Path(__file__).resolve().parents[1]
OPERATORS = ROOT / "docs" / "supported-operators.md"
TARGETS = ROOT / "docs" / "targets.md"
COMMANDS = ROOT / "docs" / "reference" / "cli.md"
COMMANDS_MARK = "<!-- The rest is written by `make docs`. -->\n\n"

_HEAD = """\
<!-- Written by `make docs` from services/compiler/importers/supported.py: do not edit. -->
# Supported operators

A model is compiled when each of its operators obeys the rules below. Otherwise it is refused before any work is done,
with the operator, the rule that it breaks and what would work. `tinyfarm` reads TFLite files with int8 quantization
(weights also int4) or int16 activations and int8 weights (16x8),
and ONNX files with QDQ or QLinear operators; both become the operators of this page.
"""


def operators_page(rows: tuple[SupportRow, ...]) -> str:
    """Return the page: what every operator does, its rules, and each rule's text once."""
    numbers: dict[str, int] = {}
    for row in rows:
        for rule in row.rules:
            numbers.setdefault(rule, len(numbers) + 1)
    lines = [_HEAD, "| operator | what it computes | [rules](#rules) |", "| --- | --- | --- |"]
    for row in rows:
        cells = ", ".join(str(numbers[rule]) for rule in row.rules)
        lines.append(f"| `{row.operator}` | {row.summary} | {cells} |")
    lines += ["", "## Rules", ""]
    lines += [f"{number}. {rule}" for rule, number in numbers.items()]
    return "\n".join(lines) + "\n"


_TARGETS_HEAD = """\
<!-- Written by `make docs` from services/common/targets/*.yaml: do not edit. -->
# Targets

A target is a chip with the memory that a program may use; a board is one instance of it, simulated unless your boards
file says otherwise. [Simulation](simulation.md) says what the figures of a simulated board are worth.

| target | chip | core | FPU | DSP | clock | flash | SRAM |
| --- | --- | --- | --- | --- | --- | --- | --- |"""


def targets_page(targets: tuple[Target, ...]) -> str:
    """Return the page: a table of all targets, then where each one's figures come from."""
    lines = [_TARGETS_HEAD]
    for t in targets:
        memory = f"{t.flash.size_bytes // 1024} KiB | {t.sram.size_bytes // 1024} KiB"
        dsp = "yes" if t.dsp else "no"
        lines.append(f"| `{t.name}` | {t.chip} | {t.core} | {t.fpu} | {dsp} | {t.clock_hz / 1e6:g} MHz | {memory} |")
    for t in targets:
        lines += ["", f"## {t.name}", "", f"{t.description}.", ""]
        lines += [f"- flash: {t.flash.note}", f"- SRAM: {t.sram.note}", f"- cycles: {_timing(t.timing)}"]
        if (waits := t.flash_waits) is not None:
            caches = f"{waits.instruction_lines} instruction and {waits.data_lines} data lines"
            lines.append(f"- flash waits: {waits.cycles_per_miss} cycles a miss, {caches} of 32 bytes. {waits.source}")
        lines.append(f"- energy: {_energy(t.energy)}")
    return "\n".join(lines) + "\n"


def _timing(timing: Timing) -> str:
    band = "no band" if timing.low is None or timing.high is None else f"x{timing.low:g} to x{timing.high:g}"
    return f"{'validated' if timing.validated else 'not validated'}, {band}. {timing.text}"


def _energy(energy: EnergyPerCycle | None) -> str:
    if energy is None:
        return "no source, so none is given"
    nj = f"{energy.nj_per_cycle:.3g} nJ a cycle"
    return f"{nj} ({energy.microamps_per_mhz:g} uA/MHz at {energy.volts:g} V). {energy.source}"


def commands_page(present: str) -> str:
    """Return the page of the command line: its introduction as it is, then what the command says about itself."""
    introduction, mark, _ = present.partition(COMMANDS_MARK)
    argv = (sys.executable, "-m", "typer", "tinyfarm.cli.main", "utils", "docs", "--name", "tinyfarm")
    written = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return f"{introduction}{mark}{written.strip()}\n"


def generated() -> dict[Path, str]:
    """Return every file that is generated whole with its text."""
    return {
        OPERATORS: operators_page(support_table()),
        TARGETS: targets_page(all_targets()),
        dashboard.OUTPUT: dashboard.text(),
    }


if __name__ == "__main__":
    for path, text in {**generated(), COMMANDS: commands_page(COMMANDS.read_text())}.items():
        path.write_text(text)
        print(path.relative_to(ROOT))
