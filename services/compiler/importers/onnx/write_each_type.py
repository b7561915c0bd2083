"""Computes a value twice where QuantizeLinear operators want types of it that no single type serves.

A convolution whose sums are quantized as they are and, behind a Relu, in another type: what either type holds of the
sums may not be enough to make the other. Both are computed from the operator's inputs then, as the model says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

from services.compiler.importers.onnx.model import Model, Node
from services.compiler.importers.onnx.target import Lookahead, Wish, all_served

# Their outputs have a type already, or are no numbers to be quantized.
_TYPED = frozenset({"QuantizeLinear", "DequantizeLinear", "Shape", "Size"})


def write_each_type(model: Model) -> Model:
    """Return the model with a copy of a node for each group of readers whose types do not serve each other."""
    lookahead = Lookahead(model)
    # The last first: what reads a copied node reads its inputs once more.
    for output in [n.output for n in reversed(model.nodes) if len(n.outputs) == 1 and n.op_type not in _TYPED]:
        groups = _groups(lookahead, output)
        if len(groups) > 1:
            model = _with_copies(model, output, groups[1:])
            lookahead = Lookahead(model)
    return model


def _groups(lookahead: Lookahead, value: str) -> list[list[Node]]:
    """Return the readers of a value by types that serve each other, first those that read all of it.

    Who reads it as a float joins them: a type that a clamp has narrowed is not for others.
    """
    readers = [(node, lookahead.wishes_of(node, value)) for node in lookahead.consumers(value)]
    groups: list[tuple[list[Node], list[Wish]]] = []
    for node, wishes in sorted((r for r in readers if r[1]), key=lambda reader: all(w.clamped for w in reader[1])):
        for nodes, known in groups:
            if all_served([*known, *wishes]):
                nodes.append(node)
                known.extend(wishes)
                break
        else:
            groups.append(([node], list(wishes)))
    if groups:
        groups[0][0].extend(node for node, wishes in readers if not wishes)
    return [nodes for nodes, _ in groups]


def _with_copies(model: Model, output: str, groups: Sequence[Sequence[Node]]) -> Model:
    """Return the model with a copy of the node that writes a value for each of these groups of its readers."""
    nodes, used = list(model.nodes), {name for n in model.nodes for name in (n.name, *n.outputs)}
    place = next(i for i, node in enumerate(nodes) if output in node.outputs)
    for group in groups:
        suffix = next(s for s in (f"/{i}" for i in count(2)) if not used & {output + s, nodes[place].name + s})
        used |= {output + suffix, nodes[place].name + suffix}
        for reader in group:
            at = next(i for i, node in enumerate(nodes) if node is reader)
            nodes[at] = replace(reader, inputs=tuple(output + suffix if v == output else v for v in reader.inputs))
        nodes.insert(place + 1, replace(nodes[place], name=nodes[place].name + suffix, outputs=(output + suffix,)))
    return replace(model, nodes=tuple(nodes))
