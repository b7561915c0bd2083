"""Files that commands read and write: data folders in, C libraries out."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from tinyfarm.cli import progress
from tinyfarm.cli.images import pack_images
from tinyfarm.cli.unpack import unpack_library
from tinyfarm.client import InvalidInputError, ServerFaultError
from tinyfarm.client.arrays import read_npz

CURSOR_BACK_AND_LINE_ERASED = "\x1b[?25h\r\x1b[1A\x1b[2K"


def picture(path, color, size=(20, 10)):
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", size, color).save(path)


def test_folder_of_classes_becomes_x_and_y(tmp_path):
    picture(tmp_path / "cat" / "1.png", (255, 0, 0))
    picture(tmp_path / "dog" / "1.png", (0, 0, 255), size=(7, 30))
    picture(tmp_path / "dog" / "2.bmp", (0, 0, 255))
    (tmp_path / "dog" / "notes.txt").write_text("not a picture")
    arrays = read_npz(pack_images(tmp_path, 8))
    assert arrays["x"].shape == (3, 8, 8, 3) and arrays["x"].dtype == np.uint8
    assert arrays["y"].tolist() == [0, 1, 1] and arrays["names"].tolist() == ["cat", "dog"]
    assert (arrays["x"][0] == (255, 0, 0)).all() and (arrays["x"][1] == (0, 0, 255)).all()


@pytest.mark.parametrize("classes", [(), ("one",)])
def test_folder_with_fewer_than_two_classes_is_refused(tmp_path, classes):
    for name in classes:
        picture(tmp_path / name / "1.png", (0, 0, 0))
    with pytest.raises(InvalidInputError, match=f"pictures of {len(classes)} classes"):
        pack_images(tmp_path, 8)


def test_broken_picture_is_named(tmp_path):
    picture(tmp_path / "a" / "1.png", (0, 0, 0))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(InvalidInputError, match=r"broken\.png"):
        pack_images(tmp_path, 8)


@pytest.fixture
def two_pictures(tmp_path):
    for name in ("cat", "dog"):
        picture(tmp_path / name / "1.png", (0, 0, 0))
    return tmp_path


def shown(monkeypatch, *, terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    monkeypatch.setattr(progress, "stderr", console)
    return console.file


def test_reading_pictures_draws_a_bar_and_erases_it(monkeypatch, two_pictures):
    screen = shown(monkeypatch, terminal=True)
    pack_images(two_pictures, 8)
    assert "reading 2 pictures" in screen.getvalue() and "100%" in screen.getvalue()
    assert screen.getvalue().endswith(CURSOR_BACK_AND_LINE_ERASED)


def test_bar_is_gone_before_an_error_is_told(monkeypatch, two_pictures):
    screen = shown(monkeypatch, terminal=True)
    (two_pictures / "dog" / "1.png").write_bytes(b"broken")
    with pytest.raises(InvalidInputError):
        pack_images(two_pictures, 8)
    assert screen.getvalue().endswith(CURSOR_BACK_AND_LINE_ERASED)


def test_log_gets_no_bar(monkeypatch, two_pictures):
    log = shown(monkeypatch, terminal=False)
    pack_images(two_pictures, 8)
    assert log.getvalue() == ""


def archive(*names):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as file:
        for name in names:
            file.writestr(name, name)
    return sink.getvalue()


def test_library_is_unpacked_flat(tmp_path):
    written = unpack_library(archive("manifest.json", "kws.h", "tf_conv.c"), tmp_path / "new" / "lib")
    assert [path.name for path in written] == ["manifest.json", "kws.h", "tf_conv.c"]
    assert (tmp_path / "new" / "lib" / "kws.h").read_text() == "kws.h"


@pytest.mark.parametrize("name", ["../x.c", "/etc/x.c", "a/b.c", ".hidden", "x;y.c", "x" * 200])
def test_library_with_a_name_that_is_not_plain_is_refused(tmp_path, name):
    with pytest.raises(ServerFaultError, match="holds a file named"):
        unpack_library(archive(name), tmp_path / "lib")
    assert not list(tmp_path.rglob("*.c"))
