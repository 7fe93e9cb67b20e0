import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from skcmanp.bounds import are_all, is_within

NUMBERS = st.floats(width=64) | st.sampled_from([0.0, 1e-200, -1e-200, 1.0, 1e160, -1e300])


@given(
    array=arrays(np.float64, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4), elements=NUMBERS),
    largest=st.floats(0, allow_nan=False) | st.sampled_from([0.0, 1e-200, 0.5, 1.0, 1e100, np.inf]),
)
def test_values_are_within_bounds_as_each_of_them_is(array, largest):
    expected = bool((np.abs(array) <= largest).all())
    assert is_within(array, largest) is expected
    assert is_within(array.T[..., ::-1] if array.ndim else array, largest) is expected


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int64])
def test_other_dtypes_are_within_bounds_too(dtype):
    array = np.array([-(2**20), 2**30], dtype=dtype)  # whose squares overflow
    assert is_within(array, 2.0**30)
    assert not is_within(array, 2.0**29)
    assert not is_within(array, 2.0**10)


@given(values=arrays(np.bool_, array_shapes(min_dims=0, min_side=0, max_side=3)))
def test_all_are_true_if_each_is(values):
    assert are_all(values) is bool(values.all())
