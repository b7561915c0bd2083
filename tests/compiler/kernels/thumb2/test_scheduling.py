"""Scheduled routines compute what they did, and take no more cycles; the cores' tests run them, too."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.compiler.kernels.thumb2 import files
from services.compiler.kernels.thumb2.add import Scaling, Sum
from services.compiler.kernels.thumb2.assembly import Routine
from services.compiler.kernels.thumb2.instructions import Instruction, parse
from services.compiler.kernels.thumb2.issue import Issue
from services.compiler.kernels.thumb2.scheduling import blocks_of, loop_cycles, scheduled, separated
from tests.compiler.kernels.thumb2.symbolic import outcome
from tests.compiler.kernels.thumb2.test_encoding import depthwise_sources


def routines() -> list[Routine]:
    fixed = [files.expand_file(), files.expand_pair_file(), files.dot_wide_file(False), files.dot_wide_file(True)]
    fixed += [files.add_file(kind, shifted=shifted) for kind, shifted in product(Sum, (False, True))]
    fixed += [files.add_constant_file(*kinds) for kinds in product((Sum.ADD, Sum.SUB), Scaling)]
    matrices = [
        make(relu, tail, bits)
        for relu, tail, bits in product((False, True), range(4), (4, 8))
        for make in (files.gemm_file, files.dot_file)
    ]
    depthwise = list(depthwise_sources().values())[::20]
    return [routine for source in (*fixed, *matrices, *depthwise) for routine in source.make(Issue.DUAL)]


def parsed(body: Sequence[str]) -> list[list[Instruction] | str]:
    """Return the blocks of a body as instructions, and its other lines."""
    return [[parse(line) for line in block] if code else block[0] for code, block in blocks_of(body)]


def check(routine: Routine) -> None:
    before, after = parsed(separated(routine).body), parsed(scheduled(routine).body)
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        if isinstance(old, str) or isinstance(new, str):
            assert old == new
            continue
        assert outcome(old, disjoint=routine.disjoint) == outcome(new, disjoint=routine.disjoint)
        assert loop_cycles(new) <= loop_cycles(old)


def test_every_routine_computes_what_it_did() -> None:
    for routine in routines():
        check(routine)


REGISTERS = st.sampled_from([f"r{number}" for number in range(6)])
BASES = st.sampled_from(["r0", "r1", "r2"])
WORDS = st.integers(0, 5).map(lambda n: 4 * n)
LINES = st.one_of(
    st.builds("ldr {}, [{}, #{}]".format, REGISTERS, BASES, WORDS),
    st.builds("ldrb {}, [sp, #{}]".format, REGISTERS, st.integers(0, 9)),
    st.builds("ldr {}, [sp, #{}]".format, REGISTERS, WORDS),
    st.builds("str {}, [sp, #{}]".format, REGISTERS, WORDS),
    st.builds("strb {}, [{}, #{}]".format, REGISTERS, BASES, st.integers(0, 9)),
    st.builds("str {}, [r2], #{}".format, st.sampled_from(["r3", "r4", "r5"]), WORDS),
    st.builds("ldr {}, [r1], #{}".format, st.sampled_from(["r3", "r4", "r5"]), WORDS),
    st.builds("strd r3, r4, [{}], #{}".format, BASES, WORDS),
    st.builds("ldrd r4, r5, [{}, #{}]".format, BASES, WORDS),
    st.sampled_from(["ldm r2!, {r3-r5}", "stm r1!, {r3, r5}", "ldm r2, {r1-r3}"]),
    st.builds("smlad {}, {}, {}, {}".format, REGISTERS, REGISTERS, REGISTERS, REGISTERS),
    st.builds("sxtb16 {}, {}, ror #8".format, REGISTERS, REGISTERS),
    st.builds("add {}, {}, {}, asr #31".format, REGISTERS, REGISTERS, REGISTERS),
    st.builds("sub {}, {}, {}".format, REGISTERS, REGISTERS, REGISTERS),
    st.builds("ssat {}, #8, {}, asr #1".format, REGISTERS, REGISTERS),
    st.builds("subs {}, {}, #1".format, REGISTERS, REGISTERS),
    st.builds("cmp {}, {}".format, REGISTERS, REGISTERS),
    st.sampled_from(["1:", "bne 1b"]),
)


@given(st.lists(LINES, min_size=2, max_size=30), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_code_computes_what_it_did(lines: list[str], disjoint: bool) -> None:
    check(Routine("tf_any", "void tf_any(void)", tuple(lines), 64, disjoint=disjoint))


# an exchange of two lines that changes what a block computes
EXCHANGES = {
    "a value used before it is there": ("mov r1, r2", "add r3, r1, r1"),
    "a value overwritten before its use": ("add r3, r1, r1", "mov r1, r2"),
    "the last value of two": ("mov r1, r2", "mov r1, r3"),
    "a load of what is stored": ("str r1, [r0, #4]", "ldr r2, [r3, #0]"),
    "a store over what is loaded": ("ldrb r2, [sp, #5]", "str r1, [sp, #4]"),
    "a load from an address that moves": ("ldr r1, [r0], #4", "ldr r2, [r0, #0]"),
    "two stores that may meet": ("strb r1, [r0, #0]", "strb r2, [r3, #0]"),
    "flags": ("cmp r1, r2", "subs r3, r3, #1"),
}


@pytest.mark.parametrize("lines", EXCHANGES.values(), ids=EXCHANGES.keys())
def test_expressions_tell_orders_apart(lines: tuple[str, str]) -> None:
    one, other = ([parse(line) for line in order] for order in (lines, lines[::-1]))
    assert outcome(one, disjoint=False) != outcome(other, disjoint=False)


def test_stores_stay_behind_loads_only_where_they_may_meet() -> None:
    block = ("smlad r1, r1, r1, r1", "str r1, [r0, #4]", "ldr r2, [r3, #0]", "smlad r4, r2, r2, r4")
    apart, same = (scheduled(Routine("f", "void f(void)", block, disjoint=disjoint)).body for disjoint in (True, False))
    assert apart.index(block[2]) < apart.index(block[1])
    assert same.index(block[1]) < same.index(block[2])
