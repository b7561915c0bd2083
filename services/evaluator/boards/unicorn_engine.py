"""The process that is a simulated board: `python -m services.evaluator.boards.unicorn_engine HOOK_LIBRARY`.

The only module that imports unicorn (its core is GPL-2.0), always in a process of its own, with a pipe at each end
(messages.py). A thread reads the pipe all the time, so that the process ends when its parent does, also in a long run.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import struct
import sys
import threading
from typing import IO, Any

from unicorn import Uc, UcError, arm_const, unicorn_const
from unicorn.unicorn_py3.unicorn import uclib

from services.evaluator.boards.messages import Kind, Message, read_message, write_message

_MODELS = {
    "cortex-m0plus": arm_const.UC_CPU_ARM_CORTEX_M0,
    "cortex-m4": arm_const.UC_CPU_ARM_CORTEX_M4,
    "cortex-m7": arm_const.UC_CPU_ARM_CORTEX_M7,
    "cortex-m33": arm_const.UC_CPU_ARM_CORTEX_M33,
}
_DEVICE_BASE = 0x4F000000
_SYSTEM_CONTROL_BASE = 0xE000E000
_PAGE = 0x1000
_READ, _WRITE, _STOP = 1, 2, 3
_RUN_UNTIL = 0xFFFFFFFE
_RECORD_BYTES = 32
_MISSES_BYTES = 16

_ACCESS_WORDS = {
    unicorn_const.UC_MEM_READ_UNMAPPED: "read",
    unicorn_const.UC_MEM_WRITE_UNMAPPED: "write",
    unicorn_const.UC_MEM_FETCH_UNMAPPED: "fetch",
    unicorn_const.UC_MEM_READ_PROT: "read",
    unicorn_const.UC_MEM_WRITE_PROT: "write to read-only memory",
    unicorn_const.UC_MEM_FETCH_PROT: "fetch from data memory",
}


def _new_engine(core: str) -> Uc:
    """Return an engine for that core. UC_MODE_MCLASS is never used: in 2.1.4 it makes any model a Cortex-M33."""
    engine = Uc(unicorn_const.UC_ARCH_ARM, unicorn_const.UC_MODE_THUMB)
    engine.ctl_set_cpu_model(_MODELS[core])
    return engine


def check_engine() -> None:
    """Prove that the engine is the core asked for: the model reads back, and FPv5 faults on a Cortex-M4.

    Raises RuntimeError where it is not.
    """
    for model in _MODELS.values():
        engine = Uc(unicorn_const.UC_ARCH_ARM, unicorn_const.UC_MODE_THUMB)
        engine.ctl_set_cpu_model(model)
        if engine.ctl_get_cpu_model() != model:
            raise RuntimeError(f"unicorn: asked for CPU model {model}, got {engine.ctl_get_cpu_model()}")
    engine = _new_engine("cortex-m4")
    engine.mem_map(0, _PAGE)
    engine.mem_write(0, bytes.fromhex("80fe400a"))  # vmaxnm.f32 s0, s0, s0: wants FPv5
    try:
        engine.emu_start(1, 4, count=1)
    except UcError:
        return
    raise RuntimeError("unicorn: the Cortex-M4 model runs an FPv5 instruction, so it is not a Cortex-M4")


class _Hook:
    """The native block hook (block_hook.c) on one engine."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)
        self._library.profile_new.restype = ctypes.c_void_p
        self._library.profile_seconds.restype = ctypes.c_double
        self._library.profile_misses.restype = ctypes.c_void_p
        self._layer_count = 0
        self._profile = ctypes.c_void_p()

    def attach(self, engine: Uc, image: dict[str, Any]) -> None:
        if self._profile:
            self._library.profile_free(self._profile)
        layers = image["layers"]
        starts = (ctypes.c_uint32 * max(1, len(layers)))(*layers)
        u32 = ctypes.c_uint32
        self._profile = ctypes.c_void_p(
            self._library.profile_new(
                ctypes.cast(uclib.uc_reg_read, ctypes.c_void_p),
                ctypes.cast(uclib.uc_emu_stop, ctypes.c_void_p),
                ctypes.c_int(arm_const.UC_ARM_REG_LR),
                u32(image["code_base"]),
                u32(image["code_bytes"]),
                u32(image["invoke"]),
                u32(image["invoke_bytes"]),
                u32(image["read_rows"]),
                starts,
                u32(len(layers)),
            )
        )
        self._layer_count = len(layers)
        self._add(engine, unicorn_const.UC_HOOK_BLOCK, self._library.profile_hook, (1, 0))
        if image["flash_caches"] is not None:
            instruction_lines, data_lines = image["flash_caches"]
            self._library.profile_model_flash(
                self._profile,
                ctypes.cast(uclib.uc_reg_write, ctypes.c_void_p),
                ctypes.c_int(arm_const.UC_ARM_REG_CPSR),
                u32(instruction_lines),
                u32(data_lines),
            )
            first, size = image["flash"]
            self._add(
                engine, unicorn_const.UC_HOOK_MEM_READ, self._library.profile_read_hook, (first, first + size - 1)
            )

    def _add(self, engine: Uc, kind: int, callback: Any, span: tuple[int, int]) -> None:
        """Register a native callback for a span of addresses, (1, 0) = all."""
        handle = ctypes.c_size_t()
        failed = uclib.uc_hook_add(
            engine._uch,
            ctypes.byref(handle),
            kind,
            ctypes.cast(callback, ctypes.c_void_p),
            self._profile,
            ctypes.c_uint64(span[0]),
            ctypes.c_uint64(span[1]),
        )
        if failed:
            raise RuntimeError(f"unicorn refuses a hook: error {failed}")

    def reset(self, budget_bytes: int) -> None:
        self._library.profile_reset(self._profile, ctypes.c_uint64(budget_bytes))

    @property
    def exhausted(self) -> bool:
        return bool(self._library.profile_exhausted(self._profile))

    @property
    def overflow(self) -> bool:
        return bool(self._library.profile_overflow(self._profile))

    def export(self) -> bytes:
        count = self._library.profile_export(self._profile, None, ctypes.c_uint32(0))
        records = ctypes.create_string_buffer(max(1, count) * _RECORD_BYTES)
        self._library.profile_export(self._profile, records, ctypes.c_uint32(count))
        misses = ctypes.string_at(self._library.profile_misses(self._profile), (self._layer_count + 1) * _MISSES_BYTES)
        head = struct.pack("<dI", self._library.profile_seconds(self._profile), self._layer_count + 1)
        return head + misses + records.raw[: count * _RECORD_BYTES]


