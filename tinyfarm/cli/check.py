"""`tinyfarm check`: measure a model and hold it against budgets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tinyfarm.cli.connect import connected
from tinyfarm.cli.exit_codes import BUDGET_BROKEN
from tinyfarm.cli.options import (
    Board,
    Interface,
    Json,
    Kernels,
    MaxEnergy,
    MaxFlash,
    MaxLatency,
    MaxSram,
    MinAccuracy,
    Model,
    PullInput,
    Schedule,
    Server,
    existing_file,
    interface_of,
    kernels_of,
)
from tinyfarm.cli.output import print_json, print_note, print_table
from tinyfarm.cli.progress import follow
from tinyfarm.cli.results import print_measured, schedule_unkept
from tinyfarm.client import Budgets, CheckReport, InvalidInputError
from tinyfarm.client.check import report_of
from tinyfarm.client.options import compile_options
from tinyfarm.up import COMPILE_AND_RUN


def command(
    model: Model,
    *,
    board: Board,
    data: Annotated[Path | None, typer.Option("--data", help="An .npz with x and y, for the accuracy.")] = None,
    max_sram: MaxSram = None,
    max_flash: MaxFlash = None,
    max_latency: MaxLatency = None,
    max_energy: MaxEnergy = None,
    min_accuracy: MinAccuracy = None,
    board_samples: Annotated[
        int, typer.Option(min=0, max=100_000, help="Samples of the data to run on the board too; 0: a few.")
    ] = 0,
    schedule: Schedule = "auto",
    pull_input: PullInput = False,
    io: Interface = "int8",
    kernels: Kernels = "core",
    json: Json = False,
    server: Server = None,
) -> None:
    """Measure a model on a board and hold it against budgets.

    Exit 0 where all are met, 1 where one is broken, the model does not fit or cannot be cut as named,
    2 where it cannot be measured.
    """
    limits = Budgets(max_sram, max_flash, max_latency, max_energy, min_accuracy)
    options = compile_options(
        schedule=schedule,
        budgets=limits,
        pull_input=pull_input,
        interface=interface_of(io),
        kernels=kernels_of(kernels),
    )
    existing_file(model)
    if data is not None:
        existing_file(data)
    elif min_accuracy is not None:
        raise InvalidInputError(
            "--min-accuracy needs --data", reason="NO_DATA", subject="--data", allowed="an .npz with x and y"
        )
    with connected(server, COMPILE_AND_RUN) as client:
        job = client.submit_evaluation(
            model, board=board, data=data, options=options, board_samples=board_samples, return_firmware=True
        )
        report = report_of(follow(client, job, f"measuring {model.name} on {board}"), limits, schedule)
    if json:
        print_json(report.document)
    else:
        _print(report)
    if unkept := schedule_unkept(schedule, report.evaluation):
        print_note(unkept)
    if not report.passed:
        raise typer.Exit(BUDGET_BROKEN)


def _print(report: CheckReport) -> None:
    print_measured(report.evaluation)
    budgets = report.document["budgets"]
    if budgets:
        print_table("", ("budget", "limit", "value", ""), [_row(budget) for budget in budgets])


def _row(budget: dict[str, Any]) -> tuple[str, ...]:
    name, limit, value = budget["name"], budget["limit"], budget["value"]
    shown = "not measured" if value is None else _in_unit(name, value)
    return name.replace("_", " "), _in_unit(name, limit), shown, "ok" if budget["ok"] else "BROKEN"


def _in_unit(budget: str, value: float) -> str:
    """A limit or what was measured in the unit of its option."""
    match budget:
        case "max_latency":
            return f"{value / 1000:,.3f} ms"
        case "max_energy":
            return f"{value:,.1f} µJ"
        case "min_accuracy":
            return f"{value:.2%}"
    return f"{value:,.0f} B"
