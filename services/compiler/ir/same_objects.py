"""Results that are remembered by which objects they were made of, without comparing them.

What is read from messages is shared among all networks of a search (convert/network.py), so the same objects come
again and again, and comparing all they hold would take longer than making the result.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar, TypeVarTuple, cast

_Objects = TypeVarTuple("_Objects")
R = TypeVar("R")


def remembered_by_objects(most: int) -> Callable[[Callable[[*_Objects], R]], Callable[[*_Objects], R]]:
    """Return a decorator that remembers up to so many results of a function, and forgets them all beyond that."""

    def decorate(make: Callable[[*_Objects], R]) -> Callable[[*_Objects], R]:
        # the objects are held with the result, so that none dies and leaves its id to another
        known: dict[tuple[int, ...], tuple[R, tuple[object, ...]]] = {}

        def asked(*objects: *_Objects) -> R:
            key = tuple(map(id, objects))
            found = known.get(key)
            if found is None:
                if len(known) >= most:
                    known.clear()
                found = known[key] = make(*objects), objects
            return found[0]

        return cast(Callable[[*_Objects], R], wraps(make)(asked))

    return decorate
