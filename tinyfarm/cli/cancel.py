"""`tinyfarm cancel`: stop a job."""

from __future__ import annotations

from tinyfarm.cli.connect import connected
from tinyfarm.cli.options import JobName, Json, Server
from tinyfarm.cli.output import print_json, print_line
from tinyfarm.client.plain import brief, enum_name
from tinyfarm.up import RECORDS_ONLY


def command(job: JobName, json: Json = False, server: Server = None) -> None:
    """Cancel a job; a finished job stays as it is.

    Networks, schedules, manifests and layers are left out of the JSON: `tinyfarm get --json` has them.
    """
    with connected(server, RECORDS_ONLY) as client:
        found = client.cancel(job)
    if json:
        print_json(brief(found))
        return
    print_line(f"{found.name}: {enum_name(found, 'state')}")
