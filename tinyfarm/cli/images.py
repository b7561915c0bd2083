"""A folder of pictures, one sub-folder a class, as one .npz with x and y."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tinyfarm.cli.progress import map_with_bar
from tinyfarm.client import InvalidInputError
from tinyfarm.client.arrays import write_npz

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".webp")


def pack_images(folder: Path, size: int) -> bytes:
    """Square pictures `x` [N, size, size, 3] uint8, classes `y` [N] in the order of the sub-folders' names, `names`.

    The middle square of each picture is scaled, while a progress bar counts them. Raises `InvalidInputError` where the
    folder has fewer than two classes or a picture cannot be read.
    """
    classes = [(path.name, _pictures(path)) for path in sorted(folder.iterdir()) if path.is_dir()]
    classes = [(name, pictures) for name, pictures in classes if pictures]
    if len(classes) < 2:
        raise InvalidInputError(
            f"data folder {str(folder)!r} has pictures of {len(classes)} classes",
            reason="EMPTY_DATA",
            subject="data folder",
            value=f"{len(classes)} classes",
            allowed=f"two or more sub-folders, one a class, with {', '.join(SUFFIXES)} files",
            hint="put the pictures of each class into a sub-folder",
        )
    every = [picture for _, pictures in classes for picture in pictures]
    x = np.stack(map_with_bar(lambda picture: _read(picture, size), every, f"reading {len(every):,} pictures"))
    y = np.concatenate([np.full(len(pictures), index) for index, (_, pictures) in enumerate(classes)])
    return write_npz({"x": x, "y": y.astype(np.int64), "names": np.array([name for name, _ in classes])})


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())


def _read(path: Path, size: int) -> npt.NDArray[np.uint8]:
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise InvalidInputError(
            "reading pictures needs the package pillow", reason="NO_PILLOW", subject="pillow", hint="pip install pillow"
        ) from None
    try:
        with Image.open(path) as image:
            square = ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.BILINEAR)
            return np.asarray(square, dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # SyntaxError: pillow's, of a PNG
        raise InvalidInputError(
            f"cannot read picture {str(path)!r}: {error}",
            reason="BAD_PICTURE",
            subject="picture",
            value=str(path),
            allowed=", ".join(SUFFIXES),
        ) from None
