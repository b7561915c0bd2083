"""The whole evaluation as one list of steps: a C library, a board and arrays in, every figure out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from services.common.npz import ArraysError
from services.evaluator.arrays import Samples, read_samples, seeded_samples
from services.evaluator.boards.board import Board, Region, Run, Write
from services.evaluator.boards.unicorn import UnicornBoard
from services.evaluator.errors import BoardError
from services.evaluator.farm import BoardConfig, open_board
from services.evaluator.image import Image, build_image
from services.evaluator.interface import from_c, to_c
from services.evaluator.library import CLibrary, read_library
from services.evaluator.manifest import Manifest
from services.evaluator.measure.accuracy import Accuracy, top1
from services.evaluator.measure.latency import Counter
from services.evaluator.measure.memory import Fit, FlashSplit, SramSplit, fits, flash_split, sram_split
from services.evaluator.measure.performance import Performance, performance
from services.evaluator.protocol import PulledInput
from services.evaluator.toolchain import Toolchain, ToolchainKind
from services.evaluator.twin import Twin, raw_to_array

Array = npt.NDArray[Any]

# A budget far above what any kernel needs, so that only a loop without end meets it.
_BUDGET_BASE, _BUDGET_PER_MAC = 50_000_000, 400


@dataclass(frozen=True, slots=True)
class Request:
    """What to evaluate: a C library's zip and, if any, an .npz of inputs (`y` = labels).

    `board_samples` of the samples run on the board, None = all; the host twin runs all of them.
    """

    library: bytes
    arrays: bytes | None = None
    board_samples: int | None = None
    accuracy: bool = False
    toolchain: ToolchainKind = "zig"


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where tools keep caches, and how long a board or the twin may take for one answer."""

    cache: Path
    time_limit_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything known of a library on a board; `performance` and what follows is None when it does not fit."""

    name: str
    model_name: str
    board: str
    target: str
    schedule: str
    schedule_reason: str
    interface: Literal["int8", "float"]
    pulled_input: bool
    macs: int
    sram: SramSplit
    flash: FlashSplit
    fits: tuple[Fit, Fit]
    performance: Performance | None
    twin_equal: bool | None
    samples: int
    board_samples: int
    outputs: tuple[tuple[str, Array], ...]
    accuracy: Accuracy | None
    elf: bytes

    @property
    def fitting(self) -> bool:
        """True when the model fits the board and so was run."""
        return all(fit.ok for fit in self.fits)


@dataclass(frozen=True, slots=True)
class _Job:
    """What every step needs: the checked request."""

    request: Request
    board: BoardConfig
    workplace: Workplace
    library: CLibrary
    samples: Samples
    image: Image

    @property
    def manifest(self) -> Manifest:
        return self.library.manifest

    @property
    def inputs(self) -> tuple[Array, ...]:
        """The samples in the C code's types."""
        return tuple(to_c(spec, array) for spec, array in zip(self.manifest.inputs, self.samples.inputs, strict=True))


def evaluate(request: Request, board: BoardConfig, workplace: Workplace) -> Evaluation:
    """Evaluate a library on a board; see services/evaluator/errors.py for what may be raised."""
    library = read_library(request.library)
    samples = _samples(request, library.manifest)
    image = build_image(library, board.facts, Toolchain(request.toolchain, workplace.cache), board.port)
    job = _Job(request, board, workplace, library, samples, image)
    if not all(fit.ok for fit in fits(job.manifest, image)):
        return _without_run(job)
    inputs = job.inputs
    runs = _with_flash_misses(job, inputs, _run_on_board(job, inputs))
    twin_outputs = _run_on_twin(job, inputs)
    return _with_runs(job, runs, twin_outputs)


def _samples(request: Request, manifest: Manifest) -> Samples:
    if request.arrays is None:
        return seeded_samples(manifest.inputs)
    samples = read_samples(request.arrays, manifest.inputs)
    if request.accuracy and samples.labels is None:
        raise ArraysError(
            "accuracy needs labels: the .npz has no array 'y'", subject="y", allowed="one integer a sample"
        )
    return samples


def _run_on_board(job: _Job, inputs: tuple[Array, ...]) -> tuple[Run, ...]:
    manifest, limit = job.manifest, job.request.board_samples
    count = job.samples.count if limit is None else max(1, min(limit, job.samples.count))
    with open_board(job.board, job.workplace.cache, job.workplace.time_limit_seconds) as board:
        board.flash(job.image)
        return tuple(_run(board, manifest, inputs, sample) for sample in range(count))


