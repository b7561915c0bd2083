"""The compiler and the evaluator, as a search uses them: estimates in batches, measurements through the queue."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from services.common.boards import find_board
from services.common.clients import Peer
from services.common.convert import artifact_to_proto
from services.common.errors import FarmError
from services.common.jobs.task import TaskContext
from services.common.npz import write_npz
from services.search.convert import (
    costs_from_estimate,
    measurement_from_proto,
    misfit_text,
    network_to_proto,
    targets_from_proto,
)
from services.search.ports import Candidate, Costs, Failure, Measurement
from services.search.space.network import Network
from tinyfarm.v1 import (
    artifact_pb2,
    compile_pb2,
    compiler_pb2,
    compiler_pb2_grpc,
    evaluation_pb2,
    evaluator_pb2,
    evaluator_pb2_grpc,
    exploration_pb2,
    metric_pb2,
    network_pb2,
)

_BATCH = 256
# Candidates under way at a time: the queue decides how many boards really run.
_PARALLEL = 8
_BOARD_SAMPLES = 5


class CompilerEstimator:
    """The search's Estimator over CompilerService.Estimate."""

    def __init__(self, peer: Peer, target: str, options: compile_pb2.CompileOptions, context: TaskContext) -> None:
        self._peer = peer
        self._stub = compiler_pb2_grpc.CompilerServiceStub(peer.channel)
        self.target = target
        self.options = options
        self._context = context

    def estimate(self, networks: Sequence[Network]) -> Sequence[Costs | Failure]:
        """Return one answer a network, in order."""
        answers: list[Costs | Failure] = []
        for start in range(0, len(networks), _BATCH):
            batch = networks[start : start + _BATCH]
            answers += self._ask([network_to_proto(n) for n in batch], exact_plan=False)
            self._context.count("networks_estimated", len(batch))
        return answers

    def estimate_compiled(self, network: network_pb2.Network) -> Costs | Failure:
        """Return the answer for a network as the compiler gave it back, planned as it was compiled."""
        (answer,) = self._ask([network], exact_plan=True)
        return answer

    def _ask(self, networks: Sequence[network_pb2.Network], *, exact_plan: bool) -> list[Costs | Failure]:
        request = compiler_pb2.EstimateRequest(
            networks=networks, target=self.target, options=self.options, exact_plan=exact_plan
        )
        answer = self._peer.call(self._stub.Estimate, request)
        return [costs_from_estimate(e) for e in answer.estimates]


