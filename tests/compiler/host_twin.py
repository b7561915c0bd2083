"""Compiled libraries as host programs: built by zig as shared objects, called through ctypes."""

from __future__ import annotations

import ctypes
import io
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.compiler.library import IoTensor, LibraryManifest
from services.compiler.pipeline import Compiled

Array = npt.NDArray[np.generic]

_FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wno-sign-conversion", "-Werror", "-pedantic")
_ALIGN = 16


READ_ROWS = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32)


@dataclass
class Camera:
    """Hands an image [1, H, W, C] out by rows; notes what it should not have been asked for. `fails_at` a row."""

    image: Array
    once: bool = True
    fails_at: int | None = None
    next_row: int = 0
    wrong: str = ""

    def read(self, _: int | None, rows: int, row: int, count: int) -> int:
        if self.fails_at is not None and row + count > self.fails_at:
            return 7
        if count < 1 or not 0 <= row <= row + count <= self.image.shape[1] or (self.once and row != self.next_row):
            self.wrong = f"rows {row} to {row + count} were asked for, row {self.next_row} comes next"
            return 8
        self.next_row = row + count
        asked = np.ascontiguousarray(self.image[0, row : row + count])
        ctypes.memmove(rows, asked.ctypes.data, asked.nbytes)
        return 0


@dataclass(frozen=True)
class HostTwin:
    """One library's invoke, with an arena that has guard bytes on both sides."""

    manifest: LibraryManifest
    library: ctypes.CDLL

    def run(self, *inputs: Array) -> tuple[Array, ...]:
        """Return the outputs in the C code's types; fails if a byte outside the arena was written.

        Where it is streamed, rows of an input that is pulled must be asked for once each and in order.
        """
        size, guard = self.manifest.memory.arena, 64
        raw = np.full(size + 2 * guard + _ALIGN, 0xA5, dtype=np.uint8)
        start = guard + (-(raw.ctypes.data + guard)) % _ALIGN
        arena = raw[start : start + size]
        for slot, values in zip(self.manifest.inputs, inputs, strict=True):
            assert values.dtype == np.dtype(slot.dtype), (slot, values.dtype)
            if not slot.pulled:
                self._bytes(arena, slot)[:] = np.ascontiguousarray(values).view(np.uint8).ravel()
        assert self._invoke(arena, inputs[0]) == 0
        assert (raw[:start] == 0xA5).all() and (raw[start + size :] == 0xA5).all(), "wrote outside the arena"
        return tuple(
            self._bytes(arena, slot).copy().view(slot.dtype).reshape(slot.shape) for slot in self.manifest.outputs
        )

    def _invoke(self, arena: npt.NDArray[np.uint8], image: Array) -> int:
        invoke = self.library[f"{self.manifest.name}_invoke"]
        if not self.manifest.inputs[0].pulled:
            return int(invoke(ctypes.c_void_p(arena.ctypes.data)))
        # what a reshape makes an image is pulled as that image
        image = image.reshape(self.manifest.inputs[0].shape)
        camera = Camera(image, once=self.manifest.schedule == "streaming")
        code = invoke(ctypes.c_void_p(arena.ctypes.data), READ_ROWS(camera.read), None)
        assert not camera.wrong, camera.wrong
        return int(code)

    @staticmethod
    def _bytes(arena: npt.NDArray[np.uint8], slot: IoTensor) -> npt.NDArray[np.uint8]:
        return arena[slot.offset_bytes : slot.offset_bytes + slot.size_bytes]


def build_twins(compiled: Sequence[Compiled], folder: Path, *, optimize: str = "-O2") -> list[HostTwin]:
    """Build libraries of different names into one shared object."""
    sources: dict[str, None] = {}
    for one in compiled:
        with zipfile.ZipFile(io.BytesIO(one.library_zip)) as archive:
            archive.extractall(folder)
        sources |= dict.fromkeys(one.manifest.sources)
    target = folder / "twin.so"
    command = (sys.executable, "-m", "ziglang", "cc", *_FLAGS, optimize, "-shared", "-fPIC", "-fno-sanitize=all")
    subprocess.run([*command, "-o", target.name, *sources], cwd=folder, check=True, timeout=300)
    library = ctypes.CDLL(str(target))
    return [HostTwin(one.manifest, library) for one in compiled]
