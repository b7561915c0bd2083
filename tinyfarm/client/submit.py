"""What a model is called when its user gives no name."""

from __future__ import annotations

from pathlib import Path


def name_of(source: bytes | Path | str | None) -> str:
    """The file's name without its suffix; "model" for bytes. Any text: services escape it wherever it goes."""
    return "model" if source is None or isinstance(source, bytes) else Path(source).stem or "model"
