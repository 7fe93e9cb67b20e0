import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.gaussian_process.kernels import Matern

from skcmanp.points import MIN_RESIDUAL, choose_points, matern52


def test_the_kernel_is_scikit_learns():
    a, b = np.random.default_rng(0).normal(size=(2, 20, 3))
    np.testing.assert_allclose(matern52(a, b), Matern(1.0, nu=2.5)(a, b), atol=1e-9)


@given(seed=st.integers(0, 1000), n=st.integers(1, 40), d=st.sampled_from([1, 5]), n_points=st.integers(0, 50))
def test_points_are_different_rows_that_leave_no_more_than_they_must(seed, n, d, n_points):
    x = np.random.default_rng(seed).integers(0, 4, (n, d)).astype(float)
    points = choose_points(x, n_points)
    assert points.shape[1] == d
    assert len(points) <= n_points
    assert len(np.unique(points, axis=0)) == len(points)
    assert (x[:, None] == points[None]).all(-1).any(0).all()
    if len(points) < n_points:
        inverse = np.linalg.inv(matern52(points, points))
        cross = matern52(x, points)
        assert (1 - np.einsum("ij,jk,ik->i", cross, inverse, cross) < 2 * MIN_RESIDUAL).all()


def test_points_represent_better_than_random_rows():
    rng = np.random.default_rng(0)
    x = np.r_[rng.normal(size=(950, 2)) * 0.05, 3 * rng.normal(size=(50, 2))]

    def missed(points):
        white = np.linalg.solve(
            np.linalg.cholesky(matern52(points, points) + 1e-8 * np.eye(len(points))), matern52(points, x)
        )
        return (1 - np.square(white).sum(0)).mean()

    assert missed(choose_points(x, 40)) < 0.3 * missed(x[rng.permutation(1000)[:40]])


def test_nothing_is_random():
    x = np.random.default_rng(0).normal(size=(100, 3))
    np.testing.assert_array_equal(choose_points(x, 30), choose_points(x, 30))
