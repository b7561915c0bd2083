"""Write what is made from the code: the page of supported operators and Grafana's dashboard (`make docs`)."""

from __future__ import annotations

from pathlib import Path

from deploy.grafana import dashboard

ROOT = Path(__file__).resolve().parents[1]


def generated() -> dict[Path, str]:
    """Return every generated file with its text."""
    return {dashboard.OUTPUT: dashboard.text()}


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text)
        print(path.relative_to(ROOT))
