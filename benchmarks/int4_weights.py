"""Models with their int8 weights quantized again to int4: flash, instructions and cycles beside the int8 ones.

    python -m benchmarks.int4_weights [--board NAME] [MODEL.tflite]...

Filters keep their range: one scale a filter, 127/7 of the old one. Agreement with the int8 model's outputs is not told:
see `tinyfarm quantize`. Without models it takes ../shared/models/pretrainedResnet_quant.tflite.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks.models import SHARED_MODELS
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D, FullyConnected
from services.compiler.ir.tensor import DType, QuantParams, Tensor, TensorId
from services.compiler.options import CompileOptions, Core
from services.compiler.passes.optimize import optimize
from services.compiler.pipeline import compile_graph, import_model
from services.compiler.quant.values import quant_of
from services.evaluator.evaluate import Evaluation, Request, Workplace, evaluate
from services.evaluator.farm import BoardConfig, load_farm

_LARGEST_INT8, _LARGEST_INT4 = 127, 7


def with_int4_weights(graph: Graph) -> Graph:
    """Return the graph with every filter of int8 quantized to int4, and the biases in the scales that follow."""
    tensors = dict(graph.tensors)
    for op in graph.ops:
        if isinstance(op, Conv2D | DepthwiseConv2D | FullyConnected) and tensors[op.weights].dtype is DType.INT8:
            tensors.update(_narrowed(graph, op))
    return replace(graph, tensors=tensors)


def _narrowed(graph: Graph, op: Conv2D | DepthwiseConv2D | FullyConnected) -> Iterator[tuple[TensorId, Tensor]]:
    weights = graph.tensors[op.weights]
    if weights.data is None or weights.quant is None:
        return
    coarser = _LARGEST_INT8 / _LARGEST_INT4
    scaled = np.rint(weights.data.astype(np.float64) / coarser)
    yield (
        op.weights,
        replace(weights, dtype=DType.INT4, data=scaled.astype(np.int8), quant=_coarser(weights.quant, coarser)),
    )
    if op.bias is not None and (bias := graph.tensors[op.bias]).data is not None:
        data: npt.NDArray[np.int32] = np.rint(bias.data.astype(np.float64) / coarser).astype(np.int32)
        yield op.bias, replace(bias, data=data, quant=_coarser(quant_of(graph, op.bias), coarser))


def _coarser(quant: QuantParams, factor: float) -> QuantParams:
    return replace(quant, scale=tuple(scale * factor for scale in quant.scale))


def measure(graph: Graph, board: BoardConfig, workplace: Workplace) -> Evaluation:
    """Compile an imported graph and run it once."""
    options = CompileOptions(board.target, Core(board.facts.core))
    return evaluate(Request(compile_graph(optimize(graph), graph, options).library_zip), board, workplace)


def table(rows: list[tuple[str, Evaluation, Evaluation]]) -> Table:
    """Return the table of both widths and their ratios."""
    found = Table(title="int4 weights beside int8 (instructions exact, cycles modelled)")
    for name in ("model", "figure"):
        found.add_column(name)
    for name in ("int8", "int4", "int4 / int8"):
        found.add_column(name, justify="right")
    for model, wide, narrow in rows:
        if wide.performance is None or narrow.performance is None:
            found.add_row(model, "does not fit")
            continue
        for figure, a, b in (
            ("flash weights", wide.flash.weights, narrow.flash.weights),
            ("flash total", wide.flash.total, narrow.flash.total),
            ("arena", wide.sram.arena, narrow.sram.arena),
            ("instructions", wide.performance.instructions, narrow.performance.instructions),
            ("cycles", wide.performance.cycles, narrow.performance.cycles),
        ):
            found.add_row(model, figure, f"{a:,.0f}", f"{b:,.0f}", f"{b / a:.3f}")
        found.add_row(model, "board equal to twin", str(wide.twin_equal), str(narrow.twin_equal), "")
    return found


def main() -> None:
    """Measure what the command line names and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--board", default="nucleo-l4r5zi")
    options = parser.parse_args()
    board = load_farm().board(options.board)
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        for model in options.models or [SHARED_MODELS / "pretrainedResnet_quant.tflite"]:
            graph = import_model(model.read_bytes(), model.stem)
            graphs = graph, with_int4_weights(graph)
            wide, narrow = (measure(one, board, Workplace(Path(cache))) for one in graphs)
            rows.append((model.stem, wide, narrow))
    Console().print(table(rows))


if __name__ == "__main__":
    main()
