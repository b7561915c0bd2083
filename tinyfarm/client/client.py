"""`Client`: everything a stack can do, as typed calls."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from tinyfarm.client import submit
from tinyfarm.client.address import check_server, resolve_server
from tinyfarm.client.arrays import read_npz, write_npz
from tinyfarm.client.artifacts import Artifacts
from tinyfarm.client.budgets import Budgets
from tinyfarm.client.channel import Connection
from tinyfarm.client.check import CheckReport, report_of
from tinyfarm.client.errors import InvalidInputError
from tinyfarm.client.jobs import Jobs, OnEvent
from tinyfarm.client.options import compile_options
from tinyfarm.v1 import (
    artifact_pb2,
    compile_pb2,
    compiler_pb2,
    evaluation_pb2,
    evaluator_pb2,
    exploration_pb2,
    job_options_pb2,
    job_pb2,
    search_pb2,
)

Source = bytes | Path | str
Arrays = Mapping[str, npt.NDArray[np.generic]] | npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class RunResult:
    """Outputs of the samples in the model's own types, `[samples, ...]` by name, and the measurement of the run."""

    outputs: dict[str, npt.NDArray[np.generic]]
    evaluation: evaluation_pb2.EvaluationResult
    job: job_pb2.Job


class Client:
    """A connection to one tinyfarm stack.

    Every call has a deadline, is tried again while the server is unavailable, and raises one of the errors of
    `tinyfarm.client.errors`. Safe to use from several threads.

    >>> from tinyfarm import Client
    >>> with Client() as client:
    ...     report = client.check(model, board="nano33ble", budgets=Budgets(sram_bytes=64 * 1024))
    >>> report.passed
    True
    >>> report.document["instructions"]["kind"]
    'exact'
    """

    def __init__(self, address: str | None = None, *, project: str = "default") -> None:
        """Connect to HOST:PORT, else to TINYFARM_SERVER, else to the running embedded stack."""
        self._connection = Connection(check_server(address) if address else resolve_server())
        self.project = project
        self.artifacts = Artifacts(self._connection, project)
        self.jobs = Jobs(self._connection, project)

    @property
    def server(self) -> str:
        """HOST:PORT that this client talks to."""
        return self._connection.server

    def close(self) -> None:
        """Close the connection; jobs go on."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Submits return at once with the job.

    def submit_compile(
        self,
        model: Source,
        *,
        target: str,
        name: str = "",
        options: compile_pb2.CompileOptions | None = None,
        job: job_options_pb2.JobOptions | None = None,
        request_id: str = "",
    ) -> job_pb2.Job:
        """Ask for the C library of a .tflite or .onnx model."""
        request = compiler_pb2.SubmitCompileRequest(
            project=self.project,
            request_id=request_id or uuid.uuid4().hex,
            spec=compile_pb2.CompileSpec(
                model=self.artifacts.put(model),
                model_name=name or submit.name_of(model),
                target=target,
                options=options,
            ),
            options=job,
        )
        return self._connection.call(self._connection.compiler.SubmitCompile, request).job

    def submit_quantize(
        self,
        model: Source,
        *,
        calibration: Source,
        name: str = "",
        max_samples: int = 0,
        weights: compile_pb2.WeightType.ValueType = compile_pb2.WEIGHT_TYPE_UNSPECIFIED,
        job: job_options_pb2.JobOptions | None = None,
        request_id: str = "",
    ) -> job_pb2.Job:
        """Ask for the QDQ form of a float .onnx model; `calibration` an .npz with arrays of its inputs."""
        request = compiler_pb2.SubmitQuantizeRequest(
            project=self.project,
            request_id=request_id or uuid.uuid4().hex,
            spec=compile_pb2.QuantizeSpec(
                model=self.artifacts.put(model),
                calibration=self.artifacts.put(calibration),
                model_name=name or submit.name_of(model),
                max_samples=max_samples,
                weights=weights,
            ),
            options=job,
        )
        return self._connection.call(self._connection.compiler.SubmitQuantize, request).job

    def submit_evaluation(
        self,
        model: Source | None = None,
        *,
        board: str,
        library: Source | None = None,
        name: str = "",
        options: compile_pb2.CompileOptions | None = None,
        inputs: Source | None = None,
        data: Source | None = None,
        board_samples: int = 0,
        return_firmware: bool = False,
        job: job_options_pb2.JobOptions | None = None,
        request_id: str = "",
    ) -> job_pb2.Job:
        """Ask for the measurement of a model, or of a compiled C library, on a board."""
        if (model is None) == (library is None):
            raise InvalidInputError("give a model or a library, not both", reason="BAD_SUBJECT", subject="model")
        request = evaluator_pb2.SubmitEvaluationRequest(
            project=self.project,
            request_id=request_id or uuid.uuid4().hex,
            spec=evaluation_pb2.EvaluationSpec(
                model=self._put_optional(model),
                library=self._put_optional(library),
                model_name=name or submit.name_of(model if model is not None else library),
                board=board,
                options=options,
                inputs=self._put_optional(inputs),
                data=self._put_optional(data),
                board_samples=board_samples,
                return_firmware=return_firmware,
            ),
            options=job,
        )
        return self._connection.call(self._connection.evaluator.SubmitEvaluation, request).job

    def submit_search(
        self,
        spec: exploration_pb2.SearchSpec,
        *,
        data: Source | None = None,
        job: job_options_pb2.JobOptions | None = None,
        request_id: str = "",
    ) -> job_pb2.Job:
        """Ask for a search; `data`, an .npz with x and y, replaces the data set of the specification."""
        sent = exploration_pb2.SearchSpec()
        sent.CopyFrom(spec)
        if data is not None:
            sent.task.dataset.npz.CopyFrom(self.artifacts.put(data))
        request = search_pb2.SubmitSearchRequest(
            project=self.project, request_id=request_id or uuid.uuid4().hex, spec=sent, options=job
        )
        return self._connection.call(self._connection.search.SubmitSearch, request).job

    # These wait for the result; `on_event` sees every event of the job.

    def compile(
        self,
        model: Source,
        *,
        target: str,
        name: str = "",
        options: compile_pb2.CompileOptions | None = None,
        on_event: OnEvent | None = None,
    ) -> compile_pb2.CompileResult:
        """The C library of a model, its memory and whether it fits the target."""
        job = self.submit_compile(model, target=target, name=name, options=options)
        return self.jobs.wait(job.name, on_event).compile_result

    def quantize(
        self,
        model: Source,
        *,
        calibration: Source,
        name: str = "",
        weights: compile_pb2.WeightType.ValueType = compile_pb2.WEIGHT_TYPE_UNSPECIFIED,
        on_event: OnEvent | None = None,
    ) -> compile_pb2.QuantizeResult:
        """The QDQ form of a float .onnx model, with int8 weights unless others are named."""
        job = self.submit_quantize(model, calibration=calibration, name=name, weights=weights)
        return self.jobs.wait(job.name, on_event).quantize_result

    def evaluate(
        self,
        model: Source | None = None,
        *,
        board: str,
        library: Source | None = None,
        options: compile_pb2.CompileOptions | None = None,
        data: Source | None = None,
        board_samples: int = 0,
        on_event: OnEvent | None = None,
    ) -> evaluation_pb2.EvaluationResult:
        """The measurement of a model, or of a compiled C library, on a board."""
        job = self.submit_evaluation(
            model, board=board, library=library, options=options, data=data, board_samples=board_samples
        )
        return self.jobs.wait(job.name, on_event).evaluation_result

    def search(
        self, spec: exploration_pb2.SearchSpec, *, data: Source | None = None, on_event: OnEvent | None = None
    ) -> exploration_pb2.SearchResult:
        """The measured Pareto front of a search."""
        return self.jobs.wait(self.submit_search(spec, data=data).name, on_event).search_result

    def run(
        self,
        model: Source,
        inputs: Arrays | Source,
        *,
        board: str,
        name: str = "",
        max_sram_bytes: int | None = None,
        schedule: str = "auto",
        pull_input: bool = False,
        interface: compile_pb2.Interface.ValueType = compile_pb2.INTERFACE_UNSPECIFIED,
        kernels: compile_pb2.Kernels.ValueType = compile_pb2.KERNELS_UNSPECIFIED,
        on_event: OnEvent | None = None,
    ) -> RunResult:
        """Run samples through the firmware on a board.

        Inputs are `[samples, ...]`: a mapping by tensor name, one array, or an .npz. `max_sram_bytes` is what the
        planner keeps to if it can; `pull_input` leaves the input with the caller, who is asked for its rows. Where
        the model does not fit the board, `outputs` is empty and `evaluation.misfits` says why.
        """
        job = self.submit_evaluation(
            model,
            board=board,
            name=name,
            options=compile_options(
                schedule=schedule,
                budgets=Budgets(max_sram_bytes),
                pull_input=pull_input,
                interface=interface,
                kernels=kernels,
            ),
            inputs=inputs if isinstance(inputs, bytes | Path | str) else write_npz(inputs),
        )
        done = self.jobs.wait(job.name, on_event)
        result = done.evaluation_result
        outputs = read_npz(self.artifacts.get(result.outputs)) if result.HasField("outputs") else {}
        return RunResult(outputs, result, done)

    def check(
        self,
        model: Source,
        *,
        board: str,
        name: str = "",
        budgets: Budgets | None = None,
        data: Source | None = None,
        board_samples: int = 0,
        schedule: str = "auto",
        pull_input: bool = False,
        interface: compile_pb2.Interface.ValueType = compile_pb2.INTERFACE_UNSPECIFIED,
        kernels: compile_pb2.Kernels.ValueType = compile_pb2.KERNELS_UNSPECIFIED,
        on_event: OnEvent | None = None,
    ) -> CheckReport:
        """Measure a model on a board and hold it against budgets; `report.document` is the tinyfarm.check/1 JSON."""
        limits = budgets if budgets is not None else Budgets()
        if limits.accuracy is not None and data is None:
            raise InvalidInputError(
                "an accuracy budget needs data to measure it on",
                reason="NO_DATA",
                subject="data",
                allowed="an .npz with x and y",
            )
        job = self.submit_evaluation(
            model,
            board=board,
            name=name,
            options=compile_options(
                schedule=schedule, budgets=limits, pull_input=pull_input, interface=interface, kernels=kernels
            ),
            data=data,
            board_samples=board_samples,
        )
        return report_of(self.jobs.wait(job.name, on_event), limits, schedule)

    # Reads.

    def boards(self) -> tuple[evaluation_pb2.Board, ...]:
        """The boards of the farm."""
        request = evaluator_pb2.ListBoardsRequest()
        return tuple(self._connection.call(self._connection.evaluator.ListBoards, request).boards)

    def targets(self) -> tuple[evaluation_pb2.Target, ...]:
        """The chips that can be compiled for."""
        request = evaluator_pb2.ListTargetsRequest()
        return tuple(self._connection.call(self._connection.evaluator.ListTargets, request).targets)

    def supported_ops(self) -> tuple[compile_pb2.SupportedOp, ...]:
        """The operators that the compiler knows, with their restrictions."""
        request = compiler_pb2.ListSupportedOpsRequest()
        return tuple(self._connection.call(self._connection.compiler.ListSupportedOps, request).ops)

    def front(self, job: str) -> search_pb2.GetFrontResponse:
        """The points that a search knows so far."""
        request = search_pb2.GetFrontRequest(job=self.jobs.full_name(job))
        return self._connection.call(self._connection.search.GetFront, request)

    def get(self, job: str) -> job_pb2.Job:
        """The record of a job, by name or id."""
        return self.jobs.get(job)

    def cancel(self, job: str) -> job_pb2.Job:
        """Cancel a job; a finished job is returned unchanged."""
        return self.jobs.cancel(job)

    def watch(self, job: str, resume_token: str = "") -> Iterator[job_pb2.JobEvent]:
        """Every event of a job once, until it ends."""
        return self.jobs.watch(job, resume_token)

    def _put_optional(self, source: Source | None) -> artifact_pb2.Artifact | None:
        return None if source is None else self.artifacts.put(source)
