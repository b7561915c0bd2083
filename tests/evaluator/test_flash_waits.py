"""Kernels wait little for the flash of an STM32L4: weights and code in use stay in its caches or in RAM."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from services.compiler.ir.activation import Activation
from services.compiler.kernels.thumb2.assembly import CACHE_LINE_BYTES
from services.compiler.options import CompileOptions, Core
from services.compiler.pipeline import compile_graph, compile_model
from services.evaluator.evaluate import Request, Workplace, evaluate
from services.evaluator.farm import load_farm
from services.evaluator.image import build_image
from services.evaluator.library import read_library
from services.evaluator.measure.performance import Performance
from services.evaluator.toolchain import Toolchain, ToolchainKind
from tests.compiler.graph_maker import GraphMaker

MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"
OPTIONS = CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4)
needs_gcc = pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="arm-none-eabi-gcc is not installed")


def run(library: bytes, cache: Path) -> Performance:
    found = evaluate(Request(library), load_farm().board("nucleo-l4r5zi"), Workplace(cache)).performance
    assert found is not None
    return found


@pytest.mark.skipif(not MODELS.is_dir(), reason="../shared/models is not here")
def test_keyword_spotting_waits_a_tenth_of_its_core_cycles_at_most(cache: Path) -> None:
    model = (MODELS / "kws_ref_model.tflite").read_bytes()
    found = run(compile_model(model, "kws_ref_model", OPTIONS).library_zip, cache)
    assert found.core_cycles < found.cycles <= 1.1 * found.core_cycles


def test_large_depthwise_filters_with_a_relu_stay_in_the_instruction_cache(cache: Path) -> None:
    m = GraphMaker(name="large_filters")
    graph = m.build(m.depthwise(m.input(1, 10, 10, 64), kernel=(5, 5), activation=Activation.RELU))
    found = run(compile_graph(graph, graph, OPTIONS).library_zip, cache)
    assert found.cycles <= 1.1 * found.core_cycles


@pytest.mark.parametrize("toolchain", ["zig", pytest.param("gcc", marks=needs_gcc)])
def test_loop_over_depthwise_channels_lies_in_two_cache_lines(toolchain: ToolchainKind, cache: Path) -> None:
    """The largest routines that it calls take 30 of the 32 lines."""
    m = GraphMaker(name="in_two_lines")
    graph = m.build(m.depthwise(m.input(1, 10, 10, 8), activation=Activation.RELU))
    board = load_farm().board("nucleo-l4r5zi")
    library = read_library(compile_graph(graph, graph, OPTIONS).library_zip)
    elf = ELFFile(io.BytesIO(build_image(library, board.facts, Toolchain(toolchain, cache), board.port).elf))
    symbols = elf.get_section_by_name(".symtab")
    assert isinstance(symbols, SymbolTableSection)
    (loop,) = symbols.get_symbol_by_name("tf_depthwise_channels") or ()
    assert (loop["st_value"] & ~1) % CACHE_LINE_BYTES == 0  # the lowest bit says Thumb
    assert 0 < loop["st_size"] <= 2 * CACHE_LINE_BYTES
