"""Planned schedules."""

from __future__ import annotations

from collections.abc import Mapping

from services.compiler.schedule.schedule import BufferKind, Schedule, StageKind
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
                steps=[
                    schedule_pb2.Step(
                        op_index=s.op_index,
                        reads=s.reads,
                        writes=s.writes,
                        scratch=s.scratch,
                        region=schedule_pb2.Region(
                            row_start=s.region.row_start,
                            row_stop=s.region.row_stop,
                            col_start=s.region.col_start,
                            col_stop=s.region.col_stop,
                        )
                        if s.region
                        else None,
                    )
                    for s in stage.steps
                ],
            )
            for stage in schedule.stages
        ],
    )


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
