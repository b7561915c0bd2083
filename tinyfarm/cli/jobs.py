"""`tinyfarm jobs`: the newest jobs."""

from __future__ import annotations

from typing import Annotated

import typer

from tinyfarm.cli.connect import connected
from tinyfarm.cli.options import Json, Server
from tinyfarm.cli.output import print_json, print_table, short_id
from tinyfarm.client import InvalidInputError
from tinyfarm.client.plain import brief, enum_name
from tinyfarm.up import RECORDS_ONLY
from tinyfarm.v1 import job_pb2

_STATES = ("queued", "running", "succeeded", "failed", "cancelled")


def command(
    state: Annotated[str, typer.Option(help="Only jobs in this state: " + ", ".join(_STATES))] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most this many, newest first.")] = 20,
    dead: Annotated[bool, typer.Option("--dead", help="Only jobs that spent their attempts.")] = False,
    json: Json = False,
    server: Server = None,
) -> None:
    """List jobs, newest first.

    Networks, schedules, manifests and layers are left out of the JSON: `tinyfarm get --json` has them.
    """
    wanted = _state(state)
    with connected(server, RECORDS_ONLY) as client:
        found = client.jobs.list(state=wanted, limit=limit, dead_lettered_only=dead)
    if json:
        print_json({"jobs": [brief(job) for job in found]})
        return
    print_table("", ("job", "kind", "state", "progress", "created (UTC)", "note"), [_row(job) for job in found])


def _row(job: job_pb2.Job) -> tuple[str, ...]:
    created = job.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")
    note = job.error.message or ("cached" if job.cached else job.progress.text)
    done = f"{job.progress.fraction:.0%}"
    return short_id(job), enum_name(job, "kind"), enum_name(job, "state"), done, created, note


def _state(text: str) -> job_pb2.JobState.ValueType:
    if not text:
        return job_pb2.JOB_STATE_UNSPECIFIED
    if text not in _STATES:
        allowed = ", ".join(_STATES)
        raise InvalidInputError(
            f"state {text!r} is not one of {allowed}",
            reason="UNKNOWN_STATE",
            subject="--state",
            value=text,
            allowed=allowed,
        )
    return job_pb2.JobState.Value(f"JOB_STATE_{text.upper()}")
