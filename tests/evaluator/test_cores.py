"""Cycle models against the reference manuals' tables, one short block each."""

from __future__ import annotations

import pytest

from services.common.targets import Core
from services.evaluator.cores.decode import decode
from services.evaluator.cores.model import cycle_model
from services.evaluator.errors import BoardError

# Thumb code: bytes in hex, number of instructions, cycles on each core.
BLOCKS: dict[str, tuple[str, int, dict[Core, float]]] = {
    "adds": ("0130", 1, {"cortex-m4": 1, "cortex-m0plus": 1, "cortex-m33": 1}),
    "two adds of one register": ("0130 0130", 2, {"cortex-m4": 2, "cortex-m0plus": 2, "cortex-m7": 2}),
    "two independent adds": ("0130 0131", 2, {"cortex-m4": 2}),
    "ldr": ("0868", 1, {"cortex-m4": 2, "cortex-m0plus": 2}),
    "three ldr in a row": ("0868 4a68 8b68", 3, {"cortex-m4": 4, "cortex-m0plus": 6}),
    "ldr add ldr": ("0868 0132 4b68", 3, {"cortex-m4": 5}),
    "str": ("0860", 1, {"cortex-m4": 1, "cortex-m0plus": 2}),
    "push of five": ("f0b5", 1, {"cortex-m4": 6, "cortex-m0plus": 6}),
    "pop of r4 and pc": ("10bd", 1, {"cortex-m4": 3, "cortex-m0plus": 4}),
    "ldm of three": ("70c9", 1, {"cortex-m4": 4, "cortex-m0plus": 4}),
    "muls": ("4843", 1, {"cortex-m4": 1, "cortex-m0plus": 1}),
    "smlad": ("20fb0214", 1, {"cortex-m4": 1}),
    "umull": ("a2fb0301", 1, {"cortex-m4": 1}),
    "sdiv": ("91fbf0f0", 1, {"cortex-m4": 7}),
    "ldrd": ("d1e90023", 1, {"cortex-m4": 3}),
    "vldm of two doubles": ("b1ec040b", 1, {"cortex-m4": 5}),
    "vfma": ("e0ee810a", 1, {"cortex-m4": 3}),
    "vdiv": ("80ee810a", 1, {"cortex-m4": 14}),
    "bl": ("00f000f8", 1, {"cortex-m4": 1, "cortex-m0plus": 2}),
}


@pytest.mark.parametrize(("code", "count", "cycles"), BLOCKS.values(), ids=BLOCKS.keys())
def test_block_has_the_manuals_cycles(code: str, count: int, cycles: dict[Core, float]) -> None:
    block = decode(bytes.fromhex(code), 0x1000)
    assert len(block) == count
    assert {core: cycle_model(core).block_cycles(block) for core in cycles} == cycles


def test_taken_branch_refills_the_pipeline() -> None:
    assert [cycle_model(core).taken_cycles for core in ("cortex-m4", "cortex-m33", "cortex-m0plus", "cortex-m7")] == [
        2,
        2,
        1,
        0,
    ]


M7_LOOPS = {
    # A loop's body: bytes, cycles of one pass when it repeats.
    "independent adds pair up": ("0130 0131 0132 0133", 2),
    "a chain of adds does not": ("0130 0130 0130 0130", 4),
    "two multiplies never pair": ("4843 5343", 2),
    "a load and its use are two cycles apart": ("0868 0130", 3),
}


@pytest.mark.parametrize(("code", "cycles"), M7_LOOPS.values(), ids=M7_LOOPS.keys())
def test_cortex_m7_issues_two_where_it_can(code: str, cycles: float) -> None:
    assert cycle_model("cortex-m7").block_cycles(decode(bytes.fromhex(code), 0x1000)) == cycles


def test_bytes_that_are_no_code_are_an_error() -> None:
    with pytest.raises(BoardError, match="cannot be decoded"):
        decode(bytes.fromhex("0130 ffff ffff"), 0x1000)
