"""The memory report as text."""

from __future__ import annotations

from collections.abc import Iterable

from tinyfarm.cli.output import print_line, print_table
from tinyfarm.cli.units import format_size
from tinyfarm.client.check import FLASH_PARTS, SRAM_PARTS
from tinyfarm.v1 import metric_pb2


def print_memory(
    title: str, sram: metric_pb2.SramBytes, flash: metric_pb2.FlashBytes, misfits: Iterable[metric_pb2.Misfit]
) -> None:
    """SRAM and flash with their parts, and a line for each memory that is too small."""
    rows = [(f"SRAM {part.replace('_', ' ')}", format_size(getattr(sram, part))) for part in SRAM_PARTS]
    rows += [(f"flash {part}", format_size(getattr(flash, part))) for part in FLASH_PARTS]
    print_table(title, ("memory", "bytes"), rows)
    for misfit in misfits:
        print_line(misfit_line(misfit))


def misfit_line(misfit: metric_pb2.Misfit) -> str:
    """Which memory is too small, by how much, and the layer to blame."""
    layer = f"; largest at layer {misfit.layer_index} ({misfit.layer})" if misfit.layer else ""
    return (
        f"does not fit: {misfit.memory} needed {format_size(misfit.needed_bytes)}, "
        f"available {format_size(misfit.available_bytes)}{layer}"
    )
