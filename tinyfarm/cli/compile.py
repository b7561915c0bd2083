"""`tinyfarm compile`: model to C library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinyfarm.cli.connect import connected
from tinyfarm.cli.exit_codes import BUDGET_BROKEN
from tinyfarm.cli.memory import sram_beyond
from tinyfarm.cli.options import (
    Interface,
    Json,
    Kernels,
    Model,
    PlannedSram,
    PullInput,
    Schedule,
    Server,
    existing_file,
    interface_of,
    kernels_of,
    output_folder,
)
from tinyfarm.cli.output import print_json, print_line, print_note, short_id
from tinyfarm.cli.progress import follow
from tinyfarm.cli.results import print_compiled, schedule_unkept
from tinyfarm.cli.unpack import unpack_library
from tinyfarm.client import Budgets
from tinyfarm.client.budgets import schedule_kept
from tinyfarm.client.options import compile_options
from tinyfarm.client.plain import brief
from tinyfarm.up import COMPILE_AND_RUN


def command(
    model: Model,
    *,
    target: Annotated[str, typer.Option("--target", "--board", help="A name of `tinyfarm targets`.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the C files.")] = None,
    schedule: Schedule = "auto",
    pull_input: PullInput = False,
    max_sram: PlannedSram = None,
    io: Interface = "int8",
    kernels: Kernels = "core",
    json: Json = False,
    server: Server = None,
) -> None:
    """Compile a model to C99; exit 1 where it does not fit the target, its arena not the budget, or patches cannot
    be cut as named.
    """
    options = compile_options(
        schedule=schedule,
        budgets=Budgets(max_sram),
        pull_input=pull_input,
        interface=interface_of(io),
        kernels=kernels_of(kernels),
    )
    existing_file(model)
    output_folder(output)
    with connected(server, COMPILE_AND_RUN) as client:
        job = client.submit_compile(model, target=target, options=options)
        result = follow(client, job, f"compiling {model.name}").compile_result
        if output is not None:
            unpack_library(client.artifacts.get(result.library), output)
    if json:
        kept = schedule_kept(schedule, result.schedule)
        place = str(output) if output else None
        print_json({"job": job.name, "output": place, "schedule_kept": kept, "result": brief(result)})
    else:
        print_compiled(result)
        print_line(f"C library in {output}" if output else f"C library: tinyfarm get {short_id(job)} -o DIR")
    broken = [line for line in (sram_beyond(result.sram, max_sram), schedule_unkept(schedule, result)) if line]
    for line in broken:
        print_note(line)
    if broken or not result.fits:
        raise typer.Exit(BUDGET_BROKEN)
