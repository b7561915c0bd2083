"""`tinyfarm quantize`: float ONNX to QDQ ONNX, int8 or with int4 weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinyfarm.cli.connect import connected
from tinyfarm.cli.options import Json, Server, Weights, existing_file, output_file, weight_type_of
from tinyfarm.cli.output import print_json, print_line, short_id
from tinyfarm.cli.progress import follow
from tinyfarm.cli.results import print_quantized
from tinyfarm.client.plain import plain
from tinyfarm.up import COMPILE_AND_RUN


def command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A float .onnx file.")],
    *,
    calibration: Annotated[
        Path, typer.Option("--calibration", help="An .npz with samples in x, or each input's name.")
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The .onnx file to write.")] = None,
    max_samples: Annotated[int, typer.Option(min=0, max=10_000_000, help="Use at most this many; 0: all.")] = 0,
    weights: Weights = "int8",
    json: Json = False,
    server: Server = None,
) -> None:
    """Quantize a float ONNX model on calibration samples."""
    weight_type = weight_type_of(weights)
    existing_file(model)
    existing_file(calibration)
    output_file(output)
    with connected(server, COMPILE_AND_RUN) as client:
        job = client.submit_quantize(model, calibration=calibration, max_samples=max_samples, weights=weight_type)
        result = follow(client, job, f"quantizing {model.name}").quantize_result
        if output is not None:
            client.artifacts.save(result.model, output)
    if json:
        print_json({"job": job.name, "output": str(output) if output else None, "result": plain(result)})
        return
    print_quantized(result)
    print_line(f"quantized model in {output}" if output else f"quantized model: tinyfarm get {short_id(job)} -o DIR")
