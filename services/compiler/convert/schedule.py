"""From a planned schedule to its message: buffers with their places in the arena, steps in the order they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from services.compiler.schedule.schedule import BufferId, BufferKind, Region, Schedule, Stage, StageKind, Step
from tinyfarm.v1 import schedule_pb2

SCHEMA_VERSION = 1
_REMEMBERED = 1 << 14


def fill_schedule(message: schedule_pb2.Schedule, schedule: Schedule, offsets: Mapping[int, int]) -> None:
    """Tell a planned schedule in an empty message; `offsets` are the buffers' places in the arena."""
    message.name, message.schema_version = schedule.name, SCHEMA_VERSION
    add_buffer, add_stage = message.buffers.add, message.stages.add
    for b in schedule.buffers:
        add_buffer(
            id=b.id,
            name=b.name,
            kind=_BUFFER_KINDS[b.kind],
            size_bytes=b.size_bytes,
            tensors=b.tensors,
            rows=b.rows,
            offset_bytes=offsets.get(b.id),
        )
    for stage in schedule.stages:
        steps = [_step(s.op_index, s.reads, s.writes, s.scratch, region) for s, region in _in_order(stage)]
        add_stage(kind=_STAGE_KINDS[stage.kind], steps=steps)


def stage_kind_to_proto(kind: StageKind) -> schedule_pb2.StageKind.ValueType:
    """Return the message's word for a kind of stages."""
    return _STAGE_KINDS[kind]


def _in_order(stage: Stage) -> Iterator[tuple[Step, Region | None]]:
    """Yield a stage's steps as they run, in turns or once each."""
    if stage.turns:
        yield from ((stage.steps[turn.step], turn.region) for turn in stage.turns)
    else:
        yield from ((step, None) for step in stage.steps)


@lru_cache(maxsize=_REMEMBERED)
def _step(
    op_index: int,
    reads: tuple[BufferId, ...],
    writes: tuple[BufferId, ...],
    scratch: BufferId | None,
    region: Region | None,
) -> schedule_pb2.Step:
    """Return the message of a step, which is copied where it is used: many networks of a search have the same ones."""
    message = schedule_pb2.Step(op_index=op_index, reads=reads, writes=writes, scratch=scratch)
    if region is not None:
        message.region.row_start, message.region.row_stop = region.row_start, region.row_stop
        message.region.col_start, message.region.col_stop = region.col_start, region.col_stop
    return message


_BUFFER_KINDS = {
    BufferKind.INPUT: schedule_pb2.BUFFER_KIND_INPUT,
    BufferKind.ACTIVATION: schedule_pb2.BUFFER_KIND_ACTIVATION,
    BufferKind.LINE_BUFFER: schedule_pb2.BUFFER_KIND_LINE_BUFFER,
    BufferKind.SCRATCH: schedule_pb2.BUFFER_KIND_SCRATCH,
}
_STAGE_KINDS = {
    StageKind.PER_LAYER: schedule_pb2.STAGE_KIND_PER_LAYER,
    StageKind.PATCH: schedule_pb2.STAGE_KIND_PATCH,
    StageKind.STREAMING: schedule_pb2.STAGE_KIND_STREAMING,
}
