"""What is remembered by which objects it was made of."""

from __future__ import annotations

from services.compiler.ir.same_objects import remembered_by_objects


def test_made_once_of_the_same_objects_and_anew_of_equal_ones() -> None:
    made: list[tuple[object, object]] = []

    @remembered_by_objects(8)
    def pair(a: list[int], b: list[int]) -> tuple[int, ...]:
        made.append((a, b))
        return (*a, *b)

    one, two, equal = [1], [2], [1]
    assert pair(one, two) is pair(one, two)
    assert pair(equal, two) == pair(one, two)
    assert pair(two, one) == (2, 1)
    assert made == [([1], [2]), ([1], [2]), ([2], [1])]


def test_ids_of_dead_objects_lead_to_no_result_of_others() -> None:
    @remembered_by_objects(4)
    def first(values: list[int]) -> int:
        return values[0]

    # every list dies as soon as it is forgotten, so ids come again
    assert [first([n]) for n in range(100)] == list(range(100))
