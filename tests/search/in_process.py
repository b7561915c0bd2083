"""Ports of the search that compute their answers in this process: a live-range memory model, onnxruntime in int8."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from services.search.ports import Candidate, Costs, Failure, Flash, Measurement, Sram
from services.search.space.network import (
    Add,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Network,
    Op,
)

CYCLES_PER_MAC = 15
CLOCK_MHZ = 64
CODE_BYTES = 6000


@dataclass(frozen=True, slots=True)
class LiveRangeEstimator:
    """Memory at the fullest operator; depthwise and add write over their first input where it dies."""

    def estimate(self, networks: Sequence[Network]) -> Sequence[Costs | Failure]:
        return [self._costs(network) for network in networks]

    def _costs(self, network: Network) -> Costs:
        macs = sum(_macs(network, op) for op in network.ops)
        peak = max(live_bytes(network))
        first = network.tensors[network.inputs[0]].size_bytes
        weights = sum(t.size_bytes for t in network.tensors if t.is_constant)
        return Costs(
            Sram(input=min(first, peak), activations=peak - min(first, peak)),
            Flash(CODE_BYTES, weights, 8 * sum(t.shape[0] for t in network.tensors if t.is_constant)),
            macs,
            latency_us=macs * CYCLES_PER_MAC / CLOCK_MHZ,
            energy_uj=macs * 1e-3,
        )


def live_bytes(network: Network) -> list[int]:
    last = {t: i for i, op in enumerate(network.ops) for t in op.inputs}
    sizes = []
    live = set(network.inputs)
    for i, op in enumerate(network.ops):
        in_place = isinstance(op, DepthwiseConv2D | Add) and last[op.inputs[0]] == i
        held = sum(network.tensors[t].size_bytes for t in live)
        output = network.tensors[op.outputs[0]].size_bytes
        source = network.tensors[op.inputs[0]].size_bytes
        sizes.append(held + (max(0, output - source) if in_place else output))
        live = {t for t in (*live, *op.outputs) if last.get(t, len(network.ops)) > i}
    return sizes


def _macs(network: Network, op: Op) -> int:
    shape = network.tensors[op.outputs[0]].shape
    match op:
        case Conv2D() | FullyConnected():
            weights = network.tensors[op.inputs[1]].shape
            return prod(shape) * prod(weights[1:])
        case DepthwiseConv2D():
            return prod(shape) * prod(network.tensors[op.inputs[1]].shape[1:3])
        case Add() | Mean():
            return 0


@dataclass
class OnnxRuntimeFarm:
    """Quantizes with onnxruntime, takes accuracy from its int8 session and costs from the file's own shapes."""

    stack_bytes: int = 512
    calls: list[tuple[str, ...]] = field(default_factory=list)

    def measure(
        self, candidates: Sequence[Candidate], on_done: Callable[[int], None]
    ) -> Sequence[Measurement | Failure]:
        self.calls.append(tuple(c.name for c in candidates))
        answers: list[Measurement | Failure] = []
        for done, candidate in enumerate(candidates, start=1):
            answers.append(self._measure(candidate))
            on_done(done)
        return answers

    def _measure(self, candidate: Candidate) -> Measurement:
        quantized = quantize(candidate)
        logits = run_onnx(quantized, candidate.eval_x)
        layers = onnx_layers(onnx.load_from_string(candidate.onnx))
        peak = max(layer.live_bytes for layer in layers)
        macs = sum(layer.macs for layer in layers)
        first = prod(candidate.eval_x.shape[1:])
        weights = sum(w.shape[0] * 4 + w.size for w in onnx_weights(candidate.onnx))
        sram = Sram(input=min(first, peak), activations=peak - min(first, peak))
        estimate = Costs(
            sram,
            Flash(CODE_BYTES, weights, 16 * sum(w.shape[0] for w in onnx_weights(candidate.onnx))),
            macs,
            latency_us=macs * CYCLES_PER_MAC * 1.1 / CLOCK_MHZ,
            energy_uj=macs * 1.1e-3,
        )
        return Measurement(
            replace(estimate, sram=replace(sram, stack=self.stack_bytes)),
            estimate,
            accuracy=float((logits.argmax(1) == candidate.eval_y).mean()),
            model=quantized,
            cycles=macs * CYCLES_PER_MAC * 1.1,
            twin_equal=True,
        )


class _Samples(CalibrationDataReader):
    def __init__(self, x: np.ndarray) -> None:
        self._batches = iter([{"input": sample[np.newaxis]} for sample in x])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def quantize(candidate: Candidate) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(candidate.onnx)
        quantize_static(
            source,
            target,
            _Samples(candidate.calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
        )
        return target.read_bytes()


def run_onnx(model: bytes, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {session.get_inputs()[0].name: sample[np.newaxis]})[0] for sample in x])


def onnx_weights(model: bytes) -> list[np.ndarray]:
    weights = onnx.load_from_string(model).graph.initializer
    return [onnx.numpy_helper.to_array(w) for w in weights if w.name.endswith(".weight")]


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer of a float file, as if in int8."""

    name: str
    op: str
    macs: int
    live_bytes: int


def onnx_layers(model: onnx.ModelProto) -> tuple[LayerCost, ...]:
    """Layers of the float file with Relu joined to its Conv, and the bytes live in int8 while each runs."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim)
        for v in (*graph.value_info, *graph.input, *graph.output)
    }
    weights = {w.name: tuple(w.dims) for w in graph.initializer}
    steps = list(_joined(graph.node, weights))
    last = {t: i for i, (_, sources, _, _) in enumerate(steps) for t in sources}
    live, layers = {"nchw"}, []
    for i, (op, sources, output, kernel) in enumerate(steps):
        in_place = op in ("DepthwiseConv2D", "Add", "Flatten") and last[sources[0]] == i
        size = prod(shapes[output])
        held = sum(prod(shapes[t]) for t in live)
        bytes_now = held + (max(0, size - prod(shapes[sources[0]])) if in_place else size)
        layers.append(LayerCost(output, op, size * prod(kernel[1:]) if kernel else 0, bytes_now))
        live = {t for t in (*live, output) if last.get(t, len(steps)) > i}
    return tuple(layers)


def _joined(
    nodes: Iterable[onnx.NodeProto], weights: dict[str, tuple[int, ...]]
) -> Iterable[tuple[str, list[str], str, tuple[int, ...]]]:
    nodes = list(nodes)
    relu = {n.input[0]: n.output[0] for n in nodes if n.op_type == "Relu"}
    for node in nodes:
        if node.op_type in ("Relu", "Transpose"):
            continue
        kernel = weights[node.input[1]] if len(node.input) == 3 else ()
        depthwise = node.op_type == "Conv" and kernel[1] == 1 and kernel[0] > 1 and _group(node) > 1
        op = "DepthwiseConv2D" if depthwise else node.op_type
        sources = [t for t in node.input if t not in weights]
        yield op, sources, relu.get(node.output[0], node.output[0]), kernel


def _group(node: onnx.NodeProto) -> int:
    return next((a.i for a in node.attribute if a.name == "group"), 1)


@dataclass(frozen=True, slots=True)
class FolderCheckpoints:
    """Checkpoints as files of a folder."""

    folder: Path

    def load(self, name: str) -> bytes | None:
        path = self.folder / f"{name}.pt"
        return path.read_bytes() if path.exists() else None

    def save(self, name: str, content: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{name}.pt").write_bytes(content)
