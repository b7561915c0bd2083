"""`tinyfarm targets`: the chips that can be compiled for."""

from __future__ import annotations

from tinyfarm.cli.connect import connected
from tinyfarm.cli.options import Json, Server
from tinyfarm.cli.output import print_json, print_table
from tinyfarm.client.plain import plain
from tinyfarm.up import COMPILE_AND_RUN
from tinyfarm.v1 import evaluation_pb2


def command(json: Json = False, server: Server = None) -> None:
    """List the chips: core, clock, memory and energy per cycle with its source."""
    with connected(server, COMPILE_AND_RUN) as client:
        found = client.targets()
    if json:
        print_json({"targets": [plain(target) for target in found]})
        return
    columns = ("target", "chip", "core", "clock", "flash", "SRAM", "energy a cycle", "energy from")
    print_table("", columns, [_row(target) for target in found])


def _row(target: evaluation_pb2.Target) -> tuple[str, ...]:
    energy = f"{target.energy_nj_per_cycle:.3g} nJ" if target.HasField("energy_nj_per_cycle") else ""
    return (
        target.name,
        target.chip,
        target.core,
        f"{target.clock_hz / 1e6:.0f} MHz",
        f"{target.flash_bytes // 1024} KiB",
        f"{target.sram_bytes // 1024} KiB",
        energy,
        target.energy_source,
    )
