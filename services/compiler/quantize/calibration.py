"""Calibration arrays: checked against the model's inputs and fed one sample at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from onnxruntime.quantization import CalibrationDataReader

from services.common.errors import InvalidArgumentError
from services.compiler.importers.onnx.model import Port

Array = npt.NDArray[Any]


def samples_of(inputs: tuple[Port, ...], arrays: Mapping[str, Array]) -> Mapping[str, Array] | Array:
    """Return what an .npz file holds of a model's inputs, by their names; of an only input that none is named for
    `input`, else `x`, else the only array beside the labels `y`. All arrays where some input has none.
    """
    names = [port.name for port in inputs]
    if all(name in arrays for name in names):
        return {name: arrays[name] for name in names}
    if len(names) == 1:
        others = [key for key in arrays if key != "y"] or list(arrays)
        single = next((key for key in ("input", "x") if key in arrays), others[0] if len(others) == 1 else None)
        return arrays if single is None else arrays[single]
    return arrays


def check_calibration(
    inputs: tuple[Port, ...], calibration: Mapping[str, Array] | Array, max_samples: int
) -> dict[str, npt.NDArray[np.float32]]:
    """Return float32 arrays [samples, ...] by input name, at most `max_samples` of them.

    A single array belongs to a model's only input. Raises InvalidArgumentError naming the input and what is wrong.
    """
    arrays = _by_name(inputs, calibration)
    checked = {port.name: _checked(port, np.asarray(arrays[port.name])) for port in inputs}
    counts = {name: len(array) for name, array in checked.items()}
    if len(set(counts.values())) != 1:
        raise _wrong("the number of calibration samples", counts, "must be the same for every input")
    return {name: array[:max_samples] for name, array in checked.items()}


def _by_name(inputs: tuple[Port, ...], calibration: Mapping[str, Array] | Array) -> Mapping[str, Array]:
    names = [port.name for port in inputs]
    if not isinstance(calibration, Mapping):
        if len(names) != 1:
            raise _wrong("the calibration data", "one array", f"must be one for each of the inputs {names}")
        return {names[0]: calibration}
    if missing := [name for name in names if name not in calibration]:
        raise _wrong("the calibration data", f"without input {missing[0]!r}", f"must hold {names}")
    if extra := [name for name in calibration if name not in names]:
        raise _wrong("the calibration data", f"for {extra[0]!r}", f"the model's inputs are {names}")
    return calibration


def _checked(port: Port, array: Array) -> npt.NDArray[np.float32]:
    subject = f"calibration of input {port.name!r}"
    if port.dtype != "float32":
        raise _wrong(f"the type of input {port.name!r}", port.dtype, "must be float32 to be quantized")
    if array.dtype.kind not in "fiu":
        raise _wrong(subject, array.dtype, "must be numbers")
    if array.shape == port.shape:
        array = array[None] if port.shape[:1] != (1,) else array
    if array.ndim != len(port.shape) or array.shape[1:] != port.shape[1:]:
        raise _wrong(subject, list(array.shape), f"must be [samples, {', '.join(str(d) for d in port.shape[1:])}]")
    if not len(array):
        raise _wrong(subject, "empty", "must hold at least 1 sample")
    held = array.astype(np.float32)
    if not np.all(np.isfinite(held)):
        raise _wrong(subject, "NaN or infinite somewhere", "must be finite")
    return held


def _wrong(subject: str, value: object, allowed: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{subject} is {value}: {allowed}", subject=subject, value=value, allowed=allowed)


class SampleReader(CalibrationDataReader):  # type: ignore[misc]
    """Gives onnxruntime one sample at a time, in order."""

    def __init__(self, arrays: Mapping[str, npt.NDArray[np.float32]]) -> None:
        self._samples = self._each(arrays)

    @staticmethod
    def _each(arrays: Mapping[str, npt.NDArray[np.float32]]) -> Iterator[dict[str, Array]]:
        for index in range(min(len(a) for a in arrays.values())):
            yield {name: array[index : index + 1] for name, array in arrays.items()}

    def get_next(self) -> dict[str, Array] | None:
        """Return the next sample by input name, None after the last."""
        return next(self._samples, None)
