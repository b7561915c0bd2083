"""Identical weights in flash once: heads that share a convolution, layers that share a table of biases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from services.compiler.codegen.program import (
    ArrayRef,
    ConstArray,
    CType,
    Fields,
    FieldValue,
    KernelCall,
    Program,
    Section,
)

# The array that stands for each one that is dropped, by suffix.
_Shared = Mapping[str, ConstArray]


def share_weights(program: Program) -> Program:
    """Return the program in which weights of the same type and values are one array, that of the first layer.

    Needs the values, so estimates of weight-free networks count every array.
    """
    if not (shared := _duplicates(program)):
        return program
    layers = (replace(layer, calls=tuple(_call(call, shared) for call in layer.calls)) for layer in program.layers)
    return replace(program, layers=tuple(layers))


def _duplicates(program: Program) -> _Shared:
    """Values are computed only where type and size are the same."""
    alike: dict[tuple[CType, int], list[ConstArray]] = defaultdict(list)
    for array in program.arrays(Section.WEIGHTS):
        alike[array.ctype, array.count].append(array)
    shared = {}
    for arrays in alike.values():
        first: dict[bytes, ConstArray] = {}
        for array in arrays if len(arrays) > 1 else ():
            kept = first.setdefault(array.values().tobytes(), array)
            if kept is not array:
                shared[array.suffix] = kept
    return shared


def _call(call: KernelCall, shared: _Shared) -> KernelCall:
    pointers = tuple(_reference(p, shared) if isinstance(p, ArrayRef) else p for p in call.pointers)
    return replace(
        call,
        arrays=tuple(shared.get(a.suffix, a) for a in call.arrays),
        pointers=pointers,
        fields=lambda: _fields(call.fields(), shared),
    )


def _fields(fields: Fields, shared: _Shared) -> Fields:
    return tuple((name, _value(value, shared)) for name, value in fields)


def _value(value: FieldValue, shared: _Shared) -> FieldValue:
    """Structs nest, and hold no arrays but by name."""
    match value:
        case ArrayRef():
            return _reference(value, shared)
        case ((str(), _), *_):
            return tuple((name, _value(inner, shared)) for name, inner in value)  # type: ignore[misc]
        case _:
            return value


def _reference(reference: ArrayRef, shared: _Shared) -> ArrayRef:
    return ArrayRef(shared.get(reference.array.suffix, reference.array))
