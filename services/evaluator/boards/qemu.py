"""A board in QEMU: mps2-an386 (Cortex-M4) or mps2-an500 (Cortex-M7), an independent oracle for instruction counts.

With `-icount shift=0` virtual time is 1 ns for each instruction: a tick of the CMSDK timer (25 MHz) is forty of them.
"""

from __future__ import annotations

import selectors
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from services.common.host_compiler import ToolchainMissingError
from services.evaluator.boards.board import Region, Run, Write, exchange
from services.evaluator.errors import BoardError, BoardTimeoutError
from services.evaluator.image import Image
from services.evaluator.protocol import Line, PulledInput, Session

INSTRUCTIONS_PER_TICK = 40
_PROGRAM = "qemu-system-arm"
_MACHINES = {"cortex-m4": "mps2-an386", "cortex-m7": "mps2-an500"}


def qemu_installed() -> bool:
    """Return whether QEMU for Arm is on the PATH."""
    return shutil.which(_PROGRAM) is not None


class QemuBoard:
    """One QEMU process; the firmware must be built for the semihosting port and a target with QEMU's memory map.

    `Run.counter` is in timer ticks. An endless loop meets the time limit, not an instruction budget.
    """

    def __init__(self, time_limit_seconds: float = 300.0) -> None:
        if not qemu_installed():
            raise ToolchainMissingError(
                f"{_PROGRAM} is not on the PATH", subject="board", value="qemu", allowed="install qemu-system-arm"
            )
        self._limit = time_limit_seconds
        self._image: Image | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="tinyfarm-qemu-")

    def flash(self, image: Image) -> None:
        """Start QEMU on the image."""
        self._stop()
        self._image = image
        program = Path(self._folder.name) / "firmware.elf"
        program.write_bytes(image.elf)
        machine = _MACHINES.get(image.target.core)
        if machine is None:
            raise BoardError(
                f"no QEMU machine for {image.target.core}",
                subject="core",
                value=image.target.core,
                allowed=", ".join(_MACHINES),
            )
        self._process = subprocess.Popen(
            [
                _PROGRAM,
                "-machine",
                machine,
                "-icount",
                "shift=0",
                "-display",
                "none",
                "-monitor",
                "none",
                "-serial",
                "none",
                "-semihosting-config",
                "enable=on,target=native",
                "-kernel",
                str(program),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self._session = Session(Line(self._write, self._read))

    def run(
        self,
        writes: tuple[Write, ...],
        reads: tuple[Region, ...],
        budget_instructions: int,
        pulled: PulledInput | None = None,
    ) -> Run:
        """Run once; QEMU keeps no profile."""
        outputs, counter, stack = exchange(self._session, writes, reads, pulled)
        return Run(outputs, counter, stack, None)

    def reset(self) -> None:
        """Start the image again in a new process."""
        if self._image is None:
            raise BoardError("the board was never flashed", subject="board")
        self.flash(self._image)

    def close(self) -> None:
        """End QEMU."""
        self._stop()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            self._process = None

    def _write(self, data: bytes) -> None:
        if self._process is None or self._process.stdin is None:
            raise BoardError("the board was never flashed", subject="board")
        try:
            self._process.stdin.write(data)
        except OSError as error:
            raise BoardError(f"QEMU ended: {error}", subject="board", value=self._process.poll()) from error

    def _read(self, size: int) -> bytes:
        assert self._process is not None and self._process.stdout is not None
        data = b""
        end = time.monotonic() + self._limit
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while len(data) < size:
                if not selector.select(max(0.0, end - time.monotonic())):
                    self._stop()
                    raise BoardTimeoutError(
                        f"the board did not answer within {self._limit:g} s", subject="board", value=self._limit
                    )
                part = self._process.stdout.read(size - len(data))
                if not part:
                    raise BoardError(
                        f"QEMU ended with code {self._process.wait()}", subject="board", value=self._process.returncode
                    )
                data += part
        return data
