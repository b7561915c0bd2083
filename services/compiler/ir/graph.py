"""The graph: tensors, operators in execution order, inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from services.compiler.ir.ops import Op
from services.compiler.ir.tensor import Tensor, TensorId

if TYPE_CHECKING:
    from services.compiler.ir.alone import Alone


@dataclass(frozen=True, slots=True)
class Graph:
    """A network: `ops` are in a valid execution order; every tensor id they name is in `tensors`."""

    name: str
    tensors: Mapping[TensorId, Tensor]
    ops: tuple[Op, ...]
    inputs: tuple[TensorId, ...]
    outputs: tuple[TensorId, ...]
    # operators by themselves, by their first output: filled and read by ir/alone.py
    alone: dict[TensorId, tuple[Op, Alone | None]] = field(default_factory=dict, init=False, compare=False, repr=False)
    # what is known of operators with values, which no other graph is told: filled and read there, too
    facts: dict[object, object] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))

    def __reduce__(self) -> tuple[Callable[..., Graph], tuple[object, ...]]:
        """Graphs cross our own process boundary (the estimate pool); mapping proxies do not pickle."""
        return Graph, (self.name, dict(self.tensors), self.ops, self.inputs, self.outputs)

    def producers(self) -> dict[TensorId, Op]:
        """The operator that writes each tensor."""
        return {t: op for op in self.ops for t in op.outputs}

    def consumers(self) -> dict[TensorId, tuple[Op, ...]]:
        """The operators that read each tensor, in execution order (empty where none does)."""
        readers: dict[TensorId, list[Op]] = {t: [] for t in self.tensors}
        for op in self.ops:
            for t in dict.fromkeys(op.inputs):
                readers[t].append(op)
        return {t: tuple(ops) for t, ops in readers.items()}

    def fresh_id(self) -> TensorId:
        """A tensor id that is not in use."""
        return max(self.tensors, default=-1) + 1

    def with_tensors(self, changed: Mapping[TensorId, Tensor]) -> Graph:
        """The graph with some tensors replaced or added."""
        return replace(self, tensors={**self.tensors, **changed})

    def with_ops(self, ops: Iterable[Op]) -> Graph:
        """The graph with other operators; tensors that nothing names any more are dropped."""
        kept = tuple(ops)
        named = {t for op in kept for t in (*op.inputs, *op.outputs)} | {*self.inputs, *self.outputs}
        return replace(self, ops=kept, tensors={t: v for t, v in self.tensors.items() if t in named})
