"""Arrays of an .npz file matched to a model's inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.common.npz import Array, ArrayFile, ArraysError
from services.evaluator.manifest import TensorSpec


@dataclass(frozen=True, slots=True)
class Samples:
    """Inputs in the model's own types, one array [N, ...] for each input, and labels [N] where the file has `y`."""

    inputs: tuple[Array, ...]
    labels: Array | None

    @property
    def count(self) -> int:
        """Number of samples, N."""
        return len(self.inputs[0])


def read_samples(data: bytes, inputs: tuple[TensorSpec, ...]) -> Samples:
    """Match arrays to a model's inputs: by tensor name, else `input`, else `x`, else the only array.

    The first axis counts samples; `y` holds labels; other arrays are ignored. Raises ArraysError where an input has
    no array, an array has another shape than its input, or the numbers of samples differ.
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
    wanted = spec.sample
    if array.ndim == 0 or array.shape[1:] not in (wanted, spec.declared):
        allowed = f"[{', '.join(map(str, ('N', *wanted)))}]"
        raise ArraysError(
            f"input {spec.name!r} has shape {list(array.shape)}, wanted {allowed} (first axis = samples)",
            subject=spec.name,
            value=list(array.shape),
            allowed=allowed,
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
    shape = (1, *spec.sample)
    dtype = np.dtype(spec.model_dtype)
    if dtype.kind == "f":
        return generator.uniform(-1.0, 1.0, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return generator.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
