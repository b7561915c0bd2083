"""Scratch: the least first, then as much as the arena has room for, told to the kernels by one rule."""

from __future__ import annotations

import itertools

import pytest

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.memory.arena import plan_arena
from services.compiler.memory.live_range import live_ranges
from services.compiler.memory.overlap import OverlapRules
from services.compiler.planned import plan_network
from services.compiler.schedule.per_layer import per_layer_schedule
from services.compiler.schedule.thumb2 import depthwise_plan, pixel_blocks, scratch_sizes, wanted_scratch
from tests.compiler.graph_maker import GraphMaker


def narrow_end(seed: int) -> Graph:
    """The first layers fill the arena; the later ones have room."""
    m = GraphMaker(seed=seed, name="narrow")
    x = m.conv2d(m.input(1, 40, 30, 3), 16, stride=(2, 2))
    x = m.depthwise(m.conv2d(x, 16, (1, 1)), stride=(2, 2))
    x = m.conv2d(m.depthwise(m.conv2d(x, 12, (1, 1))), 8, (3, 3))
    return m.build(m.dense(m.reshape(x, 1, m.tensors[x].elements), 4))


@pytest.mark.parametrize("seed", range(4))
def test_scratch_grows_and_the_arena_hardly(seed: int) -> None:
    graph = narrow_end(seed)
    least = per_layer_schedule(graph, KernelSet.THUMB2)
    arena = plan_arena(live_ranges(least), OverlapRules(graph, KernelSet.THUMB2).of(least)).arena_bytes
    planned = plan_network(graph, KernelSet.THUMB2)
    assert arena <= planned.plan.arena_bytes <= arena * 9 / 8
    before, after = ([b.size_bytes for b in s.buffers] for s in (least, planned.schedule))
    assert all(a >= b for a, b in zip(after, before, strict=True))
    assert after[-2] > before[-2]
    assert all(planned.plan.offsets[b.id] + b.size_bytes <= planned.plan.arena_bytes for b in planned.schedule.buffers)


def test_grown_scratch_shares_no_byte_with_what_lives_beside_it() -> None:
    planned = plan_network(narrow_end(1), KernelSet.THUMB2)
    at = planned.plan.offsets
    scratches = {step.scratch for step in planned.schedule.steps()} - {None}
    assert len(scratches) > 3
    for scratch in (r for r in planned.ranges if r.buffer in scratches):
        for other in (r for r in planned.ranges if r is not scratch and r.overlaps(scratch)):
            assert (
                at[scratch.buffer] + scratch.size_bytes <= at[other.buffer]
                or at[other.buffer] + other.size_bytes <= at[scratch.buffer]
            )


def test_scratch_at_the_peak_stays_the_least_where_weights_stay_cached() -> None:
    m = GraphMaker()
    graph = m.build(m.conv2d(m.input(1, 8, 8, 16), 2, (1, 1)))
    planned = plan_network(graph, KernelSet.THUMB2)
    assert planned.schedule.buffers[-1].size_bytes >= scratch_sizes(graph, graph.ops[0])[0] == 4 * 16


def test_arena_becomes_somewhat_larger_where_every_pair_would_wait_for_flash() -> None:
    m = GraphMaker()
    graph = m.build(m.conv2d(m.input(1, 16, 16, 64), 64, (1, 1)))
    least = per_layer_schedule(graph, KernelSet.THUMB2)
    arena = plan_arena(live_ranges(least), OverlapRules(graph, KernelSet.THUMB2).of(least)).arena_bytes
    planned = plan_network(graph, KernelSet.THUMB2)
    assert arena < planned.plan.arena_bytes <= arena * 9 / 8
    assert planned.schedule.buffers[-1].size_bytes >= wanted_scratch(graph, graph.ops[0])
    assert planned.plan.gap_bytes == 0


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3)])
@pytest.mark.parametrize("channels", [4, 64])
def test_blocks_are_read_back_from_the_size_of_their_scratch(kernel: tuple[int, int], channels: int) -> None:
    m = GraphMaker()
    graph = m.build(m.conv2d(m.input(1, 9, 9, channels), 5, kernel))
    op = graph.ops[0]
    assert isinstance(op, Conv2D)
    blocks, sizes = pixel_blocks(graph, op), scratch_sizes(graph, op)
    assert list(sizes) == sorted(set(sizes))
    assert [blocks.scratch_bytes(blocks.block(size)) for size in sizes] == list(sizes)
    assert blocks.block(sizes[0]).pairs == 1
    assert blocks.block(sizes[-1]).pairs == 41
    assert blocks.block(sizes[-1]).staged == (blocks.depth > 36)
    assert blocks.wanted_bytes() in sizes


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_rows_of_a_plane_are_read_back_from_its_size(stride: int) -> None:
    m = GraphMaker()
    graph = m.build(m.depthwise(m.input(1, 60, 20, 3), stride=(stride, stride)))
    op = graph.ops[0]
    assert isinstance(op, DepthwiseConv2D)
    plan = depthwise_plan(graph, op)
    assert plan is not None
    out_h = graph.tensors[op.output].shape[1]
    plane = plan.plane()
    rows = [plane.chunk_rows(size) for size in plane.sizes()]
    assert rows == sorted(set(rows))
    assert rows[-1] == out_h
    chunks = [-(-out_h // n) for n in rows]
    assert all(more > fewer for more, fewer in itertools.pairwise(chunks))
    assert plane.sizes()[0] <= 1024
