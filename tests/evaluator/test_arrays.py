"""Arrays for a run: how they are matched to inputs, and what is refused."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pytest

from services.common.npz import ArraysError
from services.evaluator.arrays import read_samples, seeded_samples
from services.evaluator.manifest import DType, TensorSpec


def spec(name: str = "serving_default_x:0", model_dtype: DType = "int8") -> TensorSpec:
    return TensorSpec(
        name=name, shape=(1, 2, 3), dtype="int8", scale=0.5, zero_point=0, offset_bytes=0, size_bytes=6,
        model_dtype=model_dtype,
    )  # fmt: skip


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def raw_npz(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


A = np.arange(24, dtype=np.int8).reshape(4, 2, 3)
B = A + np.int8(100)

MATCHES = {
    "by tensor name": {"x": B, "input": B, "serving_default_x:0": A},
    "else input": {"x": B, "input": A, "other": B},
    "else x": {"x": A, "other": B, "names": np.array(["a"])},
    "else the only one": {"whatever": A},
    "else the only one beside labels": {"whatever": A, "y": np.zeros(4, np.int64)},
}


@pytest.mark.parametrize("arrays", MATCHES.values(), ids=MATCHES.keys())
def test_array_is_matched(arrays: dict[str, Any]) -> None:
    samples = read_samples(npz(**arrays), (spec(),))
    np.testing.assert_array_equal(samples.inputs[0], A)
    assert samples.count == 4


def test_leading_one_of_the_model_shape_may_be_kept() -> None:
    samples = read_samples(npz(x=A.reshape(4, 1, 2, 3)), (spec(),))
    np.testing.assert_array_equal(samples.inputs[0], A)


def test_double_becomes_float_for_a_float_model() -> None:
    samples = read_samples(npz(x=np.full((1, 2, 3), 0.1)), (spec(model_dtype="float32"),))
    assert samples.inputs[0].dtype == np.float32


def test_fortran_order_is_kept_apart_from_c_order() -> None:
    np.testing.assert_array_equal(read_samples(npz(x=np.asfortranarray(A)), (spec(),)).inputs[0], A)


def test_labels_are_read_beside_inputs() -> None:
    labels = read_samples(npz(x=A, y=np.array([3, 1, 2, 0])), (spec(),)).labels
    assert labels is not None
    assert labels.tolist() == [3, 1, 2, 0]


def header_claiming(shape: str) -> bytes:
    text = f"{{'descr': '|i1', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(6)


def lying_zip() -> bytes:
    honest = raw_npz({"x.npy": header_claiming("(1, 2, 3)") + bytes(5000)})
    place = honest.rindex(b"PK\x01\x02") + 24
    return honest[:place] + (100).to_bytes(4, "little") + honest[place + 4 :]


TWO = (spec("a"), spec("b"))
BAD: dict[str, tuple[bytes, tuple[TensorSpec, ...], str]] = {
    "no zip": (b"hello", (spec(),), "no .npz file"),
    "one .npy": (header_claiming("(1, 2, 3)"), (spec(),), "no .npz file"),
    "no array fits": (npz(p=A, q=B), (spec(),), "has 'p', 'q', wanted"),
    "two inputs need names": (npz(a=A, x=B), TWO, "no array for input 'b'"),
    "different counts": (npz(a=A, b=A[:3]), TWO, "{'a': 4, 'b': 3}"),
    "wrong shape": (npz(x=A.reshape(4, 3, 2)), (spec(),), "shape [4, 3, 2], wanted [N, 2, 3]"),
    "a scalar": (npz(x=np.int8(1)), (spec(),), "has shape []"),
    "no samples": (npz(x=A[:0]), (spec(),), "has no samples"),
    "wrong type": (npz(x=A.astype(np.float32)), (spec(),), "is float32, the model wants int8"),
    "NaN": (npz(x=np.full((1, 2, 3), np.nan, np.float32)), (spec(model_dtype="float32"),), "NaN"),
    "pickle": (npz(x=np.array([{}], dtype=object)), (spec(),), "pickled Python objects"),
    "text": (npz(x=np.array(["a"])), (spec(),), "shape [1]"),
    "labels of floats": (npz(x=A, y=np.zeros(4)), (spec(),), "'y' are float64[4]"),
    "labels too few": (npz(x=A, y=np.zeros(3, int)), (spec(),), "int64[3], wanted whole numbers [4]"),
    "header claims 8 TiB": (raw_npz({"x.npy": header_claiming("(8796093022208,)")}), (spec(),), "its header says"),
    "header is code": (raw_npz({"x.npy": header_claiming("__import__('os')")}), (spec(),), "no .npy data"),
    "zip lies about its size": (lying_zip(), (spec(),), "'x'"),
    "bomb": (raw_npz({"x.npy": bytes((1 << 30) + 1)}), (spec(),), "at most 4096 of 1073741824 bytes"),
}


@pytest.mark.parametrize(("data", "inputs", "words"), BAD.values(), ids=BAD.keys())
def test_bad_arrays_are_refused_with_one_clear_error(data: bytes, inputs: tuple[TensorSpec, ...], words: str) -> None:
    with pytest.raises(ArraysError) as caught:
        read_samples(data, inputs)
    assert words in caught.value.message


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "float32"])
def test_seeded_sample_has_the_models_type_and_is_always_the_same(dtype: DType) -> None:
    first, second = (seeded_samples((spec(model_dtype=dtype),)).inputs[0] for _ in range(2))
    assert first.dtype == np.dtype(dtype)
    assert first.shape == (1, 2, 3)
    np.testing.assert_array_equal(first, second)