class _Board:
    """One board: memory, the line's device and the program."""

    def __init__(self, hook: _Hook, inbox: queue.SimpleQueue[Message], out: IO[bytes]) -> None:
        self._hook, self._inbox, self._out = hook, inbox, out
        self._pending = bytearray()
        self._address = self._size = 0
        self._reset = False
        self._fault: dict[str, Any] | None = None
        self._image: dict[str, Any] = {}
        self._segments = b""

    def load(self, body: bytes) -> None:
        head, _, self._segments = body.partition(b"\0")
        self._image = json.loads(head)

    def _start(self) -> Uc:
        image = self._image
        engine = _new_engine(image["core"])
        perms = unicorn_const
        for region, rights in (
            ("flash", perms.UC_PROT_READ | perms.UC_PROT_EXEC),
            ("sram", perms.UC_PROT_READ | perms.UC_PROT_WRITE),
        ):
            base, size = image[region]
            first = base // _PAGE * _PAGE
            engine.mem_map(first, -(-(base + size - first) // _PAGE) * _PAGE, rights)
        engine.mem_map(_SYSTEM_CONTROL_BASE, _PAGE, perms.UC_PROT_READ | perms.UC_PROT_WRITE)
        engine.mmio_map(_DEVICE_BASE, _PAGE, self._device_read, None, self._device_write, None)
        offset = 0
        for address, size in image["segments"]:
            engine.mem_write(address, self._segments[offset : offset + size])
            offset += size
        invalid = perms.UC_HOOK_MEM_INVALID
        engine.hook_add(invalid, self._bad_access)
        engine.hook_add(perms.UC_HOOK_INTR, self._interrupt)
        self._hook.attach(engine, image)
        self._hook.reset(image["start_budget_bytes"])
        return engine

    def run(self) -> None:
        """Run the program from reset until it faults or the host resets it."""
        engine = self._start()
        self._pending.clear()
        self._reset = False
        self._fault = None
        write_message(self._out, Kind.READY)
        stack, entry = struct.unpack("<II", bytes(engine.mem_read(self._image["vectors"], 8)))
        engine.reg_write(arm_const.UC_ARM_REG_SP, stack)
        try:
            engine.emu_start(entry | 1, _RUN_UNTIL)
        except UcError as error:
            if self._fault is None:
                self._fault = self._describe(engine, "undefined", str(error), 0)
        if self._reset:
            return
        write_message(self._out, Kind.FAULT, json.dumps(self._ending(engine)).encode())

    def _ending(self, engine: Uc) -> dict[str, Any]:
        if self._fault is not None:
            return self._fault
        if self._hook.exhausted:
            return self._describe(engine, "budget", "the instruction budget is used up", 0)
        if self._hook.overflow:
            return self._describe(engine, "blocks", "more basic blocks than the profile holds", 0)
        return self._describe(engine, "halted", "the program stopped itself", 0)

    @staticmethod
    def _describe(engine: Uc, kind: str, text: str, address: int) -> dict[str, Any]:
        return {
            "kind": kind,
            "text": text,
            "address": address,
            "pc": engine.reg_read(arm_const.UC_ARM_REG_PC),
            "lr": engine.reg_read(arm_const.UC_ARM_REG_LR),
            "sp": engine.reg_read(arm_const.UC_ARM_REG_SP),
        }

    def _bad_access(self, engine: Uc, access: int, address: int, size: int, value: int, _: object) -> bool:
        text = f"{_ACCESS_WORDS.get(access, 'access')} of {size} bytes"
        self._fault = self._describe(engine, "access", text, address)
        return False

    def _interrupt(self, engine: Uc, number: int, _: object) -> None:
        self._fault = self._describe(engine, "undefined", f"exception {number}", 0)
        engine.emu_stop()

    def _device_read(self, _engine: Uc, _offset: int, _size: int, _: object) -> int:
        return 0

    def _device_write(self, engine: Uc, offset: int, _size: int, value: int, _: object) -> None:
        if offset == 0:
            self._address = value
        elif offset == 4:
            self._size = value
        elif value == _READ:
            self._receive(engine)
        elif value == _WRITE:
            write_message(self._out, Kind.DATA, bytes(engine.mem_read(self._address, self._size)))
        elif value == _STOP:
            engine.emu_stop()

    def _receive(self, engine: Uc) -> None:
        while len(self._pending) < self._size and not self._reset:
            self._answer(engine, self._inbox.get())
        engine.mem_write(self._address, bytes(self._pending[: self._size]))
        del self._pending[: self._size]

    def _answer(self, engine: Uc, message: Message) -> None:
        match message.kind:
            case Kind.DATA:
                self._pending += message.body
            case Kind.BUDGET:
                self._hook.reset(struct.unpack("<Q", message.body)[0])
            case Kind.PROFILE:
                write_message(self._out, Kind.PROFILE, self._hook.export())
            case _:
                self._reset = True
                self._inbox.put(message)
                engine.emu_stop()


def _pump(stream: IO[bytes], inbox: queue.SimpleQueue[Message]) -> None:
    while (message := read_message(stream)) is not None:
        inbox.put(message)
    os._exit(0)  # the parent is gone


def main() -> None:
    """Serve one board on standard input and output."""
    check_engine()
    inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_pump, args=(sys.stdin.buffer, inbox), daemon=True).start()
    board = _Board(_Hook(sys.argv[1]), inbox, sys.stdout.buffer)
    while True:
        message = inbox.get()
        if message.kind is Kind.LOAD:
            board.load(message.body)
        if message.kind in (Kind.LOAD, Kind.RESET):
            board.run()
        elif message.kind is Kind.PROFILE:
            write_message(sys.stdout.buffer, Kind.PROFILE, struct.pack("<dI", 0.0, 0))


if __name__ == "__main__":
    main()
