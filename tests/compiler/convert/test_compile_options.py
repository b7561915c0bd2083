"""Compile options as messages: the kernels asked for, and those that a result tells."""

from __future__ import annotations

import pytest

from services.common.targets import load_target
from services.compiler.convert.options import options_from_proto
from services.compiler.convert.results import result_to_proto
from services.compiler.options import Kernels
from services.compiler.pipeline import compile_graph
from tests.compiler.graph_maker import GraphMaker
from tinyfarm.v1 import compile_pb2

PORTABLE, CORE = compile_pb2.KERNELS_PORTABLE, compile_pb2.KERNELS_CORE


@pytest.mark.parametrize(
    ("asked", "kernels"),
    [
        (compile_pb2.KERNELS_UNSPECIFIED, Kernels.CORE),
        (PORTABLE, Kernels.PORTABLE),
        (CORE, Kernels.CORE),
        (compile_pb2.KERNELS_SMALL, Kernels.SMALL),
    ],
)
def test_kernels_of_a_message(asked: compile_pb2.Kernels.ValueType, kernels: Kernels) -> None:
    assert options_from_proto("stm32f746", compile_pb2.CompileOptions(kernels=asked)).kernels is kernels


@pytest.mark.parametrize("pull", [False, True])
def test_whether_the_input_is_pulled(pull: bool) -> None:
    assert options_from_proto("stm32f746", compile_pb2.CompileOptions(pull_input=pull)).pull_input is pull


@pytest.mark.parametrize(
    ("target", "asked", "answered"),
    [
        ("nucleo-l4r5zi", compile_pb2.KERNELS_UNSPECIFIED, CORE),
        ("nucleo-l4r5zi", PORTABLE, PORTABLE),
        ("stm32f746", CORE, CORE),
        ("nucleo-u575zi", CORE, CORE),
        ("nucleo-u575zi", compile_pb2.KERNELS_SMALL, compile_pb2.KERNELS_SMALL),
        ("rp2040", compile_pb2.KERNELS_SMALL, CORE),
        ("rp2040", CORE, CORE),
        ("rp2040", compile_pb2.KERNELS_UNSPECIFIED, CORE),
    ],
)
def test_result_tells_the_kernels_that_the_code_has(
    target: str, asked: compile_pb2.Kernels.ValueType, answered: compile_pb2.Kernels.ValueType
) -> None:
    m = GraphMaker(name="one")
    graph = m.build(m.conv2d(m.input(1, 6, 6, 4), 4))
    options = options_from_proto(target, compile_pb2.CompileOptions(kernels=asked))
    result = result_to_proto(compile_graph(graph, graph, options), load_target(target), "test")
    assert result.kernels == answered
    assert result.flash.code > 0
    assert result.flash.total == result.flash.code + result.flash.weights + result.flash.tables
