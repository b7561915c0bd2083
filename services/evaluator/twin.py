"""The host twin: the same C built for this machine, run over whole data sets in a process of its own."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from services.common.host_compiler import ToolchainError, build_for_host
from services.evaluator.errors import BoardTimeoutError, ProgramFault
from services.evaluator.image import write_sources
from services.evaluator.library import CLibrary
from services.evaluator.manifest import TensorSpec

_SOURCE = Path(__file__).parent / "firmware" / "twin.c"

Array = npt.NDArray[Any]


class Twin:
    """A library built for the host. A crash of the model's code ends its own process only."""

    def __init__(self, library: CLibrary, cache: Path, time_limit_seconds: float = 600.0) -> None:
        library = replace(library, manifest=library.manifest.for_host())
        self._manifest = library.manifest
        self._limit = time_limit_seconds
        self._folder = tempfile.TemporaryDirectory(prefix="tinyfarm-twin-")
        folder = Path(self._folder.name)
        write_sources(library, folder)
        self._program = folder / "tf_twin"
        pulled = self._manifest.pulled
        flags = (
            '-DTF_MODEL_HEADER="tf_harness_model.h"',
            f"-I{folder}",
            f"-DTF_IMAGE_BYTES={pulled.size_bytes}" if pulled else f"-DTF_INPUTS={_regions(self._manifest.inputs)}",
            f"-DTF_OUTPUTS={_regions(self._manifest.outputs)}",
        )
        sources = tuple(folder / name for name in self._manifest.sources)
        try:
            build_for_host(cache, (_SOURCE, *sources), self._program, shared=False, flags=flags)
        except ToolchainError:
            self.close()
            raise

    def run(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Run samples [N, ...] in the C code's types; return outputs [N, ...] in the C code's types.

        Raises BoardTimeoutError beyond the time limit, ProgramFault where the program ends with an error.
        """
        count = len(inputs[0])
        rows = [np.ascontiguousarray(array).reshape(count, -1).view(np.uint8) for array in inputs]
        try:
            done = subprocess.run(
                [str(self._program)],
                input=np.concatenate(rows, axis=1).tobytes(),
                capture_output=True,
                timeout=self._limit,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise BoardTimeoutError(
                f"the host twin took more than {self._limit:g} s for {count} samples",
                subject="twin",
                value=count,
                allowed=self._limit,
            ) from error
        sizes = [spec.size_bytes for spec in self._manifest.outputs]
        if done.returncode != 0 or len(done.stdout) != count * sum(sizes):
            text = done.stderr.decode(errors="replace").strip()[:200]
            raise ProgramFault(
                f"the host twin ended with code {done.returncode}: {text}", subject="twin", value=done.returncode
            )
        raw = np.frombuffer(done.stdout, np.uint8).reshape(count, -1)
        ends = np.cumsum(sizes)
        return tuple(
            raw_to_array(spec, raw[:, end - spec.size_bytes : end])
            for spec, end in zip(self._manifest.outputs, ends, strict=True)
        )

    def close(self) -> None:
        """Remove the program."""
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def raw_to_array(spec: TensorSpec, raw: npt.NDArray[np.uint8]) -> Array:
    """Return bytes [N, size_bytes] as an array of the C code's type [N, ...]."""
    shape = spec.shape[1:] if spec.shape[0] == 1 else spec.shape
    return np.ascontiguousarray(raw).view(np.dtype(spec.dtype)).reshape(len(raw), *shape)


def _regions(specs: tuple[TensorSpec, ...]) -> str:
    return "{" + ",".join(f"{{{spec.offset_bytes}u,{spec.size_bytes}u}}" for spec in specs) + "}"
