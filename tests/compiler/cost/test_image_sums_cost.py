"""What sums of images are said to cost, whole and in parts, beside what they take on simulated boards."""

from __future__ import annotations

import pytest

from benchmarks.cost_measured import Subject, linked_functions
from benchmarks.cost_parts import image_sums, run_in_parts
from services.compiler.cost.cost_model import layer_work, load_cost_table
from services.compiler.options import Core, Kernels
from tests.cores.packed import CACHE

HELD_OUT = 9
SUBJECTS = {
    "tf_image_sums_s8": Subject(Core.CORTEX_M0PLUS, Kernels.CORE),
    "tf_image_sums_thumb2_s8": Subject(Core.CORTEX_M4, Kernels.CORE),
}


@pytest.mark.parametrize("kernel", SUBJECTS)
def test_cost_of_parts_is_what_they_take(kernel: str) -> None:
    subject = SUBJECTS[kernel]
    graph = image_sums(HELD_OUT)
    measured = run_in_parts(graph, subject, CACHE)
    program, timing = measured.planned.program, measured.timing
    assert timing is not None and kernel in program.functions()
    assert len({len(layer.calls) for layer in program.layers}) == 3  # whole, in rows, in patches
    table = load_cost_table(subject.core, subject.kernel_set)
    for layer, figures in zip(program.layers, timing.layers, strict=True):
        work = layer_work(measured.planned.graph, layer, (), table)
        assert work.cycles == pytest.approx(figures.cycles, rel=0.03)
        assert work.instructions == pytest.approx(figures.instructions, rel=0.03)
    linked = linked_functions(measured.elf)
    functions = {name for function in program.functions() for name in table.needs[function]}
    assert {name: table.function_bytes[name] for name in functions} == {name: linked[name] for name in functions}
