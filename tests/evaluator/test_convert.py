"""What outputs are called in the .npz that a user gets."""

from __future__ import annotations

import pytest

from services.evaluator.convert import output_keys


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (["scores"], ("scores",)),
        (["file", "allow_pickle"], ("file", "allow_pickle")),
        (["", "a/b", "nul\0byte"], ("output", "a_b", "nul_byte")),
        (["same", "same", "same"], ("same", "same_1", "same_2")),
        (["a_b_2", "a_b", "a/b"], ("a_b_2", "a_b", "a_b_3")),
        (["x" * 70_000], ("x" * 1000,)),
    ],
)
def test_every_output_has_a_key_of_its_own_whatever_it_is_called(names: list[str], keys: tuple[str, ...]) -> None:
    assert output_keys(names) == keys
