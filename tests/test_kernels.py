import numpy as np
import pytest
import torch
from scipy.optimize import approx_fprime
from sklearn.gaussian_process.kernels import Matern

from skcmanp.kernels import matern52, matern52_and_slope, matern52_of

A, B = np.random.default_rng(0).normal(size=(2, 20, 3))


def test_the_kernel_is_scikit_learns():
    expected = Matern(1.0, nu=2.5)(A, B)
    np.testing.assert_allclose(matern52(A, B), expected, atol=1e-9)
    distance = np.linalg.norm(A[:, None] - B[None], axis=-1)
    np.testing.assert_allclose(matern52_of(distance), expected, atol=1e-9)


def test_arrays_of_torch_and_of_numpy_have_the_same_kernel():
    for found, expected in zip(
        matern52_and_slope(torch.tensor(A), torch.tensor(B)), matern52_and_slope(A, B), strict=True
    ):
        assert isinstance(found, torch.Tensor)
        assert isinstance(expected, np.ndarray)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    distance = np.linspace(0, 5, 9)
    np.testing.assert_allclose(matern52_of(torch.tensor(distance)).numpy(), matern52_of(distance), rtol=1e-12)


def test_the_slope_is_the_kernels():
    """In the squared distance, which (a, 0) and (0, 0) have by the square root of it."""

    def kernel(squares):
        return matern52(np.sqrt(squares)[:, None], np.zeros((1, 1)))[0, 0]

    for square in (0.01, 0.5, 3.0, 40.0):
        _, slope = matern52_and_slope(np.array([[np.sqrt(square)]]), np.zeros((1, 1)))
        np.testing.assert_allclose(slope[0], approx_fprime([square], kernel, 1e-6 * square), rtol=1e-4)


def test_batches_are_their_parts():
    a, b = torch.randn(4, 1, 6, 2).double(), torch.randn(3, 5, 2).double()
    whole = matern52(a, b)
    assert whole.shape == (4, 3, 6, 5)
    torch.testing.assert_close(whole[2, 1], matern52(a[2, 0], b[1]))


@pytest.mark.parametrize("make", [np.array, lambda rows: torch.tensor(rows, dtype=torch.float64)])
def test_equal_rows_correlate_fully_and_far_ones_not_at_all(make):
    rows = make([[1e5, -3e5], [1e5, -3e5], [-1e5, 2e8]])
    kernel, slope = (np.asarray(value) for value in matern52_and_slope(rows, rows))
    np.testing.assert_array_equal(kernel, [[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    assert np.isfinite(slope).all()
