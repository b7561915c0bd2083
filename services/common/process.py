"""The command line of every service: `python -m services.NAME server` and `... worker`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError

from services.common.errors import FarmError
from services.common.jobs.worker import WorkerPlan, run_worker
from services.common.log import set_up_logging
from services.common.server.serve import ServicePlan, serve
from services.common.settings import Settings


def run_service(
    arguments: Sequence[str],
    server: Callable[[], ServicePlan],
    worker: Callable[[Settings], WorkerPlan],
) -> int:
    """Run what the arguments say; the plans are made only in the role that needs them (and its imports).

    When it is ready, the process writes one line of JSON to standard output:
    {"event": "ready", "service", "role", "listen", "metrics"}.
    """
    options = _parser().parse_args(arguments)
    try:
        settings = _settings(options)
        set_up_logging(settings.log_level)
        if options.role == "server":
            service_plan = server()
            asyncio.run(serve(settings, service_plan, _ready(service_plan.name, "server")))
        else:
            worker_plan = worker(settings)
            run_worker(settings, worker_plan, _ready(worker_plan.name, "worker"))
    except ValidationError as error:
        for problem in error.errors():
            name = "TINYFARM_" + "_".join(str(part) for part in problem["loc"]).upper()
            print(f"error: {name} is {problem.get('input')!r}: {problem['msg']}", file=sys.stderr)
        return 2
    except (FarmError, OSError) as error:
        # One line, which `tinyfarm up` repeats as the last of the log: what parsers say has several.
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    main = sys.modules["__main__"].__spec__
    parser = argparse.ArgumentParser(
        prog=f"python -m {main.parent}" if main is not None else None,
        description="Settings are TINYFARM_* variables (services/common/settings.py); options override them.",
    )
    roles = parser.add_subparsers(dest="role", required=True)
    server = roles.add_parser("server", help="answer gRPC calls")
    server.add_argument("--listen", metavar="HOST:PORT", help="gRPC address; port 0 picks a free one")
    worker = roles.add_parser("worker", help="run jobs")
    worker.add_argument("--slots", type=int, help="jobs to run at a time")
    worker.add_argument(
        "--queue", action="append", dest="queues", metavar="NAME", help="serve this queue only (repeat)"
    )
    for role in (server, worker):
        role.add_argument("--redis-url", help="redis://, rediss://, unix:// or redis+sentinel://")
        role.add_argument("--artifacts-url", help="file:///FOLDER or s3://BUCKET/PREFIX")
        role.add_argument("--metrics", metavar="HOST:PORT", help="Prometheus endpoint; port 0 picks a free one")
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    given: dict[str, Any] = {k: v for k, v in vars(options).items() if k != "role" and v is not None}
    if "queues" in given:
        given["queues"] = tuple(given["queues"])
    return Settings(**given)


def _ready(service: str, role: str) -> Callable[[str, str], None]:
    def told(listen: str, metrics: str) -> None:
        line = {"event": "ready", "service": service, "role": role, "listen": listen, "metrics": metrics}
        print(json.dumps(line), flush=True)

    return told
