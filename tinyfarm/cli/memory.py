"""The memory report as text."""

from __future__ import annotations

from collections.abc import Iterable

from tinyfarm.cli.output import print_line, print_table
from tinyfarm.cli.units import format_size
from tinyfarm.client.check import FLASH_PARTS, SRAM_PARTS
from tinyfarm.v1 import metric_pb2

# Of a library that is not linked: these are told after linking, code is modelled until then.
_AFTER_LINKING = ("static", "stack")


def print_memory(
    title: str,
    sram: metric_pb2.SramBytes,
    flash: metric_pb2.FlashBytes,
    misfits: Iterable[metric_pb2.Misfit],
    *,
    linked: bool = True,
) -> None:
    """SRAM and flash with their parts, and a line for each memory that is too small."""
    parts = [part for part in SRAM_PARTS if linked or part not in (*_AFTER_LINKING, "total")]
    rows = [(f"SRAM {part.replace('_', ' ')}", format_size(getattr(sram, part))) for part in parts]
    rows += [(_flash_label(part, linked), format_size(getattr(flash, part))) for part in FLASH_PARTS]
    print_table(title, ("memory", "bytes"), rows)
    for misfit in misfits:
        print_line(misfit_line(misfit))


def _flash_label(part: str, linked: bool) -> str:
    return f"flash {part}" if linked or part not in ("code", "total") else f"flash {part}, modelled"


def misfit_line(misfit: metric_pb2.Misfit) -> str:
    """Which memory is too small, by how much, and the layer to blame."""
    layer = f"; largest at layer {misfit.layer_index} ({misfit.layer})" if misfit.layer else ""
    return (
        f"does not fit: {misfit.memory} needed {format_size(misfit.needed_bytes)}, "
        f"available {format_size(misfit.available_bytes)}{layer}"
    )


def sram_beyond(sram: metric_pb2.SramBytes, limit_bytes: int | None) -> str | None:
    """A line for SRAM beyond its limit, of a library that is not linked without stack; None where it keeps to it."""
    if limit_bytes is None or sram.total <= limit_bytes:
        return None
    return f"broken: SRAM {format_size(sram.total)} is above --max-sram {format_size(limit_bytes)}"
