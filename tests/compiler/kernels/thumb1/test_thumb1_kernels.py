"""Every Cortex-M0+ kernel on a simulated core, through the whole compiler, against the numpy reference, bit for bit."""

from __future__ import annotations

import os
import re
from itertools import product

import pytest

from services.compiler.options import Core
from tests.compiler.kernels.core_runs import GRAPHS, failures, left_to_portable

EXAMPLES = int(os.environ.get("TINYFARM_FUZZ_EXAMPLES", "1"))
PACK = 64
# a part of the cases, all of them in `make fuzz`
EVERY = 4 if EXAMPLES == 1 else 1
NAMES = list(GRAPHS)[::EVERY]

KINDS = ("conv", "depthwise", "dense")
# right shifts beyond 22, or none at all
SHIFTS = {
    *(f"{k} shift {n} {a}" for k, n, a in product(("pointwise", "dense"), (23, 24, 26, 28, 30), ("none", "relu"))),
    *(f"{kind} shift {n}" for kind, n in product(KINDS, (0, "to the left"))),
    "depthwise shift 23",
    "add 0.1 and 0.07 to 50.0",
    "add out shifted left",
    "add to next to nothing",
    "add to nothing",
}
# sums beyond 29 bits; beyond 24 in every second output of a fully connected layer
SUMS = {
    *(f"{kind} bias {n}" for kind, n in product(KINDS, ((1 << 29) - 1, (1 << 30) + 5, (1 << 31) - 1))),
    *(f"dense bias {n}" for n in ((1 << 23) - 1, 1 << 24)),
}
# two neighboring weights of -128, whose products with -128 sum to 2^15
LOWEST = {
    "conv weights of -128",
    "conv weights of -128 in even channels",
    "pointwise odd sums just below 24 bits",
    "pointwise odd sums just beyond",
}
# depthwise channels without a right shift, several outputs a channel, dilated columns far apart, differences and
# constants that repeat: Thumb-2 kernels only
BEYOND = re.compile(
    r"depthwise .*(shifts? (0|-4)\b|to the left|multiplier (1/2|just below 1)$"
    r"|multiplier \d (of|in|growing)|dilated (by (16|20)|multiplier 2))"
    r"|sub |add (a channel's|\()"
)


@pytest.mark.parametrize("first", range(0, len(NAMES), PACK))
def test_core_kernels_equal_reference(first: int) -> None:
    assert failures(Core.CORTEX_M0PLUS, NAMES[first : first + PACK]) == []


def test_covered_operators_do_without_portable_kernels() -> None:
    left, known = left_to_portable(Core.CORTEX_M0PLUS), SHIFTS | SUMS | LOWEST | {"depthwise multiplier 3"}
    assert known <= left
    assert [name for name in left - known if not BEYOND.match(name)] == []
