"""Drop operators whose outputs nobody reads."""

from __future__ import annotations

from services.compiler.ir.graph import Graph


def remove_dead_code(graph: Graph) -> Graph:
    """Return the graph without operators that no output depends on; inputs stay, read or not."""
    needed = set(graph.outputs)
    kept = []
    for op in reversed(graph.ops):
        if needed & set(op.outputs):
            kept.append(op)
            needed |= set(op.inputs)
    return graph.with_ops(reversed(kept))