def _with_flash_misses(job: _Job, inputs: tuple[Array, ...], runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """Run the slowest sample once more with the flash's caches modelled, where the target says how they are."""
    if job.image.target.flash_waits is None or job.board.kind != "unicorn":
        return runs
    counter = Counter(job.image)
    cycles = [counter.timing(run.profile).total.cycles if run.profile else 0.0 for run in runs]
    slowest = int(np.argmax(cycles))
    limit = job.workplace.time_limit_seconds
    with UnicornBoard(job.workplace.cache, limit, flash_caches=True) as board:
        board.flash(job.image)
        again = _run(board, job.manifest, inputs, slowest)
    first, second = runs[slowest].profile, again.profile
    if (
        first is None
        or second is None
        or again.outputs != runs[slowest].outputs
        or set(first.blocks) != set(second.blocks)
    ):
        raise BoardError("the run with modelled flash went another way than the run without", subject="board")
    timed = replace(runs[slowest], profile=replace(first, misses=second.misses))
    return (*runs[:slowest], timed, *runs[slowest + 1 :])


def _budget(manifest: Manifest) -> int:
    return _BUDGET_BASE + _BUDGET_PER_MAC * manifest.macs


def _run(board: Board, manifest: Manifest, inputs: tuple[Array, ...], sample: int) -> Run:
    """Run one of the samples [N, ...] in the C code's types."""
    raw = [np.ascontiguousarray(array[sample]).tobytes() for array in inputs]
    reads = tuple(Region(spec.offset_bytes, spec.size_bytes) for spec in manifest.outputs)
    if (pulled := manifest.pulled) is not None:
        image = PulledInput(raw[0], pulled.size_bytes // pulled.shape[1])
        return board.run((), reads, _budget(manifest), image)
    writes = tuple(Write(spec.offset_bytes, data) for spec, data in zip(manifest.inputs, raw, strict=True))
    return board.run(writes, reads, _budget(manifest))


def _run_on_twin(job: _Job, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
    with Twin(job.library, job.workplace.cache, job.workplace.time_limit_seconds) as twin:
        return twin.run(inputs)


def _board_outputs(manifest: Manifest, runs: tuple[Run, ...]) -> tuple[Array, ...]:
    return tuple(
        raw_to_array(spec, np.stack([np.frombuffer(run.outputs[number], np.uint8) for run in runs]))
        for number, spec in enumerate(manifest.outputs)
    )


def _without_run(job: _Job) -> Evaluation:
    """Return what is known of an image without running it: its identity and its memory."""
    manifest, image = job.manifest, job.image
    return Evaluation(
        name=manifest.name,
        model_name=manifest.model_name,
        board=job.board.name,
        target=image.target.name,
        schedule=manifest.schedule,
        schedule_reason=manifest.schedule_reason,
        interface=manifest.interface,
        pulled_input=manifest.pulled is not None,
        macs=manifest.macs,
        sram=sram_split(manifest, image, None),
        flash=flash_split(image),
        fits=fits(manifest, image),
        performance=None,
        twin_equal=None,
        samples=0,
        board_samples=0,
        outputs=(),
        accuracy=None,
        elf=image.elf,
    )


def _with_runs(job: _Job, runs: tuple[Run, ...], twin_outputs: tuple[Array, ...]) -> Evaluation:
    specs, labels = job.manifest.outputs, job.samples.labels
    outputs = _board_outputs(job.manifest, runs)
    accuracy = None
    if job.request.accuracy and labels is not None:
        accuracy = top1(from_c(specs[0], twin_outputs[0]), labels)
    return replace(
        _without_run(job),
        sram=sram_split(job.manifest, job.image, max(run.stack_bytes for run in runs)),
        performance=performance(job.manifest, job.image, runs),
        twin_equal=all(
            mine.tobytes() == its[: len(runs)].tobytes() for mine, its in zip(outputs, twin_outputs, strict=True)
        ),
        samples=job.samples.count,
        board_samples=len(runs),
        outputs=tuple((spec.name, from_c(spec, array)) for spec, array in zip(specs, outputs, strict=True)),
        accuracy=accuracy,
    )
