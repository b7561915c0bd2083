"""`tinyfarm demo`: a whole search on data that ships with the installation."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from tinyfarm.cli.connect import connected
from tinyfarm.cli.front import print_front
from tinyfarm.cli.get import save_results
from tinyfarm.cli.options import Json, Seed, Server, output_folder
from tinyfarm.cli.output import print_json, print_line
from tinyfarm.cli.progress import follow
from tinyfarm.client import Budgets
from tinyfarm.client.plain import brief
from tinyfarm.client.specs import image_search
from tinyfarm.up import ALL_PARTS

BOARD = "nano33ble"
DATA = "mnist5k"
SRAM_BYTES = 16 * 1024


def command(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("out/demo"),
    seed: Seed = 0,
    json: Json = False,
    server: Server = None,
) -> None:
    """Find networks that read handwritten digits within 16 KiB of SRAM on a nano33ble, beside two hand-made ones."""
    started = time.monotonic()
    output_folder(output)
    # Per layer: streamed networks within the same limit are larger, and take longer to train than a demo should.
    spec = image_search(
        BOARD, builtin=DATA, budgets=Budgets(sram_bytes=SRAM_BYTES), seed=seed, baselines=True, schedule="per-layer"
    )
    with connected(server, ALL_PARTS, publish=True) as client:
        job = follow(client, client.submit_search(spec), f"searching on {DATA} for {BOARD}", show_log=not json)
        files = save_results(client, job, output)
    if json:
        print_json({**brief(job), "files": [str(path) for path in files]})
        return
    result = job.search_result
    title = f"{DATA} on {BOARD}, at most 16 KiB of SRAM"
    print_front(title, result.points, result.baselines, result.winner)
    print_line(f"{result.networks_estimated:,} networks estimated, {result.networks_scored:,} scored")
    print_line(f"report      {output / 'report.html'}")
    print_line(f"C library   {output / 'library'}")
    print_line(f"took {time.monotonic() - started:.0f} s")
