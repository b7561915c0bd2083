"""What the search asks of others: costs of networks, measurements on a farm, and a place for checkpoints.

Sizes are bytes. Estimates are modelled or exact as the compiler says; measurements come from the farm's boards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from services.search.space.network import Network


@dataclass(frozen=True, slots=True)
class Sram:
    """Memory at the peak step; the first four are the arena."""

    input: int
    activations: int
    line_buffers: int = 0
    scratch: int = 0
    static: int = 0
    stack: int = 0

    @property
    def arena(self) -> int:
        """Bytes of the arena."""
        return self.input + self.activations + self.line_buffers + self.scratch

    @property
    def total(self) -> int:
        """Everything writable."""
        return self.arena + self.static + self.stack


@dataclass(frozen=True, slots=True)
class Flash:
    """Read-only memory of the network."""

    code: int
    weights: int
    tables: int = 0

    @property
    def total(self) -> int:
        """Everything read-only."""
        return self.code + self.weights + self.tables


@dataclass(frozen=True, slots=True)
class Costs:
    """What a network costs on a target: predicted by Estimate or measured by the farm.

    `latency_us` and `energy_uj` are None where the target states no clock or no energy per cycle; `misfits` says,
    in a sentence each, why the network does not fit the chip itself.
    """

    sram: Sram
    flash: Flash
    macs: int
    latency_us: float | None = None
    energy_uj: float | None = None
    misfits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one network of a batch has no answer; the others have theirs."""

    message: str


class Estimator(Protocol):
    """Costs of weight-free networks on the search's target."""

    def estimate(self, networks: Sequence[Network]) -> Sequence[Costs | Failure]:
        """Return one answer a network, in order. Any number of networks is allowed."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained network for the farm.

    `onnx` is a float32 model with input `input` [1, H, W, C] and output `logits` [1, classes]. `calibration` and
    `eval_x` are float32 [N, H, W, C] inputs of that model, already preprocessed; `eval_y` int64 [N] classes.
    """

    name: str
    onnx: bytes
    calibration: npt.NDArray[np.float32]
    eval_x: npt.NDArray[np.float32]
    eval_y: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the farm found for a candidate, as deployed in int8.

    `estimate` is what the compiler predicts for the network as compiled: quantized, without the channels that its
    weights make constant. `reference` names the farm's record of it (for instance the evaluation job) for whoever
    wants library, firmware and the rest, `manifest` is the C library's (JSON, schema tinyfarm.library/1), empty where
    there is none. `twin_equal` is None where no sample was run on the board.
    """

    costs: Costs
    estimate: Costs
    accuracy: float
    model: bytes
    instructions: int | None = None
    cycles: float | None = None
    twin_equal: bool | None = None
    reference: str = ""
    manifest: str = ""


class Farm(Protocol):
    """Quantizes, compiles and measures candidates on a board; several at a time where it can."""

    def measure(
        self, candidates: Sequence[Candidate], on_done: Callable[[int], None]
    ) -> Sequence[Measurement | Failure]:
        """Return one answer a candidate, in order; call `on_done` with the count finished so far."""
        ...


class Checkpoints(Protocol):
    """Named byte strings that outlive this process; a name written again is replaced whole or not at all."""

    def load(self, name: str) -> bytes | None:
        """Return what was saved under a name ([a-z0-9-]+), or None."""
        ...

    def save(self, name: str, content: bytes) -> None:
        """Save under a name."""
        ...
