"""What comes with a library for its reader: the example is built as README.txt says and prints what the network makes;
the header tells one input from another.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import DType
from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.pipeline import Compiled, compile_graph, compile_imported
from services.compiler.quant.affine import quantize
from services.compiler.quant.reference import run_graph
from services.evaluator.library import read_library
from tests.compiler.graph_maker import GraphMaker

NASTY = '*/ int x; /* "\\\n??/'


def two_inputs() -> Graph:
    m = GraphMaker(seed=3, name="two")
    image, vector = m.input(1, 6, 6, 2), m.input(1, 5)
    pooled = m.mean(m.conv2d(image, 4), (1, 2), keep=False)
    return m.build(m.binary("add", m.dense(pooled, 3), m.dense(vector, 3)), pooled)


def convolutions() -> Graph:
    m = GraphMaker(seed=4, name="net")
    return m.build(m.conv2d(m.conv2d(m.input(1, 12, 12, 2), 4), 3))


def wide_integers() -> Graph:
    m = GraphMaker(seed=5, name="wide", activations=DType.INT16)
    return m.build(m.dense(m.input(1, 6), 3))


def floats() -> Graph:
    m = GraphMaker(seed=6, name="floats")
    x = m.quantize(m.input(1, 4, 4, 2, dtype=DType.FLOAT32))
    return m.build(m.dequantize(m.conv2d(x, 3)))


CASES: dict[str, tuple[Callable[[], Graph], CompileOptions]] = {
    "two inputs, two outputs": (two_inputs, CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4)),
    "portable": (two_inputs, CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4, kernels=Kernels.PORTABLE)),
    "pulled": (convolutions, CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4, "streaming", kernels=Kernels.PORTABLE,
                                            pull_input=True)),
    "int16": (wide_integers, CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4)),
    "floats": (floats, CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4, interface=Interface.FLOAT)),
}  # fmt: skip


def unpacked(compiled: Compiled, folder: Path) -> str:
    """Unpack a library and return its README.txt."""
    with zipfile.ZipFile(io.BytesIO(compiled.library_zip)) as library:
        library.extractall(folder)
    return (folder / "README.txt").read_text()


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler cc")
@pytest.mark.parametrize("case", CASES)
def test_example_is_built_as_the_readme_says_and_prints_what_the_network_makes(case: str, tmp_path: Path) -> None:
    make, options = CASES[case]
    graph = make()
    compiled = compile_imported(graph, options)
    readme = unpacked(compiled, tmp_path)
    command = readme[readme.index("    cc ") :]
    strict = command.replace("cc ", "cc -Wall -Wextra -Werror -pedantic ", 1)
    printed = subprocess.run(strict, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert printed.returncode == 0, printed.stderr
    zeros = tuple(np.zeros(graph.tensors[t].shape, np.float32) for t in graph.inputs)
    inputs = [
        zero if (quant := graph.tensors[t].quant) is None else quantize(zero, quant, graph.tensors[t].dtype)
        for t, zero in zip(graph.inputs, zeros, strict=True)
    ]
    for line, t, output in zip(printed.stdout.splitlines(), graph.outputs, run_graph(graph, inputs), strict=True):
        quant = graph.tensors[t].quant
        real = output if quant is None else (output.astype(float) - quant.zero_point[0]) * quant.scale[0]
        np.testing.assert_allclose([float(v) for v in line.split()], real.ravel(), rtol=1e-4)


def test_header_tells_inputs_apart(tmp_path: Path) -> None:
    compiled = compile_imported(two_inputs(), CASES["two inputs, two outputs"][1])
    unpacked(compiled, tmp_path)
    for header in ("two.h", "two_twin.h"):
        text = (tmp_path / header).read_text()
        assert re.search(r"input 0: int8\[1, 6, 6, 2\]\n \* name 't0', an integer q is \S+ times \(q [+-] \d+\)", text)
        assert re.search(r"input 1: int8\[1, 5\]\n \* name 't\d+', an integer q is ", text)
        for kind, edges in (("INPUT", compiled.manifest.inputs), ("OUTPUT", compiled.manifest.outputs)):
            for number, edge in enumerate(edges):
                found = re.search(rf"#define TWO\w*_{kind}_{number}_SCALE (\S+)f\n.*_ZERO_POINT \((-?\d+)\)", text)
                assert found is not None and edge.scale is not None
                assert (np.float32(found[1]), int(found[2])) == (np.float32(edge.scale), edge.zero_point)


def test_names_of_inputs_stay_in_their_comments() -> None:
    m = GraphMaker(name=NASTY)
    graph = m.build(m.dense(m.input(1, 5), 3))
    graph = graph.with_tensors({t: replace(tensor, name=NASTY) for t, tensor in graph.tensors.items()})
    files = read_library(compile_graph(graph, graph, CASES["portable"][1]).library_zip).files
    assert all(b"int x" not in re.sub(rb"/\*.*?\*/", b"", text, flags=re.DOTALL) for _, text in files)
    assert not {"README.txt", "main.c.example"} & {name for name, _ in files}, "they are never built"


def test_long_name_leaves_the_rest_of_its_line() -> None:
    m = GraphMaker(name=80 * "n" + " and more")
    graph = m.build(m.dense(m.input(1, 5), 3))
    texts = dict(read_library(compile_graph(graph, graph, CASES["portable"][1]).library_zip).files)
    assert b"for nucleo-l4r5zi (cortex-m4)" in texts[f"{32 * 'n'}.h"].partition(b"*/")[0]
