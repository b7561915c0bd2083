"""`tinyfarm watch`: the events of a job as they come."""

from __future__ import annotations

import json as json_module
import sys
from typing import Annotated

import typer

from tinyfarm.cli.connect import connected
from tinyfarm.cli.options import JobName, Json, Server
from tinyfarm.cli.output import print_line
from tinyfarm.client.errors import raise_unless_succeeded
from tinyfarm.client.jobs import FINAL_STATES
from tinyfarm.client.plain import brief, enum_name
from tinyfarm.up import ALL_PARTS
from tinyfarm.v1 import job_pb2


def command(
    job: JobName,
    resume_token: Annotated[str, typer.Option(help="Go on after the event with this token.")] = "",
    json: Json = False,
    server: Server = None,
) -> None:
    """Print every event of a job until it ends; with --json one event a line.

    Networks, schedules, manifests and layers are left out of the JSON: `tinyfarm get --json` has them.
    """
    last: job_pb2.Job | None = None
    with connected(server, ALL_PARTS) as client:
        for event in client.watch(job, resume_token):
            if json:
                sys.stdout.write(json_module.dumps(brief(event), allow_nan=False) + "\n")
                sys.stdout.flush()
            else:
                print_line(_line(event))
            if event.job.state in FINAL_STATES:
                last = event.job
    if last is not None:
        raise_unless_succeeded(last)


def _line(event: job_pb2.JobEvent) -> str:
    time = event.create_time.ToDatetime().strftime("%H:%M:%S")
    match event.kind:
        case job_pb2.JOB_EVENT_KIND_PROGRESS:
            return f"{time}  {event.progress.fraction:4.0%}  {event.progress.text}"
        case job_pb2.JOB_EVENT_KIND_LOG:
            return f"{time}        {event.message}"
    return f"{time}        {enum_name(event, 'state')}{': ' if event.message else ''}{event.message}"
