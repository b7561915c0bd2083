import io

import numpy as np
import pytest

from tinyfarm.client import InvalidInputError
from tinyfarm.client.arrays import read_npz, write_npz


def test_arrays_come_back_under_names_that_savez_would_swallow():
    arrays = {"file": np.arange(3, dtype=np.int8), "a b;c": np.ones((1, 2), np.float32)}
    back = read_npz(write_npz(arrays))
    assert set(back) == set(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype and np.array_equal(back[name], array)


def test_one_array_goes_under_input_and_equal_arrays_are_equal_bytes():
    x = np.zeros((2, 3), np.float32)
    assert list(read_npz(write_npz(x))) == ["input"]
    assert write_npz(x) == write_npz(x.copy())


def test_python_objects_are_refused_both_ways():
    objects = np.array([{"a": 1}], dtype=object)
    with pytest.raises(InvalidInputError, match="Python objects"):
        write_npz({"x": objects})
    sink = io.BytesIO()
    np.savez(sink, x=objects)
    with pytest.raises(InvalidInputError, match=r"\.npz"):
        read_npz(sink.getvalue())


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a zip", b"\x93NUMPY"])
def test_what_is_no_npz_is_refused(content):
    with pytest.raises(InvalidInputError, match=r"\.npz"):
        read_npz(content)
