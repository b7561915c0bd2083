"""Depthwise convolutions and additions of patches in the cores' own kernels: every place of a patch in the grid."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from services.compiler import planned
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import DepthwiseConv2D, Padding
from services.compiler.ir.tensor import DType, TensorId
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.memory.arena import ArenaPlan, plan_arena
from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.overlap import OverlapRule
from services.compiler.options import CompileOptions, Core, Interface
from services.compiler.pipeline import Compiled
from services.compiler.planned import Planned, StreamPlanner
from services.compiler.quant.reference import run_graph
from services.compiler.schedule.patches import Grid, patches
from services.compiler.schedule.per_layer import plane_bytes
from services.compiler.schedule.staged import turn_scratch_bytes
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.compiler.schedule.test_streaming import compiled
from tests.cores.packed import PackedBoard
from tests.cores.test_overlapping_convolutions import closest

TARGETS = {
    Core.CORTEX_M0PLUS: ("rp2040", KernelSet.THUMB1),
    Core.CORTEX_M4: ("nucleo-l4r5zi", KernelSet.THUMB2),
    Core.CORTEX_M7: ("stm32f746", KernelSet.THUMB2),
}
# `make fuzz` runs the M7, too: it has the M4's kernels, in another order
CORES = list(TARGETS)[: None if "TINYFARM_FUZZ_EXAMPLES" in os.environ else 2]
PORTABLE = {"tf_depthwise_conv2d_s8", "tf_depthwise_conv2d_plane_s8", "tf_add_s8"}
# what Cortex-M0+ has no kernels for: several outputs of an input, and sums with constants that are broadcast
ONLY_DSP = {"more outputs than inputs", "from the outside", "residual", "residual, columns"}
ONLY_DSP |= {"constants", "constants, all columns"}


def options_of(core: Core) -> CompileOptions:
    return CompileOptions(TARGETS[core][0], core, interface=Interface.FLOAT)


def patched(graph: Graph, grid: Grid, core: Core = Core.CORTEX_M4) -> Planned:
    found = patches(graph, len(graph.ops), grid)
    assert found is not None
    return StreamPlanner(graph, TARGETS[core][1]).plan_patches([found])


Build = Callable[[GraphMaker], TensorId]


def between(
    kernel: tuple[int, int], stride: tuple[int, int], *, channels: int = 5, multiplier: int = 1,
    padding: Padding | None = None, activation: Activation = Activation.NONE, weights: DType = DType.INT8,
) -> Build:  # fmt: skip
    """A depthwise convolution between two others: both its sides are held by patch."""

    def build(m: GraphMaker) -> TensorId:
        x = m.conv2d(m.input(1, 22, 19, 2), channels, (1, 1))
        x = m.depthwise(x, multiplier, kernel, stride, padding=padding, activation=activation, weights=weights)
        return m.conv2d(x, 3, (3, 3))

    return build


def to_the_outside(m: GraphMaker) -> TensorId:
    """The depthwise convolution's output is held whole; columns are 4, 5, 5 and 5."""
    x = m.conv2d(m.input(1, 11, 19, 2), 4, (1, 1))
    return m.depthwise(x, 1, (3, 3))


def from_the_outside(m: GraphMaker) -> TensorId:
    return m.conv2d(m.depthwise(m.input(1, 13, 18, 3), 2, (5, 3)), 4, (3, 3))


def read_inside_and_outside(m: GraphMaker) -> tuple[TensorId, ...]:
    """Patches compute more columns of what is held whole than their own."""
    x = m.depthwise(m.input(1, 12, 14, 3), 1, (3, 3))
    return x, m.conv2d(x, 4, (5, 5))


def small_image(m: GraphMaker) -> TensorId:
    """The middle patch sees all columns, those at the sides do not."""
    x = m.depthwise(m.conv2d(m.input(1, 7, 6, 2), 3, (1, 1)), 1, (3, 3))
    return m.conv2d(m.conv2d(x, 3, (3, 3)), 2, (3, 3))


