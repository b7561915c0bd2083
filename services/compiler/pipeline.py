"""The whole compiler, one step a line: model file in, C library out."""

from __future__ import annotations

from dataclasses import dataclass

from services.compiler.codegen.kernel_files import kernel_headers, kernel_texts
from services.compiler.codegen.network import IoSlot, NetworkText, header_text, source_text, weights_text
from services.compiler.codegen.pulled import PulledInput
from services.compiler.codegen.share_weights import share_weights
from services.compiler.cost.cost_model import known_code_bytes
from services.compiler.describe import describe, pulled_input
from services.compiler.errors import InvalidModelError
from services.compiler.header_facts import edge_facts, header_facts
from services.compiler.importers.onnx import import_onnx
from services.compiler.importers.tflite import import_tflite
from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import TensorId
from services.compiler.ir.verify import verify
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.kernels.thumb2.issue import Issue
from services.compiler.library import EXAMPLE, README, IoTensor, LibraryManifest, TwinFacts, pack_library
from services.compiler.options import CompileOptions, issue_of
from services.compiler.passes.optimize import optimize
from services.compiler.passes.pull_input import with_input
from services.compiler.passes.strip_edge_transpose import EdgeAxes, edge_axes, strip_edge_transpose
from services.compiler.planned import Planned, plan_network
from services.compiler.planner.choose import choose
from services.compiler.planner.kinds import Choice
from services.compiler.readme import example_text, readme_text
from services.compiler.schedule.schedule import StageKind


@dataclass(frozen=True, slots=True)
class Compiled:
    """The library as a zip and its manifest, with the graph it was made from.

    `code_bytes` are modelled: what is linked is known after linking only. None where a kernel's size is not known.
    """

    library_zip: bytes
    manifest: LibraryManifest
    graph: Graph
    code_bytes: int | None


def compile_model(model: bytes, model_name: str, options: CompileOptions) -> Compiled:
    """Return the C library of a TFLite or ONNX model.

    Raises InvalidModelError for a broken file and UnsupportedModelError for what cannot be compiled.
    """
    return compile_imported(import_model(model, model_name), options)


def compile_imported(imported: Graph, options: CompileOptions) -> Compiled:
    """Return the C library of a graph whose inputs and outputs are as a model file declares them."""
    optimized = optimize(imported, options.interface)
    graph = strip_edge_transpose(optimized)
    return compile_graph(graph, imported, options, edge_axes(optimized, graph))


def import_model(model: bytes, model_name: str) -> Graph:
    """Return the graph of a model file, TFLite by its identifier, else ONNX.

    Raises InvalidModelError for a broken file and UnsupportedModelError for what cannot be compiled.
    """
    if not model:
        raise InvalidModelError(f"model {model_name!r} is empty: must be a TFLite or ONNX file", subject=model_name)
    return import_tflite(model, model_name) if model[4:8] == b"TFL3" else import_onnx(model, model_name)


def compile_graph(graph: Graph, model: Graph, options: CompileOptions, axes: EdgeAxes | None = None) -> Compiled:
    """Return the C library of an optimized graph; `model` is the graph before optimization.

    `axes` say in which order the host has to bring the axes of inputs and outputs; without, in none.
    """
    return compile_choice(choose(verify(with_input(graph, options)), options), graph, model, options, axes)


def compile_choice(
    choice: Choice, graph: Graph, model: Graph, options: CompileOptions, axes: EdgeAxes | None = None
) -> Compiled:
    """Return the C library of a planned graph, with the twin's if the kernels are not portable: per layer, always."""
    planned = _written(choice.planned)
    twin = None if planned.kernels is KernelSet.PORTABLE else _written(plan_network(graph))
    manifest = describe(planned, model, options, axes or edge_axes(graph, graph), twin, reason=choice.reason)
    files = c_files(planned, manifest, header_facts(manifest), issue_of(options.core))
    if twin is not None and manifest.twin is not None:
        facts = (f"{manifest.model_name} by tinyfarm {manifest.tool_version}: portable twin of {manifest.name}",)
        files = {**c_files(twin, manifest.twin, facts), **files}
    files |= {README: readme_text(manifest), EXAMPLE: example_text(manifest.twin or manifest)}
    return Compiled(pack_library(manifest, files), manifest, graph, known_code_bytes(planned, options.core))


def _written(planned: Planned) -> Planned:
    return planned.with_program(share_weights(planned.program))


def c_files(
    planned: Planned, part: LibraryManifest | TwinFacts, facts: tuple[str, ...], issue: Issue = Issue.SINGLE
) -> dict[str, str]:
    """Return every C file of a library, or of its twin, by name."""
    pulled, name = pulled_input(planned), part.name
    network = NetworkText(
        name=name,
        facts=facts,
        arena_bytes=planned.memory.split.arena,
        headers=kernel_headers(planned.kernels),
        inputs=tuple(_slot("input", n, tensor) for n, tensor in enumerate(part.inputs)),
        outputs=tuple(_slot("output", n, tensor) for n, tensor in enumerate(part.outputs)),
        pulled=None if pulled is None else _pulled(planned, pulled),
    )
    return {
        f"{name}.h": header_text(network),
        f"{name}.c": source_text(network, planned.program, planned.graph),
        f"{name}_weights.c": weights_text(network, planned.program),
        **kernel_texts(planned.program, planned.kernels, issue),
    }


def _slot(kind: str, number: int, tensor: IoTensor) -> IoSlot:
    offset_bytes = None if tensor.pulled else tensor.offset_bytes
    facts = edge_facts(kind, number, tensor)
    return IoSlot(offset_bytes, tensor.size_bytes, facts, tensor.scale, tensor.zero_point)


def _pulled(planned: Planned, source: TensorId) -> PulledInput:
    tensor = planned.graph.tensors[source]
    row_bytes = tensor.size_bytes // tensor.shape[1]
    return PulledInput(tensor.shape, tensor.dtype.value, row_bytes, once=planned.kind is not StageKind.PATCH)
