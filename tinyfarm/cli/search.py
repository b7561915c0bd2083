"""`tinyfarm search`: find networks within budgets, measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tinyfarm.cli.connect import connected, known_server
from tinyfarm.cli.front import print_front
from tinyfarm.cli.get import print_saved, save_results
from tinyfarm.cli.images import pack_images
from tinyfarm.cli.options import (
    Board,
    Json,
    MaxEnergy,
    MaxFlash,
    MaxLatency,
    MaxSram,
    MinAccuracy,
    Schedule,
    Seed,
    Server,
    output_folder,
)
from tinyfarm.cli.output import print_json, print_line, short_id
from tinyfarm.cli.progress import follow
from tinyfarm.client import Budgets, InvalidInputError
from tinyfarm.client.plain import brief
from tinyfarm.client.specs import image_search
from tinyfarm.up import ALL_PARTS
from tinyfarm.v1 import job_pb2


def command(
    *,
    board: Board,
    data: Annotated[
        str,
        typer.Option("--data", help="A folder with one sub-folder a class, an .npz with x and y, or mnist5k."),
    ],
    task: Annotated[str, typer.Option("--task", help="What is searched for; only image in this version.")] = "image",
    sram: MaxSram = None,
    flash: MaxFlash = None,
    latency: MaxLatency = None,
    energy: MaxEnergy = None,
    min_accuracy: MinAccuracy = None,
    finalists: Annotated[int, typer.Option(min=0, max=64, help="Networks to train and measure; 0: default.")] = 0,
    schedule: Schedule = "auto",
    baselines: Annotated[bool, typer.Option(help="Also measure hand-made networks under the same budgets.")] = True,
    seed: Seed = 0,
    image_size: Annotated[int, typer.Option(min=8, max=512, help="Side to which a folder's pictures are scaled.")] = 64,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for report, model and library.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the result, or, with a server that stays, go on.")] = True,
    json: Json = False,
    server: Server = None,
) -> None:
    """Search networks for a task on a board and print the measured front."""
    _require_image(task)
    output_folder(output)
    if not wait:
        _require_server(server)
    builtin, content = _data(data, image_size)
    spec = image_search(
        board,
        builtin=builtin,
        budgets=Budgets(sram, flash, latency, energy, min_accuracy),
        seed=seed,
        finalists=finalists,
        baselines=baselines,
        schedule=schedule,
    )
    with connected(server, ALL_PARTS, publish=True) as client:
        job = client.submit_search(spec, data=content)
        if wait:
            job = follow(client, job, f"searching for {board}", show_log=not json)
            files = save_results(client, job, output) if output is not None else ()
    if json:
        print_json(brief(job))
    elif not wait:
        print_line(f"{job.name}: tinyfarm watch {short_id(job)}")
    else:
        _print_found(job, board, output, files)


def _print_found(job: job_pb2.Job, board: str, output: Path | None, files: Sequence[Path]) -> None:
    result = job.search_result
    print_front(f"networks on {board}", result.points, result.baselines, result.winner)
    if output is None:
        print_line(f"report, model and C library: tinyfarm get {short_id(job)} -o DIR")
    else:
        print_saved(files, output)


def _require_image(task: str) -> None:
    if task != "image":
        raise InvalidInputError(
            f"task {task!r} is not one of image", reason="UNKNOWN_TASK", subject="--task", value=task, allowed="image"
        )


def _require_server(server: str | None) -> None:
    if known_server(server) is None:
        raise InvalidInputError(
            "without waiting nothing would be left to run the search: no server is given and none is running",
            reason="NO_SERVER",
            subject="--no-wait",
            hint="tinyfarm up, in another terminal",
        )


def _data(text: str, image_size: int) -> tuple[str, bytes | Path | None]:
    """Name of a built-in data set, or the bytes or file to send."""
    path = Path(text)
    if path.is_dir():
        return "", pack_images(path, image_size)
    if path.is_file():
        return "", path
    if path.suffix or "/" in text:
        raise InvalidInputError(
            f"no such file or folder: {text!r}",
            reason="UNREADABLE_FILE",
            subject="file or folder",
            value=text,
            allowed="one that is there",
            hint="check the path",
        )
    return text, None
