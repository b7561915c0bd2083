"""The simulated board: a unicorn engine in a process of its own, spoken to over pipes."""

from __future__ import annotations

import json
import queue
import struct
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict

from services.common.host_compiler import build_cached_library
from services.evaluator.boards.board import Region, Run, Write, exchange
from services.evaluator.boards.messages import Kind, Message, read_message, write_message
from services.evaluator.boards.profile import parse_profile
from services.evaluator.errors import (
    BadAccessFault,
    BoardError,
    BoardTimeoutError,
    EndlessLoopFault,
    ProgramFault,
    StackOverflowFault,
    UndefinedInstructionFault,
)
from services.evaluator.image import Image
from services.evaluator.protocol import Line, PulledInput, Session

_ENGINE = "services.evaluator.boards.unicorn_engine"
_HOOK_SOURCE = Path(__file__).with_name("block_hook.c")
_ROOT = Path(__file__).parents[3]
_MAX_INSTRUCTION_BYTES = 4
_HARNESS_BUDGET_BYTES = 1 << 32
# A frame larger than this below the stack would already be a wild pointer.
_STACK_GUARD_BYTES = 1 << 20


class _Fault(TypedDict):
    kind: str
    text: str
    address: int
    pc: int
    lr: int
    sp: int


class UnicornBoard:
    """One simulated board; every answer must come within `time_limit_seconds` or its process is killed.

    With `flash_caches` the misses of the target's flash caches are counted too, at a tenth of the speed.
    """

    def __init__(self, cache: Path, time_limit_seconds: float = 300.0, *, flash_caches: bool = False) -> None:
        self._flash_caches = flash_caches
        self._hook = build_cached_library(cache, (_HOOK_SOURCE,))
        self._limit = time_limit_seconds
        self._image: Image | None = None
        self._budget = 0
        self._start_process()

    def _start_process(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", _ENGINE, str(self._hook)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
        )
        self._inbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._received = bytearray()
        threading.Thread(target=self._pump, args=(self._process, self._inbox), daemon=True).start()
        self._session = Session(Line(self._write_line, self._read_line))

    @staticmethod
    def _pump(process: subprocess.Popen[bytes], inbox: queue.SimpleQueue[Message | None]) -> None:
        assert process.stdout is not None
        while (message := read_message(process.stdout)) is not None:
            inbox.put(message)
        inbox.put(None)

    def flash(self, image: Image) -> None:
        """Load the image into a fresh memory and start it."""
        self._image = image
        waits = image.target.flash_waits if self._flash_caches else None
        head = json.dumps(
            {
                "core": image.target.core,
                "flash": (image.target.flash.base, image.target.flash.size_bytes),
                "sram": (image.target.sram.base, image.target.sram.size_bytes),
                "segments": [(segment.address, len(segment.data)) for segment in image.segments],
                "vectors": image.vectors,
                "code_base": image.target.flash.base,
                "code_bytes": image.code_end - image.target.flash.base,
                "invoke": image.invoke.address,
                "invoke_bytes": image.invoke.size_bytes,
                "read_rows": image.read_rows.address if image.read_rows else 0,
                "layers": [layer.address if layer else 0 for layer in image.layers],
                "flash_caches": (waits.instruction_lines, waits.data_lines) if waits else None,
                "start_budget_bytes": _HARNESS_BUDGET_BYTES,
            }
        ).encode()
        self._send(Kind.LOAD, head + b"\0" + b"".join(segment.data for segment in image.segments))
        self._expect(Kind.READY)

    def run(
        self,
        writes: tuple[Write, ...],
        reads: tuple[Region, ...],
        budget_instructions: int,
        pulled: PulledInput | None = None,
    ) -> Run:
        """Run once; the budget counts from here, so it covers the harness's few instructions too."""
        self._send(Kind.BUDGET, struct.pack("<Q", budget_instructions * _MAX_INSTRUCTION_BYTES))
        outputs, counter, stack = exchange(self._session, writes, reads, pulled)
        self._send(Kind.PROFILE)
        return Run(outputs, counter, stack, parse_profile(self._expect(Kind.PROFILE)))

    def reset(self) -> None:
        """Start the image again, in a new process when the old one died."""
        if self._image is None:
            raise BoardError("the board was never flashed", subject="board")
        self._received.clear()
        if self._process.poll() is not None:
            self._start_process()
        self.flash(self._image)

    def close(self) -> None:
        """End the engine's process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, kind: Kind, body: bytes = b"") -> None:
        assert self._process.stdin is not None
        try:
            write_message(self._process.stdin, kind, body)
        except OSError as error:
            raise BoardError(
                f"the simulator's process ended: {error}", subject="board", value=self._process.poll()
            ) from error

    def _next(self) -> Message:
        try:
            message = self._inbox.get(timeout=self._limit)
        except queue.Empty:
            self._process.kill()
            self._process.wait()
            raise BoardTimeoutError(
                f"the board did not answer within {self._limit:g} s",
                subject="board",
                value=self._limit,
                allowed=self._limit,
            ) from None
        if message is None:
            raise BoardError(
                f"the simulator's process ended with code {self._process.wait()}",
                subject="board",
                value=self._process.returncode,
            )
        if message.kind is Kind.FAULT:
            raise self._fault(json.loads(message.body))
        return message

    def _expect(self, kind: Kind) -> bytes:
        message = self._next()
        if message.kind is not kind:
            raise BoardError(
                f"the simulator sent {message.kind.name}, expected {kind.name}",
                subject="board",
                value=message.kind.name,
            )
        return message.body

    def _write_line(self, data: bytes) -> None:
        self._send(Kind.DATA, data)

    def _read_line(self, size: int) -> bytes:
        while len(self._received) < size:
            self._received += self._expect(Kind.DATA)
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    def _fault(self, fault: _Fault) -> ProgramFault | BoardError:
        assert self._image is not None
        return describe_fault(fault, self._image)


def describe_fault(fault: _Fault, image: Image) -> ProgramFault | BoardError:
    """Return the error for an engine's fault, naming the layer where it happened."""
    where = f"in {_place(fault['pc'], image)} at pc {fault['pc']:#010x}"
    bottom = image.target.sram.base
    match fault["kind"]:
        case "access" if (
            min(fault["address"], fault["sp"]) < bottom and bottom - _STACK_GUARD_BYTES <= fault["address"] <= bottom
        ):
            return StackOverflowFault(
                f"the stack grew below the SRAM {where}: it has {image.sizes.stack_reserved} bytes",
                subject="stack",
                value=bottom - fault["sp"] + image.sizes.stack_reserved,
                allowed=image.sizes.stack_reserved,
            )
        case "access":
            return BadAccessFault(
                f"{fault['text']} at {fault['address']:#010x} {where}", subject="address", value=hex(fault["address"])
            )
        case "undefined":
            return UndefinedInstructionFault(
                f"an instruction that {image.target.core} does not have {where}",
                subject="pc",
                value=hex(fault["pc"]),
                allowed=image.target.core,
            )
        case "budget":
            return EndlessLoopFault(f"the instruction budget is used up {where}", subject="invoke")
        case _:
            return BoardError(f"{fault['text']} {where}", subject="board")


def _place(pc: int, image: Image) -> str:
    for number, symbol in enumerate(image.layers):
        if symbol is not None and symbol.address <= pc < symbol.address + symbol.size_bytes:
            return f"layer {number}"
    if image.invoke.address <= pc < image.invoke.address + image.invoke.size_bytes:
        return "invoke"
    return "a routine"
