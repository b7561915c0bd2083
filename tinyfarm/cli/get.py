"""`tinyfarm get`: a job's record and the files that it made."""

from __future__ import annotations

import itertools
import json as json_module
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tinyfarm.cli.connect import connected
from tinyfarm.cli.figures import counted
from tinyfarm.cli.options import JobName, Json, Server, output_folder
from tinyfarm.cli.output import print_json, print_line
from tinyfarm.cli.results import print_result
from tinyfarm.cli.unpack import unpack_library
from tinyfarm.client import Client, InvalidInputError
from tinyfarm.client.errors import raise_unless_succeeded
from tinyfarm.client.plain import enum_name, plain
from tinyfarm.up import RECORDS_ONLY
from tinyfarm.v1 import artifact_pb2, evaluation_pb2, exploration_pb2, job_pb2


def command(
    job: JobName,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the files.")] = None,
    json: Json = False,
    server: Server = None,
) -> None:
    """Show a job; with -o also write its files: C library, quantized model, report.html, firmware."""
    output_folder(output)
    with connected(server, RECORDS_ONLY) as client:
        found = client.get(job)
        files = save_results(client, found, output) if output is not None else ()
    if json:
        print_json({**plain(found), "files": [str(path) for path in files]})
        return
    print_line(f"{found.name}: {enum_name(found, 'kind')} {enum_name(found, 'state')}, {found.progress.fraction:.0%}")
    if found.HasField("error"):
        print_line(found.error.message)
    print_result(found)
    if output is not None:
        print_saved(files, output)


def print_saved(files: Sequence[Path], folder: Path) -> None:
    """What a folder got, a line a file of its own or folder in it: a C library alone has dozens of files."""
    for name, members in itertools.groupby(files, key=lambda path: path.relative_to(folder).parts[0]):
        count = len(list(members))
        print_line(f"{folder / name}, {counted(count, 'file')}" if (folder / name).is_dir() else str(folder / name))


def save_results(client: Client, job: job_pb2.Job, folder: Path) -> tuple[Path, ...]:
    """Write everything a finished job made; raises the job's error where it failed."""
    if job.state in (job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_RUNNING):
        raise InvalidInputError(
            f"job {job.name} has no result yet: it is {enum_name(job, 'state')}",
            code="FAILED_PRECONDITION",
            reason="NOT_FINISHED",
            subject="job",
            value=enum_name(job, "state"),
            allowed="succeeded",
            hint=f"wait for it: tinyfarm watch {job.name}",
        )
    raise_unless_succeeded(job)
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "job.json"
    record.write_text(json_module.dumps(plain(job), indent=2) + "\n", encoding="utf-8")
    written = [record]
    match job.WhichOneof("result"):
        case "compile_result":
            written += _library(client, job.compile_result.library, folder / "library")
        case "quantize_result":
            written += _file(client, job.quantize_result.model, folder / "model.onnx")
        case "evaluation_result":
            written += _evaluation(client, job.evaluation_result, folder)
        case "search_result":
            written += _search(client, job.search_result, folder)
    return tuple(written)


def _evaluation(client: Client, result: evaluation_pb2.EvaluationResult, folder: Path) -> list[Path]:
    return [
        *_library(client, result.library, folder / "library"),
        *_file(client, result.firmware, folder / "firmware.elf"),
        *_file(client, result.outputs, folder / "outputs.npz"),
    ]


def _search(client: Client, result: exploration_pb2.SearchResult, folder: Path) -> list[Path]:
    written = _file(client, result.report, folder / "report.html")
    for point in result.points:
        if point.name == result.winner:
            written += _file(client, point.model, folder / "model.onnx")
            written += _library(client, point.library, folder / "library")
            written += _file(client, point.measured.firmware, folder / "firmware.elf")
    return written


def _file(client: Client, artifact: artifact_pb2.Artifact, path: Path) -> list[Path]:
    """The file where the job made it: not every job keeps a firmware, for instance."""
    return [client.artifacts.save(artifact, path)] if artifact.name else []


def _library(client: Client, artifact: artifact_pb2.Artifact, folder: Path) -> list[Path]:
    return list(unpack_library(client.artifacts.get(artifact), folder)) if artifact.name else []
