"""Places to write to are refused before any work is done for them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tinyfarm.cli.options import output_file, output_folder
from tinyfarm.client import InvalidInputError


def test_new_files_and_folders_below_what_exists_are_taken(tmp_path: Path) -> None:
    assert output_file(tmp_path / "new" / "out.npz") == tmp_path / "new" / "out.npz"
    assert output_folder(tmp_path / "new" / "deep") == tmp_path / "new" / "deep"
    assert (output_file(None), output_folder(None)) == (None, None)
    assert list(tmp_path.iterdir()) == []


def test_existing_ones_may_be_written_again(tmp_path: Path) -> None:
    (tmp_path / "out.npz").touch()
    assert output_file(tmp_path / "out.npz") and output_folder(tmp_path)


def test_folder_is_no_file_and_file_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInputError, match="is a folder, not a file"):
        output_file(tmp_path)
    for refused in (lambda: output_folder(tmp_path / "file"), lambda: output_file(tmp_path / "file" / "out.npz")):
        with pytest.raises(InvalidInputError, match="file is not a folder"):
            refused()


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_folder_that_is_closed_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InvalidInputError, match="is not writable"):
        output_file(tmp_path / "out.npz")
