"""`python -m services.evaluator server` and `python -m services.evaluator worker`."""

from __future__ import annotations

import sys

from services.common.jobs.worker import WorkerPlan
from services.common.process import run_service
from services.common.server.serve import ServicePlan
from services.common.settings import Settings


def _server() -> ServicePlan:
    from services.evaluator.server import service_plan

    return service_plan()


def _worker(settings: Settings) -> WorkerPlan:
    from services.evaluator.worker import worker_plan

    return worker_plan(settings)


if __name__ == "__main__":
    sys.exit(run_service(sys.argv[1:], _server, _worker))
