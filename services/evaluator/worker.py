"""The evaluator's jobs, as its child processes run them."""

from __future__ import annotations

from dataclasses import replace

from services.common.convert import artifact_to_proto
from services.common.identity import tool_version
from services.common.jobs.record import JobKind
from services.common.jobs.task import TaskContext, TaskResult
from services.common.jobs.worker import WorkerPlan
from services.common.settings import Settings
from services.evaluator.clients import CompiledLibrary, compile_library
from services.evaluator.convert import outputs_to_npz, queue_of, result_to_proto
from services.evaluator.evaluate import Evaluation, Request, Workplace, evaluate
from services.evaluator.farm import BoardConfig, load_farm
from tinyfarm.v1 import compile_pb2, evaluation_pb2

_BOARD_SAMPLES = 5


def evaluate_task(spec: bytes, context: TaskContext) -> TaskResult:
    """Compile where a model is given, then run and measure on the board."""
    wanted = evaluation_pb2.EvaluationSpec.FromString(spec)
    board = load_farm(context.settings.boards).board(wanted.board)
    library = _library(wanted, board, context)
    context.progress(0.3, f"build firmware, run on {board.name}")
    evaluation, outputs = _evaluate(wanted, board, context.artifacts.get_bytes(library.artifact.name), context)
    context.progress(0.95, "store the results")
    _count(evaluation, context)

    result = result_to_proto(evaluation)
    result.tool_version = tool_version()
    result.library.CopyFrom(library.artifact)
    result.library_cached = library.cached
    result.kernels = library.kernels
    result.peak_layer = library.peak_layer
    names = [library.artifact.name]
    for field, content in (("outputs", outputs), ("firmware", evaluation.elf if wanted.return_firmware else None)):
        if content is not None:
            stored = context.artifacts.put_bytes(context.project, content)
            getattr(result, field).CopyFrom(artifact_to_proto(stored))
            names.append(stored.name)
    return TaskResult(result.SerializeToString(), tuple(names))


def _library(wanted: evaluation_pb2.EvaluationSpec, board: BoardConfig, context: TaskContext) -> CompiledLibrary:
    if wanted.HasField("library"):
        return CompiledLibrary(wanted.library, False, compile_pb2.KERNELS_UNSPECIFIED, 0)
    context.progress(0.05, "compile")
    return compile_library(
        context,
        compile_pb2.CompileSpec(
            model=wanted.model, model_name=wanted.model_name, target=board.target, options=wanted.options
        ),
    )


def _evaluate(
    wanted: evaluation_pb2.EvaluationSpec, board: BoardConfig, library: bytes, context: TaskContext
) -> tuple[Evaluation, bytes | None]:
    """Return the figures and, where inputs were given, their outputs.

    Inputs all run on the board; of labeled data some samples do, and all of it on the host twin.
    """
    cache = (context.settings.cache / "evaluator").expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    workplace = Workplace(cache, max(1.0, context.remaining_s()))
    data_samples = wanted.board_samples or _BOARD_SAMPLES
    measured = outputs = None
    if wanted.HasField("data"):
        arrays = context.artifacts.get_bytes(wanted.data.name)
        measured = evaluate(Request(library, arrays, data_samples, accuracy=True), board, workplace)
    if wanted.HasField("inputs") and (measured is None or measured.fitting):
        arrays = context.artifacts.get_bytes(wanted.inputs.name)
        run = evaluate(Request(library, arrays), board, workplace)
        outputs = outputs_to_npz(run) if run.fitting else None
        measured = run if measured is None else _joined(measured, run)
    if measured is None:
        measured = evaluate(Request(library), board, workplace)
    return measured, outputs


def _joined(measured: Evaluation, run: Evaluation) -> Evaluation:
    """Return the figures of labeled data, with the samples of both runs counted."""
    return replace(
        measured,
        twin_equal=bool(measured.twin_equal and run.twin_equal),
        samples=measured.samples + run.samples,
        board_samples=measured.board_samples + run.board_samples,
    )


def _count(evaluation: Evaluation, context: TaskContext) -> None:
    context.count("samples_on_board", evaluation.board_samples)
    context.count("samples_on_twin", evaluation.samples)
    if evaluation.performance is not None:
        instructions = evaluation.performance.instructions * evaluation.board_samples
        context.count("instructions_simulated", instructions)
        context.count("simulator_seconds", instructions / max(evaluation.performance.simulated_mips, 1e-9) / 1e6)


def worker_plan(settings: Settings) -> WorkerPlan:
    """Return what the evaluator's workers do: the jobs of every board in the boards file."""
    queues = tuple(dict.fromkeys(queue_of(board) for board in load_farm(settings.boards).boards))
    return WorkerPlan("evaluator", {JobKind.EVALUATE: "services.evaluator.worker:evaluate_task"}, queues)
