"""Parameters of a kernel call by name: what the counts of its time are read from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from services.compiler.codegen.program import FieldValue, KernelCall, Symbol


@lru_cache(maxsize=1)
def call_fields(call: KernelCall) -> Mapping[str, FieldValue]:
    """Return the call's parameters; one call is asked for several of them."""
    return dict(call.fields())


def number(call: KernelCall, field: str) -> int:
    """Return a parameter that is an integer."""
    value = call_fields(call)[field]
    if not isinstance(value, int):
        raise AssertionError(f"{call.function}: field {field} is no integer")
    return value


def numbers(call: KernelCall, field: str) -> tuple[int, ...]:
    """Return a parameter that is an array of integers."""
    value = call_fields(call)[field]
    found = tuple(element for element in value if isinstance(element, int)) if isinstance(value, tuple) else ()
    if not isinstance(value, tuple) or len(found) < len(value):
        raise AssertionError(f"{call.function}: field {field} is no array of integers")
    return found


def routine_name(call: KernelCall, field: str) -> str:
    """Return the name of the routine that a parameter points at."""
    value = call_fields(call)[field]
    if not isinstance(value, Symbol):
        raise AssertionError(f"{call.function}: field {field} names no routine")
    return value.name
