"""Random networks under random schedules, streamed, in patches or as planned, against the numpy reference, bit for bit.

TINYFARM_FUZZ_EXAMPLES multiplies the number of networks (`make fuzz`).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from services.compiler.options import CompileOptions, Core, Interface, Kernels
from tests.compiler.schedule.drawn_cases import board_mistakes, draw_case, host_mistakes
from tests.compiler.schedule.image_networks import image_network
from tests.cores.core_graphs import EXAMPLES, draw_samples

IMAGES, ANY, ON_A_CORE = 24 * EXAMPLES, 12 * EXAMPLES, 12 * EXAMPLES
HOST = CompileOptions("host", Core.CORTEX_M4, interface=Interface.FLOAT, kernels=Kernels.PORTABLE)
_AT_ONCE = 40


def test_drawn_schedules_equal_reference_on_the_host(tmp_path: Path) -> None:
    """Networks of images, of which most can run in turns, and graphs of all operators, of which few can."""
    graphs = [*map(image_network, range(IMAGES)), *(sample.graph for sample in draw_samples(ANY))]
    cases = [draw_case(graph, HOST, number) for number, graph in enumerate(graphs)]
    found: list[str] = []
    for first in range(0, len(cases), _AT_ONCE):
        folder = tmp_path / str(first)
        folder.mkdir()
        found += host_mistakes(cases[first : first + _AT_ONCE], folder)
    assert found == []


@pytest.mark.parametrize(
    ("target", "core"), [("nucleo-l4r5zi", Core.CORTEX_M4), ("rp2040", Core.CORTEX_M0PLUS)], ids=["m4", "m0plus"]
)
def test_drawn_schedules_equal_reference_on_a_core(target: str, core: Core) -> None:
    options = CompileOptions(target, core, interface=Interface.FLOAT)
    numbers = range(1000, 1000 + ON_A_CORE)
    assert list(board_mistakes([draw_case(image_network(n), options, n) for n in numbers])) == []
