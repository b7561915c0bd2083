"""Cycles of Cortex-M7 code: an in-order dual-issue scoreboard over a block repeated until it is steady.

Arm publishes no instruction timing for this core: the issue rules are a plausible reading of its pipeline, not fitted
to anything; how far they were off for two engines' published times is the interval in the targets' timing text.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from services.evaluator.cores.decode import Instruction, Unit

_WARM_UP, _MEASURED = 4, 4
_ISSUES_PER_CYCLE = 2
# How many of each resource one cycle offers.
_SLOTS: dict[str, int] = {"alu": 2, "shift": 1, "multiply": 1, "load": 2, "store": 1, "branch": 1, "float": 1}

_RESOURCE: dict[Unit, str] = {
    Unit.ALU: "alu",
    Unit.SHIFT: "shift",
    Unit.MULTIPLY: "multiply",
    Unit.LONG_MULTIPLY: "multiply",
    Unit.DIVIDE: "alu",
    Unit.LOAD: "load",
    Unit.LOAD_MANY: "load",
    Unit.STORE: "store",
    Unit.STORE_MANY: "store",
    Unit.BRANCH: "branch",
    Unit.CALL: "branch",
    Unit.FLOAT: "float",
    Unit.FLOAT_MAC: "float",
    Unit.FLOAT_DIVIDE: "float",
    Unit.BARRIER: "alu",
}
_LATENCY: dict[Unit, int] = {
    Unit.LOAD: 2,
    Unit.LOAD_MANY: 2,
    Unit.MULTIPLY: 2,
    Unit.LONG_MULTIPLY: 2,
    Unit.DIVIDE: 8,
    Unit.FLOAT: 3,
    Unit.FLOAT_MAC: 5,
    Unit.FLOAT_DIVIDE: 16,
}


@dataclass(slots=True)
class _Scoreboard:
    cycle: int = 0
    issued: int = 0
    used: dict[str, int] = field(default_factory=dict)
    ready: dict[int, int] = field(default_factory=dict)
    from_multiplier: set[int] = field(default_factory=set)

    def _advance(self, cycle: int) -> None:
        if cycle > self.cycle:
            self.cycle, self.issued = cycle, 0
            self.used.clear()

    def issue(self, instruction: Instruction) -> None:
        if instruction.unit is Unit.IT:
            return  # folded
        resource = _RESOURCE[instruction.unit]
        self._advance(
            max((self._ready_for(register, instruction) for register in instruction.reads), default=self.cycle)
        )
        while self.issued >= _ISSUES_PER_CYCLE or self.used.get(resource, 0) >= _SLOTS[resource]:
            self._advance(self.cycle + 1)
        self.issued += 1
        self.used[resource] = self.used.get(resource, 0) + 1
        # Two words a cycle for loads, one for stores: many transfers keep the pipe.
        width = 2 if instruction.unit is Unit.LOAD_MANY else 1
        extra = max(0, -(-instruction.transfers // width) - 1)
        self._publish(instruction, self.cycle + extra + _LATENCY.get(instruction.unit, 1))
        if extra:
            self._advance(self.cycle + extra)

    def _ready_for(self, register: int, instruction: Instruction) -> int:
        at = self.ready.get(register, 0)
        # A multiply-accumulate takes the previous one's sum a cycle early.
        forwarded = (
            instruction.unit is Unit.MULTIPLY and register in self.from_multiplier and register in instruction.writes
        )
        return at - 1 if forwarded else at

    def _publish(self, instruction: Instruction, at: int) -> None:
        for register in instruction.writes:
            # A load's written-back address comes from the adder, not from memory.
            written_back = instruction.unit is Unit.LOAD and register in instruction.reads
            self.ready[register] = self.cycle + 1 if written_back else at
            if instruction.unit is Unit.MULTIPLY:
                self.from_multiplier.add(register)
            else:
                self.from_multiplier.discard(register)


def block_cycles(instructions: tuple[Instruction, ...]) -> float:
    """Return the cycles of one pass through the block when it runs again and again."""
    board = _Scoreboard()
    started = 0
    for number in range(_WARM_UP + _MEASURED):
        if number == _WARM_UP:
            started = board.cycle
        for instruction in instructions:
            board.issue(instruction)
        board._advance(board.cycle + 1)  # a taken branch ends the issue group
    return (board.cycle - started) / _MEASURED
