"""Real models that nobody here wrote: imported, run and optimized, bit for bit equal to TFLM's recorded outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from services.compiler.importers.tflite import import_tflite
from services.compiler.ir.graph import Graph
from services.compiler.options import Interface
from services.compiler.passes.optimize import optimize
from services.compiler.quant.affine import dequantize, quantize
from services.compiler.quant.reference import run_graph

SHARED = Path(__file__).parents[4] / "shared"
MODELS = sorted((SHARED / "models").glob("*.tflite"))

needs_shared = pytest.mark.skipif(not MODELS, reason="the real models of ../shared/models are not here")


def run_on_host_edges(graph: Graph, sample: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Run one sample given and wanted in the model's own types, quantizing on the host where the graph is int8."""
    source, result = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    values = sample.reshape(source.shape)
    if values.dtype != source.dtype.numpy:
        assert source.quant is not None
        values = quantize(values, source.quant, source.dtype)
    (output,) = run_graph(graph, [values])
    if output.dtype != dtype:
        assert result.quant is not None
        output = dequantize(output, result.quant)
    return output


@needs_shared
@pytest.mark.parametrize("stage", ["imported", "int8", "float"])
@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_outputs_equal_recorded_ones(path: Path, stage: str) -> None:
    graph = import_tflite(path.read_bytes(), path.stem)
    if stage != "imported":
        graph = optimize(graph, Interface(stage))
    golden = np.load(SHARED / "golden" / f"{path.stem}.npz")
    for sample, expected in zip(golden["input"], golden["output"], strict=True):
        output = run_on_host_edges(graph, sample, expected.dtype)
        np.testing.assert_array_equal(output.reshape(-1), expected.reshape(-1))


@needs_shared
@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_int8_interface_has_integer_edges(path: Path) -> None:
    graph = optimize(import_tflite(path.read_bytes(), path.stem), Interface.INT8)
    assert {graph.tensors[t].dtype.value for t in (*graph.inputs, *graph.outputs)} == {"int8"}


@needs_shared
def test_kws_accuracy_is_that_of_tflm() -> None:
    """901 of the 1000 keyword clips of MLPerf Tiny."""
    graph = import_tflite((SHARED / "models" / "kws_ref_model.tflite").read_bytes(), "kws")
    data = np.load(SHARED / "data" / "kws01.npz")
    found = [int(np.argmax(run_graph(graph, [x[None]])[0])) for x in data["x"]]
    assert np.count_nonzero(np.array(found) == data["y"]) == 901