class QueueFarm:
    """The search's Farm: each candidate is a quantize, a compile and an evaluation job on the queue.

    `results` keeps every evaluation by the name of its job, `models` the quantized model that it measured.
    """

    def __init__(
        self, compiler: Peer, evaluator: Peer, board: str, estimator: CompilerEstimator, context: TaskContext
    ) -> None:
        self._compiler = compiler
        self._evaluator = evaluator
        self._compile = compiler_pb2_grpc.CompilerServiceStub(compiler.channel)
        self._evaluate = evaluator_pb2_grpc.EvaluatorServiceStub(evaluator.channel)
        self._board = board
        self._estimator = estimator
        self._context = context
        self.results: dict[str, evaluation_pb2.EvaluationResult] = {}
        self.models: dict[str, artifact_pb2.Artifact] = {}

    def measure(
        self, candidates: Sequence[Candidate], on_done: Callable[[int], None]
    ) -> Sequence[Measurement | Failure]:
        """Return one answer a candidate, in order; what is measured is published as it comes."""
        answers: dict[int, Measurement | Failure] = {}
        with ThreadPoolExecutor(min(_PARALLEL, max(1, len(candidates)))) as pool:
            waiting = {pool.submit(self._measure, c): i for i, c in enumerate(candidates)}
            for done in as_completed(waiting):
                answers[waiting[done]] = done.result()
                self._publish(candidates, answers)
                on_done(len(answers))
        return [answers[i] for i in range(len(candidates))]

    def _measure(self, candidate: Candidate) -> Measurement | Failure:
        try:
            model = self._quantized(candidate)
            compiled = self._compiled(candidate, model)
            estimate = self._estimator.estimate_compiled(compiled.network)
            if isinstance(estimate, Failure):
                return estimate
            asked = self._evaluator.call(self._evaluate.SubmitEvaluation, self._request(candidate, model))
            job = self._evaluator.wait(asked.job)
        except FarmError as error:
            return Failure(error.message)
        result = job.evaluation_result
        self.results[job.name] = result
        self.models[job.name] = model
        if not result.fits:
            return Failure("; ".join(misfit_text(m) for m in result.misfits))
        quantized = self._context.artifacts.get_bytes(model.name)
        return measurement_from_proto(result, estimate, quantized, job.name, compiled.manifest_json)

    def _quantized(self, candidate: Candidate) -> artifact_pb2.Artifact:
        request = compiler_pb2.SubmitQuantizeRequest(
            project=self._context.project,
            request_id=self._request_id("quantize", candidate.onnx),
            spec=compile_pb2.QuantizeSpec(
                model=self._put(candidate.onnx),
                calibration=self._put(write_npz({"input": candidate.calibration})),
                model_name=candidate.name,
            ),
        )
        asked = self._compiler.call(self._compile.SubmitQuantize, request)
        return self._compiler.wait(asked.job).quantize_result.model

    def _compiled(self, candidate: Candidate, model: artifact_pb2.Artifact) -> compile_pb2.CompileResult:
        """Return the network as compiled; the evaluation asks for the same work, which is done once."""
        request = compiler_pb2.SubmitCompileRequest(
            project=self._context.project,
            request_id=self._request_id("compile", candidate.onnx),
            spec=compile_pb2.CompileSpec(
                model=model,
                model_name=candidate.name,
                target=self._estimator.target,
                options=self._estimator.options,
            ),
        )
        asked = self._compiler.call(self._compile.SubmitCompile, request)
        return self._compiler.wait(asked.job).compile_result

    def _request(self, candidate: Candidate, model: artifact_pb2.Artifact) -> evaluator_pb2.SubmitEvaluationRequest:
        return evaluator_pb2.SubmitEvaluationRequest(
            project=self._context.project,
            request_id=self._request_id("evaluate", candidate.onnx),
            spec=evaluation_pb2.EvaluationSpec(
                model=model,
                model_name=candidate.name,
                board=self._board,
                options=self._estimator.options,
                data=self._put(write_npz({"x": candidate.eval_x, "y": candidate.eval_y})),
                board_samples=_BOARD_SAMPLES,
                return_firmware=True,
            ),
        )

    def _request_id(self, step: str, onnx: bytes) -> str:
        """Return the same id for the same step of the same candidate, so that a resumed search finds its jobs."""
        return f"{self._context.job_id}-{step}-{hashlib.sha256(onnx).hexdigest()[:16]}"

    def _put(self, data: bytes) -> artifact_pb2.Artifact:
        return artifact_to_proto(self._context.artifacts.put_bytes(self._context.project, data))

    def _publish(self, candidates: Sequence[Candidate], answers: dict[int, Measurement | Failure]) -> None:
        points = [
            exploration_pb2.FrontPoint(
                name=candidates[i].name,
                measured=self.results[answer.reference],
                accuracy=metric_pb2.Metric(name="accuracy", value=answer.accuracy, unit="ratio"),
            )
            for i, answer in sorted(answers.items())
            if isinstance(answer, Measurement)
        ]
        self._context.publish(exploration_pb2.SearchResult(points=points).SerializeToString())


def board_target(peer: Peer, name: str) -> str:
    """Return the target of the board that a name means; BoardUnknownError names the boards there are."""
    stub = evaluator_pb2_grpc.EvaluatorServiceStub(peer.channel)
    targets = targets_from_proto(peer.call(stub.ListBoards, evaluator_pb2.ListBoardsRequest()))
    return targets[find_board(name, targets)]
