"""Runs a model in onnxruntime and its imported graph in the reference, and tells how far apart they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime

from services.compiler.importers.onnx import import_onnx
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Dequantize
from services.compiler.quant.reference import run_graph

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far apart, in steps of the output: `worst_lsb` over everything, root mean squares of the first output.

    `rms_lsb` is of the difference, `spread_lsb` of onnxruntime's values around their mean.
    """

    graph: Graph
    worst_lsb: float
    rms_lsb: float
    spread_lsb: float
    argmax_equal: int
    samples: int


def onnxruntime_session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def random_inputs(
    session: onnxruntime.InferenceSession, rng: np.random.Generator, spread: float = 2.0
) -> dict[str, Array]:
    feeds: dict[str, Array] = {}
    for value in session.get_inputs():
        shape = [d if isinstance(d, int) else 1 for d in value.shape]
        match value.type:
            case "tensor(int8)":
                feeds[value.name] = rng.integers(-128, 128, shape).astype(np.int8)
            case "tensor(uint8)":
                feeds[value.name] = rng.integers(0, 256, shape).astype(np.uint8)
            case _:
                feeds[value.name] = rng.normal(scale=spread, size=shape).astype(np.float32)
    return feeds


def compare(model: bytes, samples: int = 3, seed: int = 0, spread: float = 2.0) -> Agreement:
    """Import and run random inputs; outputs must have the declared shape and type in both."""
    session, graph = onnxruntime_session(model), import_onnx(model, "net")
    rng = np.random.default_rng(seed)
    worst, equal = 0.0, 0
    differences: list[Array] = []
    values: list[Array] = []
    for _ in range(samples):
        feeds = random_inputs(session, rng, spread)
        expected = session.run(None, feeds)
        actual = run_graph(graph, [feeds[graph.tensors[t].name] for t in graph.inputs])
        for index, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            distance = np.abs(ours.astype(np.float64) - theirs.astype(np.float64)) / lsb(graph, index)
            worst = max(worst, float(distance.max()))
        values.append(expected[0].astype(np.float64) / lsb(graph, 0))
        differences.append(actual[0].astype(np.float64) / lsb(graph, 0) - values[-1])
        equal += int(np.argmax(actual[0]) == np.argmax(expected[0]))
    rms, spread = float(np.sqrt(np.mean(np.square(differences)))), float(np.std(values))
    return Agreement(graph, worst, rms, spread, equal, samples)


def lsb(graph: Graph, index: int) -> float:
    """What one step of an output is worth in the output's own numbers."""
    producer = graph.producers().get(graph.outputs[index])
    if not isinstance(producer, Dequantize):
        return 1.0
    quant = graph.tensors[producer.input].quant
    assert quant is not None
    return quant.scale[0]
