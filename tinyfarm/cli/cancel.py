"""`tinyfarm cancel`: stop a job."""

from __future__ import annotations

from tinyfarm.cli.connect import connected
from tinyfarm.cli.options import JobName, Json, Server
from tinyfarm.cli.output import print_json, print_line
from tinyfarm.client.plain import enum_name, plain
from tinyfarm.up import RECORDS_ONLY


def command(job: JobName, json: Json = False, server: Server = None) -> None:
    """Cancel a job; a finished job stays as it is."""
    with connected(server, RECORDS_ONLY) as client:
        found = client.cancel(job)
    if json:
        print_json(plain(found))
        return
    print_line(f"{found.name}: {enum_name(found, 'state')}")
