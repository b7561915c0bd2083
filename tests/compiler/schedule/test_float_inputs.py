"""Channels-first images that are quantized in C, floats or uint8, under every schedule, held and pulled."""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import DType
from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.pipeline import Compiled, compile_imported
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.compiler.host_twin import HostTwin, build_twins

TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
TURNS = ("streaming", "patch", "patch:3x2")
WISHES = [("per-layer", False), *product(TURNS, (False, True))]
NETWORKS = 3 * len(WISHES) * int(os.environ.get("TINYFARM_FUZZ_EXAMPLES", "1"))
_AT_ONCE = 42


def options_of(schedule: str, pulled: bool = False) -> CompileOptions:
    return CompileOptions("host", Core.CORTEX_M4, schedule, Interface.FLOAT, Kernels.PORTABLE, pull_input=pulled)


def channels_first(seed: int, name: str, *, inputs: int = 1) -> Graph:
    """A network of convolutions, pools and gates on the sum of its inputs, as torch exports them."""
    m = GraphMaker(seed=seed, name=name, activations=DType.INT16 if seed % 5 == 4 else DType.INT8)
    shape = tuple(int(n) for n in m.random.integers((1, 1, 9, 9), (2, 5, 20, 20)))
    declared = m.pick(DType.FLOAT32, DType.FLOAT32, DType.UINT8) if m.activations is DType.INT8 else DType.FLOAT32
    images = [m.transpose(m.quantize(m.input(*shape, dtype=declared)), TO_NHWC) for _ in range(inputs)]
    x = m.conv2d(images[0] if inputs == 1 else m.binary("add", *images), int(m.random.integers(8, 17)), (3, 3))
    for _ in range(int(m.random.integers(1, 4))):
        match int(m.random.integers(0, 5)):
            case 0:
                x = m.depthwise(x, 1, (3, 3), m.pick((1, 1), (2, 2)))
            case 1:
                x = m.pool("max", x, (2, 2))
            case 2:
                x = m.binary("add", x, m.conv2d(x, m.shape(x)[3], (1, 1)))
            case 3:
                gates = m.conv2d(m.mean(x, (1, 2)), m.shape(x)[3], (1, 1))
                x = m.binary("mul", x, m.unary("logistic", gates))
            case _:
                x = m.conv2d(x, 8, (3, 3), m.pick((1, 1), (2, 1)))
    return m.build(m.dequantize(m.transpose(x, TO_NCHW)))


def mistake(graph: Graph, compiled: Compiled, twin: HostTwin) -> str:
    """Return how the C code differs from the model, given images in the model's order; empty if it does not."""
    images, (result,) = random_inputs(graph, 1), compiled.manifest.outputs
    slots = zip(images, compiled.manifest.inputs, strict=True)
    (got,) = twin.run(*(x.transpose(s.permutation) if s.permutation else x.reshape(s.shape) for x, s in slots))
    (want,) = run_graph(graph, images)
    got = got.transpose(result.permutation) if result.permutation else got.reshape(want.shape)
    return "" if np.array_equal(got, want) else f"{graph.name}: {compiled.manifest.schedule_reason}"


def drawn(seed: int) -> tuple[Graph, Compiled]:
    """Return a network and its library under one of the wishes; of those whose input is held some have two."""
    schedule, pulled = WISHES[seed % len(WISHES)]
    graph = channels_first(seed, f"net {seed}", inputs=1 if pulled or seed % 4 else 2)
    return graph, compile_imported(graph, options_of(schedule, pulled))


def test_whatever_the_schedule_outputs_are_the_models(tmp_path: Path) -> None:
    found: list[str] = []
    for first in range(0, NETWORKS, _AT_ONCE):
        cases = [drawn(seed) for seed in range(first, min(first + _AT_ONCE, NETWORKS))]
        (folder := tmp_path / str(first)).mkdir()
        twins = build_twins([compiled for _, compiled in cases], folder)
        found += filter(None, (mistake(*case, twin) for case, twin in zip(cases, twins, strict=True)))
    assert found == []


def of_image(dtype: DType | None) -> Graph:
    """A network that reads integers, or quantizes what it reads."""
    m = GraphMaker(seed=3, name="of an image")
    image = m.input(1, 24, 24, 2, dtype=dtype)
    x = m.conv2d(image if dtype is None else m.quantize(image), 16, (3, 3))
    return m.build(m.conv2d(m.conv2d(x, 16, (3, 3), (2, 2)), 4, (3, 3), (2, 2)))


@pytest.mark.parametrize("schedule", ["patch", "patch:2x2"])
def test_held_floats_are_quantized_before_the_first_patch(schedule: str, tmp_path: Path) -> None:
    """They were held, four bytes a value, until the last patch had read them, and quantized again in every halo."""
    floats, integers = (compile_imported(of_image(dtype), options_of(schedule)) for dtype in (DType.FLOAT32, None))
    image_bytes = 24 * 24 * 2
    assert [layer.stage for layer in floats.manifest.layers[:2]] == ["per-layer", "patch"]
    assert floats.manifest.memory.arena == max(4 * image_bytes, integers.manifest.memory.arena)
    (twin,) = build_twins([floats], tmp_path)
    assert mistake(floats.graph, floats, twin) == ""


@pytest.mark.parametrize("schedule", ["streaming", "patch", "patch:2x2"])
def test_pulled_floats_take_the_memory_of_pulled_integers(schedule: str) -> None:
    """Beside them is a row of floats at most: patches held all of their rows as floats."""
    wish = options_of(schedule, pulled=True)
    floats, integers = (compile_imported(of_image(dtype), wish) for dtype in (DType.FLOAT32, None))
    assert floats.manifest.schedule == schedule.partition(":")[0]
    assert floats.manifest.memory.arena <= integers.manifest.memory.arena + 4 * 24 * 2


def test_header_tells_the_callers_axes_and_the_whole_reason() -> None:
    """Reasons of more than 96 characters were cut off in the middle of a line."""
    m = GraphMaker(seed=1, name="axes")
    x = m.transpose(m.quantize(m.input(1, 3, 16, 12, dtype=DType.FLOAT32), DType.INT8), TO_NHWC)
    x = m.conv2d(m.conv2d(m.conv2d(x, 24, (3, 3)), 24, (3, 3), (2, 2)), 4, (3, 3))
    wish = replace(options_of("streaming"), sram_budget_bytes=2048)
    one = compile_imported(m.build(m.dequantize(m.transpose(x, TO_NCHW))), wish)
    with zipfile.ZipFile(io.BytesIO(one.library_zip)) as library:
        header = library.read("axes.h").decode()
    told = " ".join(line.removeprefix("/*").removeprefix(" *").strip() for line in header.splitlines())
    assert len(one.manifest.schedule_reason) > 96 and one.manifest.schedule_reason in told
    assert "input 0: float32[1, 16, 12, 3], the model's float32[1, 3, 16, 12], transposed by (0, 2, 3, 1)" in told
    assert "output 0: float32[1, 8, 6, 4], the model's float32[1, 4, 8, 6], to be transposed by (0, 3, 1, 2)" in told
