"""The file that names a farm's boards."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.common.errors import FarmError
from services.common.targets import target_names
from services.evaluator.farm import load_farm

ONE = "{name: desk, target: rp2040, kind: unicorn}"
BAD = {
    "no list": (b"[]", "the whole file"),
    "no boards": (b"boards: []", "at least 1 item"),
    "no name": (b"boards: [{name: '', target: rp2040, kind: unicorn}]", "boards.0.name"),
    "unknown kind": (b"boards: [{name: a, target: rp2040, kind: toaster}]", "boards.0.kind is 'toaster'"),
    "unknown target": (b"boards: [{name: a, target: toaster, kind: unicorn}]", "unknown target 'toaster'"),
    "field too many": (b"boards: [{name: a, target: rp2040, kind: unicorn, speed: 3}]", "boards.0.speed"),
    "one name twice": (f"boards: [{ONE}, {ONE}]".encode(), "2 boards are named 'desk'"),
    "broken YAML": (b"boards: {", "expected the node content"),
    "no text": (b"\xff\xfe\x00", "decode"),
}


def test_every_target_has_a_board_of_its_name() -> None:
    assert sorted(board.name for board in load_farm().boards) == sorted(target_names())


def test_boards_of_one_target_may_be_several(tmp_path: Path) -> None:
    (tmp_path / "boards.yaml").write_text(f"boards: [{ONE}, {ONE.replace('desk', 'shelf')}]")
    assert [board.name for board in load_farm(tmp_path / "boards.yaml").boards] == ["desk", "shelf"]


def test_target_names_its_first_board_unless_a_board_is_called_so(tmp_path: Path) -> None:
    desk, shelf = ONE, ONE.replace("desk", "shelf")
    (tmp_path / "boards.yaml").write_text(f"boards: [{desk}, {shelf}]")
    assert load_farm(tmp_path / "boards.yaml").board("rp2040").name == "desk"
    (tmp_path / "boards.yaml").write_text(f"boards: [{desk}, {ONE.replace('desk', 'rp2040')}]")
    assert load_farm(tmp_path / "boards.yaml").board("rp2040").name == "rp2040"


@pytest.mark.parametrize("case", BAD)
def test_bad_file_is_one_line_that_says_where(tmp_path: Path, case: str) -> None:
    content, words = BAD[case]
    (tmp_path / "boards.yaml").write_bytes(content)
    with pytest.raises(FarmError) as caught:
        load_farm(tmp_path / "boards.yaml")
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FarmError, match=r"nowhere\.yaml: No such file"):
        load_farm(tmp_path / "nowhere.yaml")
