import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from skcmanp.layout import arrays_in
from skcmanp.seal import check_seal, seal, split_header, unsealed

KEY = "skcmanp.test.1"


def sealed(text):
    return seal(safetensors.numpy.save({"a": np.arange(5.0)}, {KEY: unsealed(text)}), KEY)


@pytest.mark.parametrize("n", [0, 1, 1023, 1024, 1025, 5000])
def test_damage_of_bodies_of_any_size_is_noticed(n):
    rng = np.random.default_rng(n)
    whole = seal(safetensors.numpy.save({"a": rng.normal(size=n)}, {KEY: unsealed("{}")}), KEY)
    assert check_seal(whole, KEY) == "{}"
    body = len(whole) - 8 * n
    for _ in range(300):
        data, at, to = bytearray(whole), *rng.integers(body - 20, len(whole), 2)
        size = int(rng.integers(1, 2 ** rng.integers(1, 14)))
        match rng.integers(5):
            case 0:
                data[at] ^= 1 << int(rng.integers(8))
            case 1:
                del data[at:]
            case 2:
                data[at : at + size] = bytes(len(data[at : at + size]))
            case 3:
                data[at : at + size], data[to : to + size] = data[to : to + size], data[at : at + size]
            case _:  # signs of some numbers, whose sums are the most easily the same
                for place in rng.integers(n, size=min(n, 3)):
                    data[body + 8 * place + 7] ^= 0x80
        if data != whole:
            with pytest.raises(ValueError, match=r"their|they|these"):
                check_seal(bytes(data), KEY)


@given(text=st.text() | st.just(f'"{KEY}":"00000000'))
def test_what_is_sealed_is_found_again(text):
    data = sealed(text)
    assert check_seal(data, KEY) == text
    assert safetensors.numpy.load(data)["a"].tolist() == [0, 1, 2, 3, 4]
    found, header = split_header(data, KEY)
    assert (found, header) == (text, split_header(sealed("another"), KEY)[1])
    assert arrays_in(data, header)["a"].tolist() == [0, 1, 2, 3, 4]


def test_every_flipped_bit_is_noticed():
    data = bytearray(sealed("é"))
    for position in range(len(data)):
        for bit in range(8):
            data[position] ^= 1 << bit
            with pytest.raises(ValueError, match=r"they are|these are|their"):
                check_seal(bytes(data), KEY)
            data[position] ^= 1 << bit
