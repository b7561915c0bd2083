"""The search's jobs, as its child processes run them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from services.common.clients import Peer
from services.common.convert import artifact_to_proto
from services.common.identity import tool_version
from services.common.jobs.record import JobKind
from services.common.jobs.task import TaskContext, TaskResult
from services.common.jobs.worker import WorkerPlan
from services.common.settings import Settings
from services.search.allocator import keep_freed_memory
from services.search.clients import CompilerEstimator, QueueFarm, board_target
from services.search.context import Progress
from services.search.convert import SCHEMA_VERSION, point_to_proto, sampling_from_proto, settings_from_proto
from services.search.data.dataset import Dataset
from services.search.data.sources import load_builtin, load_npz
from services.search.report.render import render_report
from services.search.run import SearchResult, run_search
from tinyfarm.v1 import exploration_pb2


def search_task(spec: bytes, context: TaskContext) -> TaskResult:
    """Run a whole search; what an earlier attempt saved is gone on with."""
    wanted = exploration_pb2.SearchSpec.FromString(spec)
    settings = settings_from_proto(wanted)
    keep_freed_memory()
    context.progress(0.0, "read the data")
    dataset = _dataset(wanted, context)
    addresses = context.settings
    with Peer(addresses.compiler_address, context) as compiler, Peer(addresses.evaluator_address, context) as evaluator:
        target = board_target(evaluator, wanted.board)
        estimator = CompilerEstimator(compiler, target, wanted.options, context)
        farm = QueueFarm(compiler, evaluator, wanted.board, estimator, context)
        result = run_search(
            settings,
            dataset,
            estimator=estimator,
            farm=farm,
            checkpoints=_JobCheckpoints(context),
            on_progress=lambda progress: _tell(context, progress),
        )
    return _pack(result, farm, wanted.board, context)


def _pack(result: SearchResult, farm: QueueFarm, board: str, context: TaskContext) -> TaskResult:
    report = context.artifacts.put_bytes(context.project, render_report(result, board).encode())
    message = exploration_pb2.SearchResult(
        points=[point_to_proto(p, False, farm.results, farm.models) for p in result.points],
        baselines=[point_to_proto(p, True, farm.results, farm.models) for p in result.baselines],
        winner=result.winner,
        report=artifact_to_proto(report),
        networks_estimated=result.networks_estimated,
        networks_scored=result.networks_scored,
        tool_version=tool_version(),
        schema_version=SCHEMA_VERSION,
    )
    context.count("subnets_scored", result.networks_scored)
    return TaskResult(message.SerializeToString(), (report.name,))


def _tell(context: TaskContext, progress: Progress) -> None:
    detail = f": {progress.detail}" if progress.detail else ""
    context.progress(progress.fraction, f"{progress.phase} {progress.done}/{progress.total}{detail}")


def _dataset(wanted: exploration_pb2.SearchSpec, context: TaskContext) -> Dataset:
    asked = wanted.task.dataset
    sampling = sampling_from_proto(asked, wanted.seed)
    if asked.WhichOneof("source") == "builtin":
        return load_builtin(asked.builtin, sampling)
    with tempfile.TemporaryDirectory(prefix="tinyfarm-data-") as folder:
        path = Path(folder) / "data.npz"
        path.write_bytes(context.artifacts.get_bytes(asked.npz.name))
        return load_npz(path, sampling)


class _JobCheckpoints:
    """The search's checkpoints, kept with its job."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context

    def load(self, name: str) -> bytes | None:
        """Return what was saved under a name, or None."""
        return self._context.load_checkpoint(name)

    def save(self, name: str, content: bytes) -> None:
        """Save under a name."""
        self._context.save_checkpoint(name, content)


def worker_plan(settings: Settings) -> WorkerPlan:
    """Return what the search's workers do."""
    return WorkerPlan("search", {JobKind.SEARCH: "services.search.worker:search_task"}, ("search",))
