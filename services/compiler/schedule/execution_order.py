"""The execution order of a branching graph that needs the least memory at its fullest step.

Exact on graphs with few ways to be half done: a search over the sets of operators that can have run (cuts), lowest
peak first. Beyond a limit of sets, greedy. Source of the idea: Ahn et al., SERENITY (MLSys 2020).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Reshape
from services.compiler.ir.tensor import TensorId
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.schedule.access_order import overlaps
from services.compiler.schedule.core_kernels import scratch_sizes
from services.compiler.schedule.per_layer import alias_roots

_MAX_CUTS = 3000


def order_operators(graph: Graph, kernels: KernelSet = KernelSet.PORTABLE) -> Graph:
    """Return the graph in an order with a lower peak; the graph itself where none was found.

    The peak counts live tensors, least scratch, and what outputs may share of inputs that die there.
    """
    needs, given = needed_operators(graph), tuple(range(len(graph.ops)))
    if all(needed.bit_length() == n for n, needed in enumerate(needs)):
        return graph  # there is no choice: each waits for the one before it
    cuts = Cuts.of(graph, kernels)
    order = _search(cuts) or _greedy(cuts)
    return graph.with_ops(graph.ops[i] for i in order) if cuts.peak(order) < cuts.peak(given) else graph


def needed_operators(graph: Graph) -> tuple[int, ...]:
    """Return for every operator those whose outputs it reads, as bits."""
    made = {t: 1 << i for i, op in enumerate(graph.ops) for t in op.outputs}
    return tuple(sum({made[t] for t in op.inputs if t in made}) for op in graph.ops)


def ready(needs: tuple[int, ...], done: int) -> Iterator[int]:
    """Yield the operators that can run next, in the graph's order."""
    return (i for i, needed in enumerate(needs) if not done >> i & 1 and needed & ~done == 0)


@dataclass(frozen=True, slots=True)
class Cuts:
    """Sets of operators as bits: what each operator waits for, who reads each tensor, and what a step needs."""

    needs: tuple[int, ...]
    sizes: dict[TensorId, int]
    producer: dict[TensorId, int]  # 0 for inputs of the network
    readers: dict[TensorId, int]
    outputs: frozenset[TensorId]
    scratch: tuple[int, ...]
    shared: tuple[tuple[tuple[TensorId, int], ...], ...]  # by operator: an input and what an output may share of it

    @classmethod
    def of(cls, graph: Graph, kernels: KernelSet) -> Cuts:
        """Return the sets of a graph; reshapes cost nothing and name another's bytes."""
        roots = alias_roots(graph)
        made = {t: 1 << i for i, op in enumerate(graph.ops) for t in op.outputs}
        live = [t for t, root in roots.items() if t == root and not graph.tensors[t].is_constant]
        scratch = tuple(_least_scratch(graph, i, kernels) for i in range(len(graph.ops)))
        return cls(
            needs=needed_operators(graph),
            sizes={t: graph.tensors[t].size_bytes for t in live},
            producer={t: made.get(t, 0) for t in live if t in made or t in graph.inputs},
            readers={
                t: sum(
                    1 << i
                    for i, op in enumerate(graph.ops)
                    if not isinstance(op, Reshape) and t in {roots[x] for x in op.inputs}
                )
                for t in live
            },
            outputs=frozenset(roots[t] for t in graph.outputs),
            scratch=scratch,
            shared=tuple(_shared(graph, i, kernels, scratch[i], roots) for i in range(len(graph.ops))),
        )

    def ready(self, done: int) -> Iterator[int]:
        """Yield the operators that can run next."""
        return ready(self.needs, done)

    def step_bytes(self, done: int, op: int) -> int:
        """Return what must live while the operator runs after those done."""
        after = done | 1 << op
        needed = sum(
            self.sizes[t]
            for t, producer in self.producer.items()
            if producer & after == producer and (t in self.outputs or self.readers[t] & ~done or producer == 1 << op)
        )
        dying = [part for t, part in self.shared[op] if not self.readers[t] & ~after and t not in self.outputs]
        return needed + self.scratch[op] - max(dying, default=0)

    def peak(self, order: tuple[int, ...]) -> int:
        """Return the most that any step of an order needs."""
        done, most = 0, 0
        for op in order:
            most = max(most, self.step_bytes(done, op))
            done |= 1 << op
        return most


def _search(cuts: Cuts) -> tuple[int, ...]:
    """Return the order of the lowest peak; empty if too many sets are in the way."""
    everything = (1 << len(cuts.needs)) - 1
    queue: list[tuple[int, int, int]] = [(0, 0, 0)]  # peak, operators left, those done
    came: dict[int, tuple[int, int]] = {0: (0, -1)}  # peak and last operator by set
    expanded = 0
    while queue:
        peak, _, done = heapq.heappop(queue)
        if done == everything:
            return _path(came, done)
        if peak > came[done][0]:
            continue
        expanded += 1
        if expanded > _MAX_CUTS:
            return ()
        for op in cuts.ready(done):
            after, most = done | 1 << op, max(peak, cuts.step_bytes(done, op))
            if after not in came or most < came[after][0]:
                came[after] = most, op
                heapq.heappush(queue, (most, (everything & ~after).bit_count(), after))
    raise AssertionError("a graph in execution order has an order")


def _path(came: dict[int, tuple[int, int]], done: int) -> tuple[int, ...]:
    order: list[int] = []
    while done:
        order.append(came[done][1])
        done &= ~(1 << order[-1])
    return tuple(reversed(order))


def _greedy(cuts: Cuts) -> tuple[int, ...]:
    """Run what needs least next."""
    done, order = 0, []
    for _ in cuts.needs:
        order.append(min(cuts.ready(done), key=lambda op: (cuts.step_bytes(done, op), op)))
        done |= 1 << order[-1]
    return tuple(order)


def _least_scratch(graph: Graph, index: int, kernels: KernelSet) -> int:
    sizes = scratch_sizes(graph, graph.ops[index], kernels)
    return sizes[0] if sizes else 0


def _shared(
    graph: Graph, index: int, kernels: KernelSet, scratch_bytes: int, roots: dict[TensorId, TensorId]
) -> tuple[tuple[TensorId, int], ...]:
    found = []
    for overlap in overlaps(graph, graph.ops[index], kernels, scratch_bytes):
        source, target = (graph.tensors[t].size_bytes for t in (overlap.source, overlap.target))
        if not graph.tensors[roots[overlap.source]].is_constant:
            part = max(0, min(source, target, target - overlap.distance_bytes))
            found.append((roots[overlap.source], part))
    return tuple(found)
