import json

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from skcmanp.layout import arrays_in, file_of, metadata_of, start_of_body

DTYPES = [np.float64, np.float32, np.int64, np.int32]
ARRAYS = st.sampled_from(DTYPES).flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=0, min_side=0, max_side=4)))


def header_of(data):
    return data[8 : start_of_body(data)].decode()


def written_by_hand(header, body):
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return len(text).to_bytes(8, "little") + text + body


@given(named=st.dictionaries(st.text(max_size=5).filter(lambda name: name != "__metadata__"), ARRAYS, max_size=5))
def test_arrays_are_what_the_formats_library_wrote(named):
    data = safetensors.numpy.save(named, {"some": "metadata"})
    found, expected = arrays_in(data, header_of(data)), safetensors.numpy.load(data)
    assert found.keys() == expected.keys() == named.keys()
    for name, array in found.items():
        assert array.dtype == expected[name].dtype
        np.testing.assert_array_equal(array, expected[name])
        assert array.shape == named[name].shape
        assert not array.flags.writeable
    assert metadata_of(data) == {"some": "metadata"}


A = {"dtype": "F64", "shape": [2], "data_offsets": [0, 16]}
B = {"dtype": "I32", "shape": [1, 2], "data_offsets": [16, 24]}


def test_a_header_written_by_hand_is_read():
    data = written_by_hand({"b": B, "a": A}, bytes(24))
    assert {name: array.shape for name, array in arrays_in(data, header_of(data)).items()} == {"a": (2,), "b": (1, 2)}


@pytest.mark.parametrize(
    "header",
    [
        "",
        "[]",
        "null",
        "[" * 100_000,
        {"a": A, "b": []},
        {"a": A, "b": None},
        *({"a": A, "b": {name: B[name] for name in B if name != left_out}} for left_out in B),
        *({"a": A, "b": B | {"dtype": dtype}} for dtype in ("F16", "F64", "BOOL", "i4", None, 4, [], {})),
        *({"a": A, "b": B | {"shape": shape}} for shape in ([3], [-1, -2], [2.0], [True, 2], [2**70], [None])),
        *({"a": A, "b": B | {"shape": shape}} for shape in (2, "2", {}, None, [[2]], [2**31, 2**31, 2**31], [0])),
        *({"a": A, "b": B | {"data_offsets": at}} for at in ([8, 16], [0, 8], [17, 25], [16, 32], [-8, 0], [24, 16])),
        *({"a": A, "b": B | {"data_offsets": at}} for at in ([16], [], [16, 24, 32], "ab", None, 16, [[16], 24], {})),
        {"a": A},
        {"b": B},
        {"a": A, "b": B, "c": B},
        {"a": A, "b": B, "c": B | {"data_offsets": [24, 32]}},
        {"a": A, "b": B, "c": B | {"data_offsets": [2**64, 2**64 + 8]}},
        {"a": A, "b": B | {"shape": [2**62] * 50_000}},
        {"a": A, "b": B | {"shape": [10**4000]}},
        {"a": A, "b": B | {"shape": [1] * 9}},
        {str(i): B for i in range(20_000)},
        {"a": A, "x" * 10**6: B | {"dtype": "F8_E4M3"}},
    ],
)
def test_arrays_that_are_not_one_after_another_are_refused(header):
    data = written_by_hand(header, bytes(24))
    with pytest.raises(ValueError, match=r"not a safetensors|the array|as many as their arrays|20000 arrays") as error:
        arrays_in(data, header_of(data))
    assert len(str(error.value)) < 400


@given(named=st.dictionaries(st.text(max_size=5).filter(lambda name: name != "__metadata__"), ARRAYS, max_size=5))
def test_the_formats_library_reads_what_is_written(named):
    metadata = {"some": 'text with "quotes" and ü'}
    data = file_of(named, metadata)
    found, mine = safetensors.numpy.load(data), arrays_in(data, header_of(data))
    assert found.keys() == mine.keys() == named.keys()
    assert metadata_of(data) == metadata
    for name, array in named.items():
        for other in (found[name], mine[name]):
            assert other.dtype == array.dtype
            assert other.flags.aligned
            np.testing.assert_array_equal(other, array)


@pytest.mark.parametrize("n", [0, 16, 23, 25, 32])
def test_bodies_of_other_lengths_are_refused(n):
    data = written_by_hand({"a": A, "b": B}, bytes(n))
    with pytest.raises(ValueError, match=f"{n} bytes are not 24"):
        arrays_in(data, header_of(data))


@pytest.mark.parametrize(
    "data", [b"", b"1234567", b"\xff" * 20, b"\2\0\0\0\0\0\0\0[]", (9**7).to_bytes(8, "little") + b"[" * 9**7]
)
def test_other_files_have_no_metadata(data):
    with pytest.raises(ValueError, match="not a safetensors file"):
        metadata_of(data)
