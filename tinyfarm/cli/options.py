"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from tinyfarm.cli.units import parse_energy_uj, parse_latency_us, parse_share, parse_size
from tinyfarm.client import InvalidInputError
from tinyfarm.v1 import compile_pb2

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Server = Annotated[
    str | None,
    typer.Option("--server", metavar="HOST:PORT", help="Server to use; else TINYFARM_SERVER, else an embedded stack."),
]
Board = Annotated[str, typer.Option("--board", help="A name of `tinyfarm boards` or `tinyfarm targets`.")]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A .tflite or .onnx file.")]
JobName = Annotated[str, typer.Argument(metavar="JOB", help="Id or full name of a job.")]
Schedule = Annotated[str, typer.Option("--schedule", help="auto, per-layer, patch[:HxW] or streaming.")]
PullInput = Annotated[
    bool,
    typer.Option(
        "--pull-input", help="Leave the input with the caller, whose function is asked for its rows; not per-layer."
    ),
]
Interface = Annotated[str, typer.Option("--io", help="Types of inputs and outputs in C: int8 (default) or float.")]
Kernels = Annotated[
    str,
    typer.Option(
        "--kernels", help="core (default): the fastest for the target's core; small: with less code; or portable C99."
    ),
]
Weights = Annotated[
    str,
    typer.Option(
        "--weights", help="int8 (default), int4, or mixed: int4 but for the first and the last layer with weights."
    ),
]
MaxSram = Annotated[
    int | None,
    typer.Option("--max-sram", "--sram", parser=parse_size, metavar="SIZE", help="Highest SRAM, e.g. 64KiB."),
]
PlannedSram = Annotated[
    int | None,
    typer.Option(
        "--max-sram",
        "--sram",
        parser=parse_size,
        metavar="SIZE",
        help="SRAM that the planner keeps to; exit 1 if it cannot.",
    ),
]
MaxFlash = Annotated[
    int | None,
    typer.Option("--max-flash", "--flash", parser=parse_size, metavar="SIZE", help="Highest flash, e.g. 1MiB."),
]
MaxLatency = Annotated[
    float | None,
    typer.Option(
        "--max-latency", "--latency", parser=parse_latency_us, metavar="TIME", help="Highest latency, e.g. 100ms."
    ),
]
MaxEnergy = Annotated[
    float | None,
    typer.Option(
        "--max-energy", "--energy", parser=parse_energy_uj, metavar="ENERGY", help="Highest energy, e.g. 5mJ."
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="The same seed gives the same result.")]
MinAccuracy = Annotated[
    float | None, typer.Option(parser=parse_share, metavar="SHARE", help="Lowest accuracy, e.g. 0.9.")
]


def interface_of(text: str) -> compile_pb2.Interface.ValueType:
    """The interface of `--io`."""
    match text:
        case "int8":
            return compile_pb2.INTERFACE_INT8
        case "float":
            return compile_pb2.INTERFACE_FLOAT
    raise InvalidInputError(
        f"--io {text!r} is not one of int8, float", reason="BAD_IO", subject="--io", value=text, allowed="int8, float"
    )


def kernels_of(text: str) -> compile_pb2.Kernels.ValueType:
    """The kernels of `--kernels`."""
    match text:
        case "core":
            return compile_pb2.KERNELS_CORE
        case "portable":
            return compile_pb2.KERNELS_PORTABLE
        case "small":
            return compile_pb2.KERNELS_SMALL
    raise InvalidInputError(
        f"--kernels {text!r} is not one of core, small, portable",
        reason="BAD_KERNELS",
        subject="--kernels",
        value=text,
        allowed="core, small, portable",
    )


def weight_type_of(text: str) -> compile_pb2.WeightType.ValueType:
    """The weights of `--weights`."""
    match text:
        case "int8":
            return compile_pb2.WEIGHT_TYPE_INT8
        case "int4":
            return compile_pb2.WEIGHT_TYPE_INT4
        case "mixed":
            return compile_pb2.WEIGHT_TYPE_MIXED
    raise InvalidInputError(
        f"--weights {text!r} is not one of int8, int4, mixed",
        reason="BAD_WEIGHTS",
        subject="--weights",
        value=text,
        allowed="int8, int4, mixed",
    )


def existing_file(path: Path) -> Path:
    """The path itself; `InvalidInputError` where it is no readable file, before anything is started for it."""
    if path.is_file():
        return path
    raise InvalidInputError(
        f"no such file: {str(path)!r}" if not path.exists() else f"not a file: {str(path)!r}",
        reason="UNREADABLE_FILE",
        subject="file",
        value=str(path),
        allowed="a file that is there",
        hint="check the path",
    )


def output_file(path: Path | None) -> Path | None:
    """The path itself; `InvalidInputError` where no file can be written there, before any work is done for it."""
    if path is not None and path.is_dir():
        raise _unwritable(path, "is a folder, not a file")
    if path is not None and path.exists() and not path.is_file() and os.access(path, os.W_OK):
        return path  # a device or a pipe: nothing is made beside it
    return path if path is None else _in_writable_folder(path, path.parent)


def output_folder(path: Path | None) -> Path | None:
    """The path itself; `InvalidInputError` where no folder can be made there, before any work is done for it."""
    return path if path is None else _in_writable_folder(path, path)


def _in_writable_folder(path: Path, folder: Path) -> Path:
    existing = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    if not existing.is_dir():
        raise _unwritable(path, f"{existing} is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise _unwritable(path, f"{existing} is not writable")
    return path


def _unwritable(path: Path, why: str) -> InvalidInputError:
    return InvalidInputError(
        f"cannot write {str(path)!r}: {why}",
        reason="UNWRITABLE_OUTPUT",
        subject="--output",
        value=str(path),
        hint="name another place with --output",
    )
