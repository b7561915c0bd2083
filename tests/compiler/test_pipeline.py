"""The whole compiler on hand-made and awkward models: library contents, manifest, names, determinism, refusals."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.common.errors import FarmError, InvalidArgumentError
from services.compiler.codegen.names import c_identifier, comment_text
from services.compiler.errors import InvalidModelError, UnsupportedModelError
from services.compiler.importers.supported import check_supported
from services.compiler.ir.graph import Graph
from services.compiler.options import CompileOptions, Core, Interface, Kernels, parse_core
from services.compiler.pipeline import Compiled, compile_graph, compile_model
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.compiler.host_twin import build_twins

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4, kernels=Kernels.PORTABLE)


def small_graph(name: str = "small") -> Graph:
    m = GraphMaker(seed=3, name=name)
    x = m.conv2d(m.input(1, 8, 8, 3), 16, (1, 1))
    return m.build(m.unary("softmax", m.dense(m.reshape(m.pool("average", m.depthwise(x), (8, 8)), 1, 1024), 5)))


def compiled(graph: Graph) -> Compiled:
    return compile_graph(graph, graph, OPTIONS)


def files(one: Compiled) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(one.library_zip)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_library_holds_the_manifest_the_network_and_the_kernels_it_uses() -> None:
    one = compiled(small_graph())
    assert list(files(one)) == [
        "README.txt",
        "main.c.example",
        "manifest.json",
        "small.c",
        "small.h",
        "small_weights.c",
        "tf_average_pool2d_s8.c",
        "tf_bytes.c",
        "tf_conv2d_s8.c",
        "tf_depthwise_conv2d_plane_s8.c",
        "tf_depthwise_plane.c",
        "tf_fully_connected_s8.c",
        "tf_softmax_s8.c",
        "tinyfarm_kernels.h",
    ]


def test_header_declares_the_contract() -> None:
    one = compiled(small_graph())
    words = [line.split() for line in files(one)["small.h"].splitlines()]
    defines = {w[1]: w[2] for w in words if len(w) == 3 and w[0] == "#define"}
    memory, (source,), (result,) = one.manifest.memory, one.manifest.inputs, one.manifest.outputs
    assert defines == {
        "SMALL_ARENA_BYTES": f"{memory.arena}u",
        "SMALL_ARENA_ALIGN": "16u",
        "SMALL_INPUT_COUNT": "1u",
        "SMALL_INPUT_0_OFFSET": f"{source.offset_bytes}u",
        "SMALL_INPUT_0_BYTES": "192u",
        "SMALL_INPUT_0_SCALE": f"{source.scale}f",
        "SMALL_INPUT_0_ZERO_POINT": f"({source.zero_point})",
        "SMALL_OUTPUT_COUNT": "1u",
        "SMALL_OUTPUT_0_OFFSET": f"{result.offset_bytes}u",
        "SMALL_OUTPUT_0_BYTES": "5u",
        "SMALL_OUTPUT_0_SCALE": f"{result.scale}f",
        "SMALL_OUTPUT_0_ZERO_POINT": f"({result.zero_point})",
    }


def test_manifest_is_plain_json_of_the_documented_schema() -> None:
    one = compiled(small_graph())
    manifest = json.loads(files(one)["manifest.json"])
    assert manifest["schema"] == "tinyfarm.library/1"
    assert (manifest["target"], manifest["core"], manifest["kernels"]) == ("nucleo-l4r5zi", "cortex-m4", "portable")
    assert [layer["symbol"] for layer in manifest["layers"]] == [f"small_layer_{i:03}" for i in range(5)]
    assert [layer["macs"] for layer in manifest["layers"]] == [64 * 16 * 3, 64 * 16 * 9, 0, 1024 * 5, 0]
    assert manifest["macs"] == 17408
    memory = manifest["memory"]
    assert memory["arena"] == sum(memory[k] for k in ("input", "activations", "line_buffers", "scratch"))
    peak = manifest["layers"][manifest["peak_layer"]]
    assert peak["live_bytes"] == max(layer["live_bytes"] for layer in manifest["layers"])
    assert {b["kind"] for layer in manifest["layers"] for b in layer["buffers"]} == {"input", "activation", "scratch"}


def streamed_library() -> bytes:
    graph, options = small_graph(), replace(OPTIONS, schedule="streaming", kernels=Kernels.CORE)
    return compile_graph(graph, graph, options).library_zip


def test_same_model_gives_the_same_bytes_in_another_process() -> None:
    """In a process of its own strings have other hashes, so that sets and what depends on them are in another order."""
    code = f"import sys; from {__name__} import streamed_library; sys.stdout.buffer.write(streamed_library())"
    process = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    other = subprocess.run(process, cwd=ROOT, env=environment, capture_output=True, timeout=120, check=True)
    assert other.stdout == streamed_library()


def test_model_is_compiled_with_no_writable_data() -> None:
    source = files(compiled(small_graph()))["small.c"]
    assert "malloc" not in source
    static = [line for line in source.splitlines() if line.startswith("static")]
    assert all(line.startswith(("static const", "static __attribute__")) for line in static)


AWKWARD = {
    '"; rm -rf ~': "rm_rf",
    "*/ int evil; /*": "int_evil",
    "a\nb\r\n#error no": "a_b_error_no",
    "??/\n": "model",
    "": "model",
    "Größe 漢字 \U0001f600": "gr_e",
    "42": "model_42",
    "while": "model_while",
    "x" * 90: "x" * 32,
    "tf_conv2d_s8": "model_tf_conv2d_s8",
    "../../etc/passwd": "etc_passwd",
}


@pytest.mark.parametrize("name", AWKWARD)
def test_any_name_becomes_an_identifier(name: str) -> None:
    assert c_identifier(name) == AWKWARD[name]


@pytest.mark.parametrize("name", AWKWARD)
def test_any_name_is_safe_in_a_comment(name: str) -> None:
    text = comment_text(name)
    assert text.isascii()
    assert not set(text) & set("*/\\?\n\r")


def test_library_with_awkward_names_compiles_and_runs(tmp_path: Path) -> None:
    for number, name in enumerate(AWKWARD):
        graph = small_graph(name)
        tensors = {t: replace(tensor, name=name) for t, tensor in graph.tensors.items()}
        graph = replace(graph, tensors=tensors, ops=tuple(replace(op, name=name) for op in graph.ops))
        one = compiled(graph)
        assert all(Path(file).name == file for file in files(one))
        assert json.loads(files(one)["manifest.json"])["model_name"] == name
        if number < 3:
            folder = tmp_path / str(number)
            folder.mkdir()
            (twin,) = build_twins([one], folder)
            inputs = random_inputs(graph, 1)
            np.testing.assert_array_equal(twin.run(*inputs)[0], run_graph(graph, inputs)[0])


def test_network_without_work_copies_nothing(tmp_path: Path) -> None:
    m = GraphMaker(name="shape only")
    graph = m.build(m.reshape(m.input(1, 4, 2), 8))
    (twin,) = build_twins([compiled(graph)], tmp_path)
    inputs = random_inputs(graph, 0)
    np.testing.assert_array_equal(twin.run(*inputs)[0], inputs[0].reshape(8))


def test_unused_input_keeps_its_place(tmp_path: Path) -> None:
    m = GraphMaker(name="two inputs")
    x, unused = m.input(1, 8), m.input(1, 12)
    graph = m.build(m.dense(x, 3))
    one = compiled(graph)
    assert [slot.size_bytes for slot in one.manifest.inputs] == [8, 12]
    (twin,) = build_twins([one], tmp_path)
    inputs = random_inputs(graph, 0)
    assert unused in graph.inputs
    np.testing.assert_array_equal(twin.run(*inputs)[0], run_graph(graph, inputs)[0])


def test_input_that_is_also_an_output_is_not_overwritten_by_the_last_step(tmp_path: Path) -> None:
    m = GraphMaker(name="input is output")
    x = m.input(1, 8)
    graph = m.build(m.unary("relu", x), x)
    (twin,) = build_twins([compiled(graph)], tmp_path)
    inputs = random_inputs(graph, 0)
    for got, want in zip(twin.run(*inputs), run_graph(graph, inputs), strict=True):
        np.testing.assert_array_equal(got, want)


def test_misaligned_or_missing_arena_is_refused(tmp_path: Path) -> None:
    (twin,) = build_twins([compiled(small_graph())], tmp_path)
    assert twin.library["small_invoke"](None) == -1
    assert twin.library["small_invoke"](8) == -1


@pytest.mark.parametrize("schedule", ["", "fast", "per_layer", "patch:0x2", "patch:2"])
def test_unknown_schedule_is_an_invalid_argument(schedule: str) -> None:
    allowed = "auto, per-layer, patch, patch:HxW of 1 to 9999 each, streaming"
    with pytest.raises(InvalidArgumentError, match=f"must be one of {allowed}"):
        CompileOptions("t", Core.CORTEX_M4, schedule)


def test_unknown_core_names_the_allowed_ones() -> None:
    assert parse_core("cortex-m33") is Core.CORTEX_M33
    with pytest.raises(InvalidArgumentError, match="cortex-m0plus, cortex-m4"):
        parse_core("cortex-a53")


@pytest.mark.parametrize("model", [b"", b"not a model", b"\x1c\x00\x00\x00TFL3", bytes(64)])
def test_broken_model_is_refused(model: bytes) -> None:
    with pytest.raises(FarmError) as error:
        compile_model(model, "broken", OPTIONS)
    assert isinstance(error.value, InvalidModelError)


def test_weight_free_network_has_sizes_but_no_c() -> None:
    graph = small_graph()
    bare = replace(graph, tensors={t: replace(v, data=None) for t, v in graph.tensors.items()})
    with pytest.raises(ValueError, match="weight-free"):
        compiled(bare)


def test_float_interface_is_named_in_the_manifest() -> None:
    graph = small_graph()
    one = compile_graph(graph, graph, CompileOptions("t", Core.CORTEX_M0PLUS, interface=Interface.FLOAT))
    assert (one.manifest.interface, one.manifest.core) == ("float", "cortex-m0plus")


def constant_output(m: GraphMaker) -> Graph:
    x = m.input(1, 4)
    return m.build(m.unary("relu", x), m.constant(np.zeros((1, 4), np.int8), m.quant()))


def reshaped_constant_output(m: GraphMaker) -> Graph:
    m.input(1, 4)
    return m.build(m.reshape(m.constant(np.zeros((1, 4), np.int8), m.quant()), 4))


REFUSED = {
    "output 't2' is a constant: leave it out": constant_output,
    "output 't2' is a constant": reshaped_constant_output,
    "no side may be over 65535": lambda m: m.build(m.conv2d(m.input(1, 1, 70000, 1), 1, (1, 1))),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_has_no_c_is_refused(message: str) -> None:
    with pytest.raises(UnsupportedModelError, match=message):
        check_supported(REFUSED[message](GraphMaker()))