def unread_columns(m: GraphMaker) -> TensorId:
    """No window reaches the last column and row of the depthwise convolution's input."""
    x = m.conv2d(m.input(1, 13, 13, 2), 4, (1, 1))
    return m.conv2d(m.depthwise(x, 1, (2, 2), (2, 2), padding=Padding()), 3, (1, 1))


def residual(m: GraphMaker) -> TensorId:
    """Both sums have inputs in buffers of other widths; the first is of 3 channels, the second of 5."""
    x = m.conv2d(m.input(1, 15, 17, 3), 3, (1, 1))
    x = m.binary("add", x, m.conv2d(m.depthwise(x, 2, (5, 5)), 3, (1, 1)), Activation.RELU)
    y = m.conv2d(x, 5, (3, 3))
    return m.binary("add", y, m.depthwise(y, 1, (3, 3)))


def constants(m: GraphMaker) -> TensorId:
    """One that repeats with every pixel and one that repeats with every row, in sums and differences."""
    x = m.conv2d(m.input(1, 10, 11, 2), 5, (3, 3))
    for kind, shape, first in (
        ("add", (5,), False),
        ("sub", (11, 5), True),
        ("sub", (5,), True),
        ("add", (11, 5), False),
    ):
        constant = m.constant(m.random.integers(-128, 128, shape).astype(np.int8), m.quant())
        x = m.binary(kind, *((constant, x) if first else (x, constant)))
    return m.conv2d(x, 4, (3, 3))


CASES: dict[str, tuple[Callable[[GraphMaker], TensorId | tuple[TensorId, ...]], Grid]] = {
    **{f"{k}x{k}, stride {s}": (between((k, k), (s, s)), (3, 3)) for k in (3, 5, 7) for s in (1, 2)},
    "two by two": (between((3, 3), (1, 1)), (2, 2)),
    "two rows, three columns": (between((5, 5), (1, 1)), (2, 3)),
    "one row, four columns": (between((3, 3), (2, 2)), (1, 4)),
    "four rows, one column": (between((7, 7), (1, 1)), (4, 1)),
    "six columns": (between((3, 3), (1, 1)), (2, 6)),
    "filter that is not square": (between((2, 5), (1, 2)), (3, 2)),
    "one column wide": (between((3, 1), (2, 1)), (2, 3)),
    "padding that windows do not share": (between((4, 4), (1, 1), padding=Padding(3, 0, 0, 3)), (2, 3)),
    "no padding": (between((3, 3), (2, 2), padding=Padding()), (3, 3)),
    "more outputs than inputs": (between((3, 3), (1, 1), multiplier=3), (2, 3)),
    "many channels": (between((3, 3), (1, 1), channels=260), (2, 2)),
    "weights of four bits, ReLU": (between((3, 3), (1, 1), activation=Activation.RELU, weights=DType.INT4), (3, 2)),
    "weights of four bits, ReLU6": (between((5, 5), (2, 2), activation=Activation.RELU6, weights=DType.INT4), (2, 2)),
    "to the outside": (to_the_outside, (2, 4)),
    "from the outside": (from_the_outside, (2, 2)),
    "read inside and outside": (read_inside_and_outside, (2, 3)),
    "small image": (small_image, (1, 3)),
    "unread columns": (unread_columns, (3, 1)),
    "unread columns, cut": (unread_columns, (2, 3)),
    "residual": (residual, (3, 2)),
    "residual, columns": (residual, (1, 3)),
    "constants": (constants, (2, 3)),
    "constants, all columns": (constants, (3, 1)),
}


def graphs() -> list[Graph]:
    found = []
    for number, (name, (build, _)) in enumerate(CASES.items()):
        m = GraphMaker(seed=number, name=name)
        outputs = build(m)
        found.append(m.build(*(outputs if isinstance(outputs, tuple) else (outputs,))))
    return found


def failures(core: Core, plans: Sequence[Planned]) -> list[str]:
    """Return the networks whose outputs differ from the reference."""
    failed = []
    made: list[Compiled] = [compiled(one, options_of(core)) for one in plans]
    with PackedBoard(made) as board:
        for number, one in enumerate(plans):
            inputs = random_inputs(one.graph, number)
            try:
                if not all(map(np.array_equal, board.run(number, inputs), run_graph(one.graph, inputs))):
                    failed.append(one.graph.name)
            except AssertionError as error:
                failed.append(f"{one.graph.name}: {error}")
    return failed


