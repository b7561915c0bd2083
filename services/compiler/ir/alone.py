"""Operators taken out of their graphs, so that what is known of one is remembered for all of its like.

In a search the same layers come again and again. Facts that depend on an operator's attributes and the shapes, types
and quantization of its tensors alone are worked out on a graph of that operator only, once for all equal ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache, lru_cache, wraps
from operator import attrgetter
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Op
from services.compiler.ir.same_objects import remembered_by_objects
from services.compiler.ir.tensor import DType, QuantParams, Tensor, TensorId

_REMEMBERED_OPERATORS = 1 << 14
_REMEMBERED_FACTS = 1 << 15

P = ParamSpec("P")
R = TypeVar("R")
K = TypeVar("K", bound=Op)
_TensorKey = tuple[tuple[int, ...], DType, QuantParams | None, bool]


@dataclass(frozen=True, slots=True, eq=False)
class Alone:
    """An operator without names in a graph of its own, tensors numbered from 0; equal operators are one object."""

    graph: Graph
    op: Op


def tensor_order(op: Op) -> tuple[TensorId, ...]:
    """Return an operator's tensors once each, as they are numbered where it is alone."""
    return tuple(dict.fromkeys((*op.inputs, *op.outputs)))


def alone(graph: Graph, op: Op) -> Alone | None:
    """Return the operator by itself; None where it has the values of a constant, which facts may depend on."""
    known = graph.alone.get(op.output)
    if known is not None and known[0] is op:
        return known[1]
    tensors = [graph.tensors[t] for t in (*op.inputs, *op.outputs)]
    found = None if any(t.data is not None for t in tensors) else _of_objects(op, *tensors)
    graph.alone[op.output] = op, found
    return found


@remembered_by_objects(_REMEMBERED_OPERATORS)
def _of_objects(op: Op, *named: Tensor) -> Alone:
    """Return the operator by itself, of the tensors that it reads and writes; one object for all equal ones."""
    tensors = dict(zip((*op.inputs, *op.outputs), named, strict=True))
    numbers = {t: number for number, t in enumerate(tensors)}
    ends = tuple(numbers[t] for t in op.inputs), tuple(numbers[t] for t in op.outputs)
    keys = tuple((t.shape, t.dtype, t.quant, t.is_constant) for t in tensors.values())
    return _of_signature(type(op), _attributes(type(op))(op), ends, keys)  # type: ignore[arg-type]


def isolated(graph: Graph, op: Op) -> Alone:
    """Return the operator by itself with the values of its constants; a new one every time."""
    numbers = {t: number for number, t in enumerate(tensor_order(op))}
    renamed = {"inputs": tuple(numbers[t] for t in op.inputs), "outputs": tuple(numbers[t] for t in op.outputs)}
    own = replace(op, name="", **renamed)  # type: ignore[arg-type]
    tensors = {number: graph.tensors[t] for t, number in numbers.items()}
    inputs = tuple(t for t in tensor_order(own) if t not in own.outputs and not tensors[t].is_constant)
    return Alone(Graph("", tensors, (own,), inputs, own.outputs), own)


@lru_cache(maxsize=_REMEMBERED_OPERATORS)
def _of_signature(
    kind: type[Op],
    attributes: tuple[object, ...],
    ends: tuple[tuple[int, ...], tuple[int, ...]],
    keys: tuple[_TensorKey, ...],
) -> Alone:
    named = dict(zip(_attribute_names(kind), attributes, strict=True))  # type: ignore[arg-type]
    op = kind(name="", inputs=ends[0], outputs=ends[1], **named)  # type: ignore[arg-type]
    tensors = {number: Tensor("", *key[:3], None, key[3]) for number, key in enumerate(keys)}
    inputs = tuple(t for t in tensor_order(op) if t not in op.outputs and not tensors[t].is_constant)
    return Alone(Graph("", tensors, (op,), inputs, op.outputs), op)


@cache
def _attribute_names(kind: type[Op]) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind) if f.name not in ("name", "inputs", "outputs"))


@cache
def _attributes(kind: type[Op]) -> Callable[[Op], tuple[object, ...]]:
    names = _attribute_names(kind)  # type: ignore[arg-type]
    if len(names) > 1:
        return attrgetter(*names)
    return lambda op: tuple(getattr(op, name) for name in names)


def own_fact(graph: Graph, key: object, fact: Callable[..., R], *args: Any) -> R:
    """Return what is known of a graph under a key; if nothing is, what `fact` tells of the arguments."""
    if key not in graph.facts:
        graph.facts[key] = fact(*args)
    return cast(R, graph.facts[key])


def remembered(fact: Callable[Concatenate[Graph, K, P], R]) -> Callable[Concatenate[Graph, K, P], R]:
    """Return the function, remembering its results for operators that are equal but for names and places.

    It must not look at the rest of the graph, and its results must not name tensors. Results with values of constants
    are remembered as long as their graph is. Arguments are given by their places.
    """

    @lru_cache(maxsize=_REMEMBERED_FACTS)
    def known(one: Alone, *args: Any) -> R:
        return fact(one.graph, one.op, *args)  # type: ignore[call-arg,arg-type]

    def asked(graph: Graph, op: Op, *args: Any) -> R:
        met = graph.alone.get(op.outputs[0])
        one = met[1] if met is not None and met[0] is op else alone(graph, op)
        return known(one, *args) if one is not None else own_fact(graph, (fact, op, *args), fact, graph, op, *args)

    return cast(Callable[Concatenate[Graph, K, P], R], wraps(fact)(asked))
