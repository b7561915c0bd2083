"""TFLM's reference kernels as the oracle: what a .tflite file computes for given inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tflite_micro.python.tflite_micro import runtime

from services.compiler.importers.tflite import import_tflite
from services.compiler.ir.graph import Graph
from services.compiler.quant.reference import run_graph

Arrays = tuple[npt.NDArray[Any], ...]


class Tflm:
    """An interpreter of one model."""

    def __init__(self, model: bytes, arena_bytes: int = 1 << 20) -> None:
        self._interpreter = runtime.Interpreter.from_bytes(model, arena_size=arena_bytes)

    def run(self, inputs: Sequence[npt.NDArray[Any]], outputs: int) -> Arrays:
        """Return the first `outputs` outputs."""
        for index, values in enumerate(inputs):
            self._interpreter.set_input(values, index)
        self._interpreter.invoke()
        return tuple(np.array(self._interpreter.get_output(i)) for i in range(outputs))


def random_inputs(graph: Graph, seed: int) -> Arrays:
    """Return inputs over the whole range of their types; floats over and a little beyond [-4, 4]."""
    rng = np.random.default_rng(seed)
    return tuple(_random(rng, graph.tensors[t].shape, graph.tensors[t].dtype.numpy) for t in graph.inputs)


def _random(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if dtype == np.float32:
        return rng.uniform(-5, 5, shape).astype(np.float32)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return rng.integers(low, high + 1, shape).astype(dtype)


def assert_equal_to_tflm(model: bytes, samples: int = 3, seed: int = 0) -> Graph:
    """Import the model, run it by the reference and by TFLM, compare bit for bit, return the graph."""
    graph = import_tflite(model, "case")
    oracle = Tflm(model)
    for sample in range(samples):
        inputs = random_inputs(graph, seed + sample)
        expected = oracle.run(inputs, len(graph.outputs))
        for ours, theirs in zip(run_graph(graph, inputs), expected, strict=True):
            np.testing.assert_array_equal(ours.reshape(-1), theirs.reshape(-1))
            assert ours.dtype == theirs.dtype
    return graph
