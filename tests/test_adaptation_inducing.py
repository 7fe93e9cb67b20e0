import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from skcmanp.adaptation.inducing import MIN_RESIDUAL, InducingPoints, choose_points
from skcmanp.adaptation.rows import place_uniform
from skcmanp.kernels import matern52

# ------------------------------------------------------------------ which points


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


def test_rows_are_drawn_in_proportion_to_the_variance_that_is_left():
    """By enumeration of all that may be drawn, in order."""
    x, n_points, n_draws = np.array([0.0, 0.2, 0.3, 1.5, 1.6, 3.0, 5.0])[:, None], 4, 600
    kernel, last = matern52(x, x), np.zeros((2, len(x)))

    def follow(chosen, probability):
        left = kernel.diagonal().copy()
        if chosen:
            inverse = np.linalg.inv(kernel[np.ix_(chosen, chosen)])
            left -= np.einsum("ij,jk,ki->i", kernel[:, chosen], inverse, kernel[chosen])
            left[chosen] = 0
        if len(chosen) == n_points - 1:
            last[0] += probability * left / left.sum()
            return
        for i in np.flatnonzero(left > 0):
            follow([*chosen, i], probability * left[i] / left.sum())

    follow([], 1.0)
    for standard in np.random.default_rng(0).normal(size=(n_draws, len(x), 5)):  # other random numbers
        point = choose_points(x, n_points, standard)[-1]
        last[1, np.argmin(np.abs(x - point))] += 1 / n_draws
    assert np.abs(last[0] - last[1]).max() < 4 * 0.5 / n_draws**0.5
    assert np.ptp(last[0]) > 0.2


def test_nothing_is_random():
    x = np.random.default_rng(0).normal(size=(100, 3))
    np.testing.assert_array_equal(choose_points(x, 30), choose_points(x, 30))


def test_random_numbers_belong_to_places_not_to_positions():
    x = np.linspace(-2, 2, 60)[:, None] * [1.0, 0.5]  # all in places of their own
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_array_equal(choose_points(x[order], 30), choose_points(x, 30))


@pytest.mark.parametrize("n", [50, 400, 2000])
@pytest.mark.parametrize("d", [1, 4])
def test_rows_that_change_by_rounding_are_drawn_again(n, d):
    x, change = np.random.default_rng(n).normal(size=(2, n, d))
    points, moved = choose_points(x, 30), choose_points(x + 1e-8 * change, 30)
    same = min(len(points), len(moved))
    assert (np.abs(points[:same] - moved[:same]).max(axis=1) < 1e-6).mean() > 0.9
    assert abs(len(points) - len(moved)) <= 1


def test_random_numbers_do_not_depend_on_length_scales():
    """So where one changes a little, nearly the same rows are drawn."""
    x = np.random.default_rng(0).normal(size=(400, 4))
    lengthscale = np.array([1.0, 1.0, 2.0, 30.0])
    points = choose_points(x / lengthscale, 30, x) * lengthscale
    lengthscale[3] *= 1.05
    moved = choose_points(x / lengthscale, 30, x) * lengthscale
    common = [(np.abs(points - point).max(axis=1) < 1e-9).any() for point in moved]
    assert np.mean(common) > 0.8


def test_random_numbers_are_uniform_and_those_of_places_and_draws_have_nothing_in_common():
    places = np.arange(2**64 - 500, 2**64, dtype=np.uint64)
    numbers = np.array([place_uniform(np.r_[places, np.arange(500, dtype=np.uint64)], k) for k in range(20)])
    assert 0 < numbers.min() < numbers.max() < 1
    assert kstest(numbers.ravel(), "uniform").pvalue > 0.01
    correlations = np.corrcoef(numbers)[np.triu_indices(20, 1)]
    assert np.abs(correlations).max() < 4.5 / 1000**0.5
    assert abs(np.corrcoef(numbers[:, 1:].ravel(), numbers[:, :-1].ravel())[0, 1]) < 4 / 20_000**0.5


# ------------------------------------------------------------------ as features


def features(points, x, variance=1.0):
    part = InducingPoints(points, np.array([variance])).to("cpu")
    rows = torch.tensor(x).unsqueeze(0)
    psi, missed = part(rows)
    return psi[0].numpy(), missed[0].numpy(), part.missed_covariance(rows)[0].numpy()


@pytest.mark.parametrize("variance", [1.0, 0.3])
def test_the_kernel_is_exact_at_the_points_and_says_what_it_misses_elsewhere(variance):
    x = np.random.default_rng(0).normal(size=(150, 2))
    psi, missed, covariance = features(x[:100], x, variance)
    assert psi.shape == (150, 100)
    exact = variance * matern52(x, x)
    np.testing.assert_allclose((psi @ psi.T)[:100, :100], exact[:100, :100], atol=1e-6)
    np.testing.assert_allclose(np.square(psi).sum(1) + missed, variance, atol=1e-6)
    assert missed[:100].max() < 1e-6 < 1e-4 < missed[100:].max()
    np.testing.assert_allclose(psi @ psi.T + covariance, exact, atol=1e-9)
    np.testing.assert_allclose(covariance.diagonal(), missed, atol=1e-6)


def test_far_from_all_points_everything_is_missed():
    psi, missed, _ = features(np.zeros((1, 2)), np.array([[50.0, 50.0]]), 0.7)
    np.testing.assert_allclose(psi, 0, atol=1e-12)
    assert missed[0] == pytest.approx(0.7)


def test_without_points_everything_is_missed():
    psi, missed, covariance = features(np.zeros((0, 2)), np.eye(2), 0.7)
    assert psi.shape == (2, 0)
    np.testing.assert_array_equal(missed, 0.7)
    np.testing.assert_allclose(covariance, 0.7 * matern52(np.eye(2), np.eye(2)))


def test_a_batch_may_have_points_and_variances_of_its_own():
    x, points = torch.randn(3, 7, 2).double(), torch.randn(3, 5, 2).double()
    variance = torch.tensor([0.2, 0.7, 1.0]).double()
    whole = InducingPoints(points, variance)
    for i in range(3):
        one = InducingPoints(points[i : i + 1], variance[i : i + 1])
        for found, expected in zip(whole(x), one(x[i : i + 1]), strict=True):
            torch.testing.assert_close(found[i], expected[0])
        torch.testing.assert_close(whole.missed_covariance(x)[i], one.missed_covariance(x[i : i + 1])[0])
    shared = whole(x[:1])[0]  # the same rows for all
    torch.testing.assert_close(shared[2], whole(x[:1].expand(3, -1, -1))[0][2])


def test_rows_may_be_of_single_precision():
    part = InducingPoints(np.eye(2), np.ones(1)).to("cpu")
    psi, missed = part(torch.randn(1, 4, 2))
    assert psi.dtype == missed.dtype == torch.float64


def test_points_whose_distances_are_lost_are_refused():
    places = 1e9 + np.random.default_rng(0).normal(size=(50, 3))
    with pytest.raises(ValueError, match="so far from zero"):
        InducingPoints(places, np.ones(1)).to("cpu")(torch.zeros(1, 1, 3, dtype=torch.float64))
