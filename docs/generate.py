"""Write what is made from the code: the page of supported operators and Grafana's dashboard (`make docs`)."""

from __future__ import annotations

from pathlib import Path

from deploy.grafana import dashboard
from services.compiler.importers.supported import SupportRow, support_table

ROOT = Path(__file__).resolve().parents[1]
OPERATORS = ROOT / "docs" / "supported-operators.md"

_HEAD = """\
<!-- Written by `make docs` from services/compiler/importers/supported.py: do not edit. -->
# Supported operators

A model is compiled when each of its operators obeys the rules below. Otherwise it is refused before any work is done,
with the operator, the rule that it breaks and what would work. `tinyfarm` reads TFLite files with int8 quantization
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


def generated() -> dict[Path, str]:
    """Return every generated file with its text."""
    return {OPERATORS: operators_page(support_table()), dashboard.OUTPUT: dashboard.text()}


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text)
        print(path.relative_to(ROOT))