@pytest.mark.parametrize("core", CORES, ids=lambda core: core.value)
def test_patches_at_every_place_of_the_grid(core: Core) -> None:
    plans = [patched(graph, grid, core) for graph, (_, grid) in zip(graphs(), CASES.values(), strict=True)]
    portable = {p.graph.name for p in plans if PORTABLE & set(p.program.functions())}
    assert portable <= (ONLY_DSP if core is Core.CORTEX_M0PLUS else set())
    assert failures(core, plans) == []


def test_dilated_columns_and_windows_in_the_padding_are_left_to_the_portable_kernel() -> None:
    plans = []
    for kernel, dilation, padding in (((3, 3), (1, 2), None), ((3, 2), (1, 1), Padding(1, 1, 2, 1))):
        m = GraphMaker(name=f"left {len(plans)}")
        x = m.conv2d(m.input(1, 52, 52, 2), 4, (1, 1))
        x = m.depthwise(x, 1, kernel, dilation=dilation, padding=padding)
        graph = m.build(m.conv2d(x, 2, (1, 1)))
        plans += [patched(graph, (2, 2)), patched(replace(graph, name=f"{graph.name}, rows"), (2, 1))]
    portable = [bool(PORTABLE & set(one.program.functions())) for one in plans]
    assert portable == [True, False, True, False]
    assert failures(Core.CORTEX_M4, plans) == []


@pytest.mark.parametrize("core", TARGETS, ids=lambda core: core.value)
def test_plane_of_a_patch_needs_no_more_bytes_than_a_portable_one(core: Core) -> None:
    m = GraphMaker()
    graph = m.build(m.depthwise(m.conv2d(m.input(1, 52, 52, 2), 4, (1, 1)), 1, (5, 5)))
    op = graph.ops[-1]
    for extent in ((26, 26), (13, 26), (52, 4)):
        assert isinstance(op, DepthwiseConv2D)
        least = turn_scratch_bytes(graph, op, TARGETS[core][1], extent)
        assert 0 < least <= plane_bytes(graph, op, extent)


@pytest.mark.parametrize("core", [Core.CORTEX_M0PLUS, Core.CORTEX_M4], ids=lambda core: core.value)
@pytest.mark.parametrize("grid", [(2, 1), (2, 2), (1, 3)])
def test_patch_lies_over_its_input_as_close_as_the_rule_allows(
    grid: Grid, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    def place(ranges: Sequence[LiveRange], rules: Sequence[OverlapRule], **_: bool) -> ArenaPlan:
        return closest(ranges, rules[0]) if rules else plan_arena(ranges, rules)

    monkeypatch.setattr(planned, "plan_arena", place)
    plans, chunked = [], 0
    for number in range(12):
        m = GraphMaker(seed=number, name=f"over {grid[0]}x{grid[1]} {number}")
        kernel, stride = ((3, 3), (5, 5), (2, 3))[number % 3], ((1, 1), (2, 2))[number % 2]
        padding = Padding(*m.random.integers(0, 3, 4).tolist()) if number % 4 == 3 and kernel[1] > 2 else None
        x = m.conv2d(m.input(1, 50 + number, 20 + 9 * number, 1), 4, (1, 1))
        x = m.conv2d(m.depthwise(x, 1, kernel, stride, padding=padding), 1, (1, 1))
        plans.append(patched(m.build(x), grid, core))
        (call,) = (c for layer in plans[-1].program.layers for c in layer.calls if "depthwise" in c.function)
        step = next(s for s in plans[-1].schedule.steps() if s.scratch is not None and s.op_index == 1)
        rows = dict(call.fields())["chunk_rows"]
        chunked += isinstance(rows, int) and step.extent is not None and rows < step.extent[0]
    assert all(one.plan.algorithm == "closest" for one in plans)
    assert chunked > len(plans) // 3
    assert failures(core, plans) == []
