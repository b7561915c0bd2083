"""`tinyfarm run`: samples through the firmware on a board."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tinyfarm.cli.connect import connected
from tinyfarm.cli.exit_codes import BUDGET_BROKEN
from tinyfarm.cli.figures import board_of, counted, describe, label, schedule_of
from tinyfarm.cli.memory import print_memory, sram_beyond
from tinyfarm.cli.options import (
    Board,
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
    output_file,
)
from tinyfarm.cli.output import print_json, print_line, print_note
from tinyfarm.cli.progress import follow
from tinyfarm.cli.results import schedule_unkept
from tinyfarm.client import Budgets
from tinyfarm.client.check import report_of
from tinyfarm.client.options import compile_options
from tinyfarm.up import COMPILE_AND_RUN
from tinyfarm.v1 import evaluation_pb2, job_pb2


def command(
    model: Model,
    *,
    board: Board,
    input: Annotated[Path, typer.Option("--input", help="An .npz with samples on the first axis.")],
    output: Annotated[Path, typer.Option("--output", help="The .npz to write, one array an output.")],
    schedule: Schedule = "auto",
    pull_input: PullInput = False,
    max_sram: PlannedSram = None,
    io: Interface = "int8",
    kernels: Kernels = "core",
    json: Json = False,
    server: Server = None,
) -> None:
    """Run samples on a board and write its outputs; exit 1 where the model does not fit, its SRAM not the
    budget, or it cannot be cut into the patches that are named.

    Arrays of the input file are matched to the model's inputs by tensor name, else the key `input`, else `x`,
    else the only array; outputs are in the model's own types.
    """
    options = compile_options(
        schedule=schedule,
        budgets=Budgets(max_sram),
        pull_input=pull_input,
        interface=interface_of(io),
        kernels=kernels_of(kernels),
    )
    existing_file(model)
    existing_file(input)
    output_file(output)
    with connected(server, COMPILE_AND_RUN) as client:
        job = client.submit_evaluation(model, board=board, inputs=input, options=options, return_firmware=True)
        done = follow(client, job, f"running {model.name} on {board}")
        result = done.evaluation_result
        if result.HasField("outputs"):
            client.artifacts.save(result.outputs, output)
    if json:
        print_json(_document(done, output, schedule))
    else:
        _print(result, output)
    broken = [line for line in (sram_beyond(result.sram, max_sram), schedule_unkept(schedule, result)) if line]
    for line in broken:
        print_note(line)
    if broken or not result.fits:
        raise typer.Exit(BUDGET_BROKEN)


def _document(job: job_pb2.Job, output: Path, schedule: str) -> dict[str, Any]:
    """Everything of the check document but its budgets, and where the outputs are."""
    result = job.evaluation_result
    document = report_of(job, Budgets(), schedule).document
    del document["budgets"]
    return {
        **document,
        "schema": "tinyfarm.run/1",
        "job": job.name,
        "samples": result.samples_on_board,
        "output": str(output) if result.HasField("outputs") else None,
    }


def _print(result: evaluation_pb2.EvaluationResult, output: Path) -> None:
    if not result.fits:
        print_memory(f"{result.model_name} on {result.board}", result.sram, result.flash, result.misfits)
        return
    equal = "equal to" if result.twin_equal else "DIFFERENT from"
    samples = counted(result.samples_on_board, "sample")
    print_line(f"{samples} on {board_of(result)}, {schedule_of(result)}, {equal} the host twin")
    print_line(f"schedule: {result.schedule_reason}")
    for figure in (result.instructions, result.core_cycles, result.cycles, result.latency):
        print_line(f"{label(figure)}: {describe(figure)}")
    print_line(f"outputs in {output}")
