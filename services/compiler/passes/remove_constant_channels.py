"""Remove the channels that every reader can do without: constant ones, and ones that no filter reads.

A constant channel moves into the biases of the operators that read it. That is exact where it adds the same to every
sum of a filter; with padding around a constant other than the zero point it may not, and then the channel stays.
Remaining channels keep their weights, multipliers and scales.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import FullyConnected, Op
from services.compiler.ir.tensor import TensorId
from services.compiler.passes.channel_groups import Group, channel_counts, channel_groups
from services.compiler.passes.read_channels import Mixing, constant_terms
from services.compiler.passes.replace_constants import has_data
from services.compiler.passes.slice_channels import slice_channels, slice_ranges
from services.compiler.passes.value_ranges import Range, value_ranges
from services.compiler.quant.fixed_point import Int64s
from services.compiler.quant.folding import constant_data

_INT32_MIN, _INT32_MAX = -(1 << 31), (1 << 31) - 1


def remove_constant_channels(graph: Graph) -> Graph:
    """Return the graph without removable channels; a tensor keeps at least one. Weight-free networks stay as they are.

    Repeated until nothing changes: filters that went may have been the last to read a channel. What goes is constant or
    unread, so the ranges of what stays remain.
    """
    if not has_data(graph):
        return graph
    ranges = value_ranges(graph)
    while (removal := _choose(graph, ranges)).removed:
        ranges = slice_ranges(graph, removal.kept(), ranges)
        graph = slice_channels(graph, removal.kept(), removal.biases)
    return graph


# What operators that read a group's channels have in its place: a term for their biases.
_Terms = Sequence[tuple[Op, Int64s]]


@dataclass
class _Removal:
    """What has been chosen so far: removed channels by tensor, and the biases that make up for them."""

    counts: Mapping[TensorId, int]
    least: Mapping[TensorId, int]
    biases: dict[Op, Int64s]
    removed: dict[TensorId, set[int]] = field(default_factory=dict)

    def kept(self) -> dict[TensorId, tuple[int, ...]]:
        """The channels that stay, of the tensors that lose some."""
        return {t: tuple(c for c in range(self.counts[t]) if c not in gone) for t, gone in self.removed.items()}

    def remove(self, group: Group, terms: _Terms) -> bool:
        """Remove a group, unless a tensor would run empty or a bias of a reader would not fit 32 bits."""
        biases: dict[Op, Int64s] = {}
        for op, term in terms:
            biases[op] = biases.get(op, self.biases[op]) + term
        overflow = any(bias.min() < _INT32_MIN or bias.max() > _INT32_MAX for bias in biases.values())
        if overflow or not self._leaves_enough(group):
            return False
        self.biases.update(biases)
        for t, c in group:
            self.removed.setdefault(t, set()).add(c)
        return True

    def _leaves_enough(self, group: Group) -> bool:
        lost = Counter(t for t, _ in group)
        return all(self.counts[t] - len(self.removed.get(t, ())) - n >= self.least.get(t, 1) for t, n in lost.items())


def _choose(graph: Graph, ranges: Mapping[TensorId, Range]) -> _Removal:
    """Choose groups one by one: first all that can go, then those of them that are worth it."""
    counts, least = channel_counts(graph), _least_channels(graph)
    mixing: dict[TensorId, list[Mixing]] = defaultdict(list)
    terms: dict[Op, Mapping[int, Int64s]] = {}
    for op in graph.ops:
        if isinstance(op, Mixing):
            mixing[op.input].append(op)
            terms[op] = constant_terms(graph, op, counts[op.input], ranges.get(op.input))
    biases: dict[Op, Int64s] = {op: _bias(graph, op) for ops in mixing.values() for op in ops}
    possible, chosen = (_Removal(counts, least, dict(biases)) for _ in range(2))
    removable: list[tuple[Group, _Terms]] = []
    for group in channel_groups(graph):
        reads = [(op, c) for t, c in group for op in mixing[t]]
        if all(c in terms[op] for op, c in reads):
            candidate = group, [(op, terms[op][c]) for op, c in reads]
            if possible.remove(*candidate):
                removable.append(candidate)
    for group, added in _leaving_fours(counts, removable):
        chosen.remove(group, added)
    return chosen


def _leaving_fours(
    counts: Mapping[TensorId, int], removable: Sequence[tuple[Group, _Terms]]
) -> Iterator[tuple[Group, _Terms]]:
    """Yield as many of the groups as leave multiples of four channels, or fewer than four.

    Kernels read four channels a word: the last one to three cost more time and code than those that they would save.
    """
    alike: dict[tuple[TensorId, ...], list[tuple[Group, _Terms]]] = defaultdict(list)
    for group, terms in removable:
        alike[tuple(t for t, _ in group)].append((group, terms))
    for tensors, groups in alike.items():
        left = counts[tensors[0]] - len(groups)
        given_back = -left % 4 if left > 4 else 0
        yield from groups[: max(0, len(groups) - given_back)]


def _least_channels(graph: Graph) -> Mapping[TensorId, int]:
    """A dense layer of one filter counts as quantized per tensor, which rounds its multiplier another way."""
    dense = (op for op in graph.ops if isinstance(op, FullyConnected))
    quants = {op.output: graph.tensors[op.weights].quant for op in dense}
    return {t: 2 for t, quant in quants.items() if quant is not None and len(quant.scale) > 1}


def _bias(graph: Graph, op: Mixing) -> Int64s:
    if op.bias is None:
        return np.zeros(graph.tensors[op.weights].shape[0], np.int64)
    return constant_data(graph, op.bias).astype(np.int64).ravel()
