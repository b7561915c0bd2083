"""Planned schedules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.compiler.schedule.schedule import BufferKind, Region, Schedule, Stage, StageKind, Step
from tinyfarm.v1 import schedule_pb2

SCHEMA_VERSION = 1


def schedule_to_proto(schedule: Schedule, offsets: Mapping[int, int]) -> schedule_pb2.Schedule:
    """Return the message of a planned schedule; `offsets` are the buffers' places in the arena."""
    return schedule_pb2.Schedule(
        name=schedule.name,
        schema_version=SCHEMA_VERSION,
        buffers=[
            schedule_pb2.Buffer(
                id=b.id,
                name=b.name,
                kind=_BUFFER_KINDS[b.kind],
                size_bytes=b.size_bytes,
                tensors=b.tensors,
                rows=b.rows,
                offset_bytes=offsets.get(b.id),
            )
            for b in schedule.buffers
        ],
        stages=[
            schedule_pb2.Stage(
                kind=_STAGE_KINDS[stage.kind],
                steps=[_step(step, region) for step, region in _in_order(stage)],
            )
            for stage in schedule.stages
        ],
    )


def stage_kind_to_proto(kind: StageKind) -> schedule_pb2.StageKind.ValueType:
    """Return the message's word for a kind of stages."""
    return _STAGE_KINDS[kind]


def _in_order(stage: Stage) -> Iterator[tuple[Step, Region | None]]:
    """Yield a stage's steps as they run, in turns or once each."""
    if stage.turns:
        yield from ((stage.steps[turn.step], turn.region) for turn in stage.turns)
    else:
        yield from ((step, None) for step in stage.steps)


def _step(step: Step, region: Region | None) -> schedule_pb2.Step:
    message = schedule_pb2.Step(op_index=step.op_index, reads=step.reads, writes=step.writes, scratch=step.scratch)
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
