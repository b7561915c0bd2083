"""Arrays from an .npz file: bounded, never pickled, and matched to a model's inputs."""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.evaluator.errors import ArraysError
from services.evaluator.manifest import TensorSpec

MAX_ARRAYS = 4096
MAX_ARRAY_BYTES = 1 << 30
_MAX_HEADER_BYTES = 16384

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Samples:
    """Inputs in the model's own types, one array [N, ...] for each input, and labels [N] where the file has `y`."""

    inputs: tuple[Array, ...]
    labels: Array | None

    @property
    def count(self) -> int:
        """Number of samples, N."""
        return len(self.inputs[0])


class ArrayFile:
    """An opened .npz: the names of its arrays, each read only when it is asked for."""

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            entries = self._zip.infolist()
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise ArraysError(
                f"the arrays are no .npz file: {error}", subject="npz", allowed="a file written by numpy.savez"
            ) from error
        if len(entries) > MAX_ARRAYS:
            raise ArraysError(
                f"the .npz has {len(entries)} arrays, allowed are {MAX_ARRAYS}",
                subject="npz",
                value=len(entries),
                allowed=MAX_ARRAYS,
            )
        self._entries = {entry.filename.removesuffix(".npy"): entry for entry in entries}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays in the file's order."""
        return tuple(self._entries)

    def read(self, name: str) -> Array:
        """Return one array; its size is checked from the headers before memory is taken."""
        entry = self._entries[name]
        if entry.file_size > MAX_ARRAY_BYTES:
            raise ArraysError(
                f"array {name!r} unpacks to {entry.file_size} bytes, allowed are {MAX_ARRAY_BYTES}",
                subject=name,
                value=entry.file_size,
                allowed=MAX_ARRAY_BYTES,
            )
        try:
            with self._zip.open(entry) as stream:
                # The zip's own size may lie: never take more than it said.
                data = stream.read(entry.file_size)
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
            raise ArraysError(f"array {name!r} cannot be read: {error}", subject=name) from error
        return _parse_npy(name, data)


def _parse_npy(name: str, data: bytes) -> Array:
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = reader(stream, max_header_size=_MAX_HEADER_BYTES)
    except ValueError as error:
        raise ArraysError(f"array {name!r} is no .npy data: {error}", subject=name) from error
    if dtype.hasobject:
        raise ArraysError(
            f"array {name!r} holds pickled Python objects, which are never read",
            subject=name,
            value=str(dtype),
            allowed="numbers",
        )
    expected, found = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
    if expected != found:
        raise ArraysError(
            f"array {name!r} has {found} bytes, its header says {expected}", subject=name, value=found, allowed=expected
        )
    flat = np.frombuffer(data, dtype=dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def read_samples(data: bytes, inputs: tuple[TensorSpec, ...]) -> Samples:
    """Match arrays to a model's inputs: by tensor name, else `input`, else `x`, else the only array.

    The first axis counts samples; `y` holds labels; other arrays are ignored.
    """
    file = ArrayFile(data)
    arrays = tuple(_checked(spec, file.read(_key_for(spec, inputs, file.names))) for spec in inputs)
    counts = {spec.name: len(array) for spec, array in zip(inputs, arrays, strict=True)}
    if len(set(counts.values())) != 1:
        raise ArraysError(f"the inputs differ in their number of samples: {counts}", subject="npz", value=counts)
    return Samples(arrays, _labels(file, len(arrays[0])))


def _key_for(spec: TensorSpec, inputs: tuple[TensorSpec, ...], names: tuple[str, ...]) -> str:
    if spec.name in names:
        return spec.name
    if len(inputs) == 1:
        for key in ("input", "x"):
            if key in names:
                return key
        others = [name for name in names if name != "y"]
        if len(others) == 1:
            return others[0]
    wanted = repr(spec.name) if len(inputs) > 1 else f"{spec.name!r}, 'input' or 'x'"
    raise ArraysError(
        f"no array for input {spec.name!r}: the .npz has {', '.join(map(repr, names)) or 'no arrays'}, wanted {wanted}",
        subject=spec.name,
        value=", ".join(names),
        allowed=wanted,
    )


def _checked(spec: TensorSpec, array: Array) -> Array:
    wanted = spec.shape[1:] if spec.shape[0] == 1 else spec.shape
    if array.ndim == 0 or array.shape[1:] not in (wanted, spec.shape):
        raise ArraysError(
            f"input {spec.name!r} has shape {list(array.shape)}, wanted {['N', *wanted]} (first axis = samples)",
            subject=spec.name,
            value=list(array.shape),
            allowed=["N", *wanted],
        )
    if len(array) == 0:
        raise ArraysError(
            f"input {spec.name!r} has no samples: its shape is {list(array.shape)}",
            subject=spec.name,
            value=list(array.shape),
        )
    if spec.model_dtype == "float32" and array.dtype == np.float64:
        array = array.astype(np.float32)
    if array.dtype != np.dtype(spec.model_dtype):
        raise ArraysError(
            f"input {spec.name!r} is {array.dtype}, the model wants {spec.model_dtype}",
            subject=spec.name,
            value=str(array.dtype),
            allowed=spec.model_dtype,
        )
    if spec.model_dtype == "float32" and not np.isfinite(array).all():
        raise ArraysError(
            f"input {spec.name!r} holds NaN or infinity",
            subject=spec.name,
            value="NaN or infinity",
            allowed="finite numbers",
        )
    return np.ascontiguousarray(array.reshape(len(array), *wanted))


def _labels(file: ArrayFile, count: int) -> Array | None:
    if "y" not in file.names:
        return None
    labels = file.read("y")
    if labels.dtype.kind not in "iu" or labels.shape not in ((count,), (count, 1)):
        raise ArraysError(
            f"labels 'y' are {labels.dtype}{list(labels.shape)}, wanted whole numbers [{count}]",
            subject="y",
            value=f"{labels.dtype}{list(labels.shape)}",
            allowed=f"integers [{count}]",
        )
    return labels.reshape(count)


def seeded_samples(inputs: tuple[TensorSpec, ...]) -> Samples:
    """Return one sample of seeded noise in the model's own types, for a run without data."""
    generator = np.random.default_rng(0)
    return Samples(tuple(_noise(generator, spec) for spec in inputs), None)


def _noise(generator: np.random.Generator, spec: TensorSpec) -> Array:
    shape = (1, *(spec.shape[1:] if spec.shape[0] == 1 else spec.shape))
    dtype = np.dtype(spec.model_dtype)
    if dtype.kind == "f":
        return generator.uniform(-1.0, 1.0, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return generator.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
