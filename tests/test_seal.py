import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from skcmanp.seal import check_seal, metadata_of, seal, unsealed

KEY = "skcmanp.test.1"


def sealed(text):
    return seal(safetensors.numpy.save({"a": np.arange(5.0)}, {KEY: unsealed(text)}), KEY)


@given(text=st.text() | st.just(f'"{KEY}":"00000000'))
def test_what_is_sealed_is_found_again(text):
    data = sealed(text)
    assert check_seal(data, KEY) == text
    assert safetensors.numpy.load(data)["a"].tolist() == [0, 1, 2, 3, 4]


def test_every_flipped_bit_is_noticed():
    data = bytearray(sealed("é"))
    for position in range(len(data)):
        for bit in range(8):
            data[position] ^= 1 << bit
            with pytest.raises(ValueError, match=r"they are|these are|their"):
                check_seal(bytes(data), KEY)
            data[position] ^= 1 << bit


@pytest.mark.parametrize(
    "data", [b"", b"1234567", b"\xff" * 20, b"\2\0\0\0\0\0\0\0[]", (9**7).to_bytes(8, "little") + b"[" * 9**7]
)
def test_other_files_have_no_metadata(data):
    with pytest.raises(ValueError, match="not a safetensors file"):
        metadata_of(data)
