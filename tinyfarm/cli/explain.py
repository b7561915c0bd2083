"""`tinyfarm explain`: pictures of what networks need."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import cycle
from pathlib import Path
from typing import Annotated

import typer

from tinyfarm.cli.connect import connected
from tinyfarm.cli.options import (
    Interface,
    Json,
    Kernels,
    PullInput,
    Server,
    existing_file,
    interface_of,
    kernels_of,
    output_file,
)
from tinyfarm.cli.output import print_json, print_line, print_table
from tinyfarm.cli.progress import follow
from tinyfarm.client import Client, ServerFaultError
from tinyfarm.client.budgets import schedule_request
from tinyfarm.client.options import compile_options
from tinyfarm.pictures.facts import Facts, Patching, facts_of
from tinyfarm.pictures.page import COLUMNS, explain_page, table_row
from tinyfarm.pictures.sight import example
from tinyfarm.up import COMPILE_AND_RUN
from tinyfarm.v1 import compile_pb2

_NO_HELP = "for example: patches save no memory here"


def command(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL", help=".tflite or .onnx files.")],
    *,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The HTML page to write.")] = None,
    target: Annotated[str, typer.Option("--target", "--board", help="A name of `tinyfarm targets`.")] = "nucleo-l4r5zi",
    schedules: Annotated[
        list[str] | None,
        typer.Option("--schedule", help="auto, per-layer, patch[:HxW] or streaming; several are shown side by side."),
    ] = None,
    pull_input: PullInput = False,
    io: Interface = "int8",
    kernels: Kernels = "core",
    json: Json = False,
    server: Server = None,
) -> None:
    """Show what networks need: memory over time, the arena, multiply-accumulates, receptive fields.

    Writes one HTML page that needs no network and no other file. Networks need not fit the target.
    """
    for model in models:
        existing_file(model)
    output_file(output)
    wanted = [
        compile_options(
            schedule=schedule, pull_input=pull_input, interface=interface_of(io), kernels=kernels_of(kernels)
        )
        for schedule in schedules or ["auto"]
    ]
    with connected(server, COMPILE_AND_RUN) as client:
        networks = [facts for model in models for facts in _networks(client, model, target, wanted)]
    if len(wanted) > 1:
        networks = named_as_asked(networks, schedules or [])
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(explain_page(networks), encoding="utf-8")
    if json:
        print_json({"output": str(output) if output else None, "networks": [asdict(n) for n in networks]})
        return
    print_table("", COLUMNS, [table_row(n) for n in networks])
    for network in networks:
        print_line(f"{network.name}: {network.schedule_reason}")
    print_line(f"pictures in {output}" if output else "pictures: add -o PAGE.html")


def named_as_asked(networks: Sequence[Facts], schedules: Sequence[str]) -> list[Facts]:
    """Return networks, each under every schedule in turn, named for what was asked: what came of it can be the same."""
    asked = zip(networks, cycle(schedules), strict=False)
    return [replace(network, name=f"{network.name}, {schedule}") for network, schedule in asked]


def _networks(
    client: Client, model: Path, target: str, wanted: Sequence[compile_pb2.CompileOptions]
) -> Iterator[Facts]:
    """Yield a model under every schedule; where that has no patches, with those that `patch` would choose."""
    found = [_facts(client, model, target, options) for options in wanted]
    patched = next((facts for facts in found if facts.patching), None)
    if patched is None:
        options = compile_pb2.CompileOptions()
        options.CopyFrom(wanted[0])
        options.schedule.CopyFrom(schedule_request("patch"))
        options.pull_input = False  # refused where there are no patches to choose
        patched = _facts(client, model, target, options)
    for facts in found:
        yield facts if facts.patching else replace(facts, patching=_offered(facts, patched))


def _offered(facts: Facts, patched: Facts) -> Patching | None:
    """Return the patches of another schedule up to the layer of the same name; its number can be another here."""
    if patched.patching is not None:
        name = patched.layers[patched.patching.last].name
        same = (n for n, layer in enumerate(facts.layers) if layer.name == name and layer.receptive_field_hw)
        if (last := next(same, None)) is not None:
            return replace(patched.patching, last=last, words="what schedule patch would choose")
    return example(facts, _NO_HELP)


def _facts(client: Client, model: Path, target: str, options: compile_pb2.CompileOptions) -> Facts:
    job = client.submit_compile(model, target=target, options=options)
    result = follow(client, job, f"compiling {model.name}").compile_result
    try:
        return facts_of(json_format.loads(result.manifest_json))
    except (KeyError, TypeError, ValueError) as error:
        raise ServerFaultError(
            f"the manifest of {result.name!r} is not one that this client reads: {error!r}",
            reason="BAD_MANIFEST",
            subject="manifest_json",
            hint="client and server should be of one version",
        ) from None
