import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skcmanp.adaptation.ranks import N_KNOTS, cosines, fall_off, fit_ranks, row_cosines
from skcmanp.kernels import matern52


def rank_of(x, knots, ranks):
    """Ranks of rows, as their first cosine has them."""
    return np.arccos(np.clip(row_cosines(x, knots, ranks, 1)[..., 0] / np.sqrt(2), -1, 1)) / np.pi


@given(n=st.integers(1, 200), d=st.integers(1, 3), discrete=st.booleans(), seed=st.integers(0, 100))
def test_ranks_increase_between_zero_and_one(n, d, discrete, seed):
    x = np.random.default_rng(seed).standard_cauchy(size=(n, d))
    x = np.sign(x) if discrete else x
    knots, ranks = fit_ranks(x, np.ones(n))
    assert knots.shape == ranks.shape == (d, N_KNOTS)
    assert (np.diff(knots) >= 0).all()
    assert (np.diff(ranks) >= 0).all()
    assert ranks.min() > 0
    assert ranks.max() < 1


def test_ranks_are_the_shares_of_the_rows_below():
    x = np.random.default_rng(0).lognormal(sigma=2.0, size=(1000, 1))
    found = rank_of(x, *fit_ranks(x, np.ones(1000)))[:, 0]
    exact = (np.argsort(np.argsort(x[:, 0])) + 0.5) / 1000
    assert np.abs(found - exact).max() < 1.1 / N_KNOTS
    assert np.abs(found - exact).mean() < 0.01


def test_few_values_have_their_own_ranks_and_others_lie_between():
    x = np.repeat([0.0, 1.0, 5.0], [5, 3, 2])[:, None]
    knots, ranks = fit_ranks(x, np.ones(10))
    np.testing.assert_allclose(rank_of(x, knots, ranks)[[0, 5, 8], 0], [0.25, 0.65, 0.9])
    np.testing.assert_allclose(rank_of(np.array([[3.0]]), knots, ranks), [[0.775]])


@pytest.mark.parametrize("n_levels", [2, 5, 40])
def test_levels_are_levels_when_rounding_tears_them_apart(n_levels):
    rng = np.random.default_rng(0)
    x = rng.integers(0, n_levels, (300, 1)) / n_levels
    torn = x + 1e-6 * rng.integers(0, 2, (300, 1))
    knots, ranks = fit_ranks(x, np.ones(300))
    found_knots, found_ranks = fit_ranks(torn, np.ones(300))
    np.testing.assert_allclose(found_knots, knots, atol=2e-6)
    np.testing.assert_array_equal(found_ranks, ranks)


def test_values_that_are_close_together_are_no_level():
    """As those of a column with one enormous outlier are, in its standard deviations."""
    x = np.r_[np.linspace(0, 1e-3, 1000), 30.0][:, None]
    ranks = rank_of(x, *fit_ranks(x, np.ones(1001)))[:, 0]
    assert np.abs(ranks[:1000] - (np.arange(1000) + 0.5) / 1001).max() < 1.1 / N_KNOTS


def test_a_common_value_is_one_knot_among_rare_ones():
    x = np.r_[np.zeros(900), np.linspace(1, 2, 100)][:, None]
    found = rank_of(x, *fit_ranks(x, np.ones(1000)))[:, 0]
    assert found[0] == pytest.approx(0.45)
    assert 0.85 < found[900] < found[-1] <= 1


def test_weights_are_repetitions():
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(50, 2)), rng.integers(1, 4, 50)
    again = np.repeat(np.arange(50), weight)
    for one, other in zip(fit_ranks(x, weight.astype(float)), fit_ranks(x[again], np.ones(len(again))), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_cosines_are_orthonormal_over_the_rows():
    x = np.random.default_rng(0).uniform(size=(5000, 1))
    waves = row_cosines(x, *fit_ranks(x, np.ones(5000)), 8)[:, 0]
    np.testing.assert_allclose(waves.T @ waves / 5000, np.eye(8), atol=0.05)
    np.testing.assert_allclose(waves.mean(0), 0, atol=0.03)


def test_a_constant_feature_has_constant_cosines():
    waves = row_cosines(np.full((4, 1), 7.0), *fit_ranks(np.full((4, 1), 7.0), np.ones(4)), 3)
    assert (waves == waves[0]).all()


def test_batches_are_their_parts():
    x = torch.randn(3, 11, 2)
    knots, ranks = torch.randn(2, N_KNOTS).double().sort(-1).values, torch.rand(2, N_KNOTS).double().sort(-1).values
    found = cosines(x, knots, ranks, 5)
    assert found.waves.shape == (3, 11, 2, 5)
    assert found.inside.shape == found.fading.shape == (3, 11, 2)
    assert all(t.dtype == torch.float64 for t in found)
    for i in range(3):
        for whole, part in zip(found, cosines(x[i], knots, ranks, 5), strict=True):
            torch.testing.assert_close(whole[i], part)
        np.testing.assert_allclose(
            found.waves[i], row_cosines(x[i].double().numpy(), knots.numpy(), ranks.numpy(), 5), atol=1e-12
        )


def test_beyond_the_range_of_the_rows_cosines_stay_and_fade():
    knots, ranks = (torch.tensor(array) for array in fit_ranks(np.arange(-4.0, 5.0)[:, None], np.ones(9)))
    x = torch.tensor([-1e6, -6.0, -4.0, 0.3, 4.0, 4.0001, 6.0, 1e6]).double().unsqueeze(1)
    waves, inside, fading = cosines(x, knots, ranks, 3)
    np.testing.assert_allclose(inside[:, 0], [-4, -4, -4, 0.3, 4, 4, 4, 4])
    for i, end in ((0, 2), (1, 2), (5, 4), (6, 4), (7, 4)):
        np.testing.assert_array_equal(waves[i], waves[end])
    np.testing.assert_array_equal(fading[2:5, 0], 1)
    np.testing.assert_allclose(fading[[0, 7], 0], 0, atol=1e-12)
    a_reach = matern52(np.zeros((1, 1)), np.ones((1, 1))).item()  # 2 is a quarter of the range
    np.testing.assert_allclose(fading[[1, 6], 0], a_reach)
    assert 1 - 1e-6 < fading[5, 0] < 1


def test_features_without_a_range_fade_at_once_but_smoothly():
    knots, ranks = (torch.tensor(array) for array in fit_ranks(np.full((3, 1), 7.0), np.ones(3)))
    fading = cosines(torch.tensor([[7.0], [7.0001], [8.0]]).double(), knots, ranks, 1).fading[:, 0]
    assert fading[0] == 1
    assert 0.9 < fading[1] < 1
    assert fading[2] < 1e-12


def test_coefficients_fall_off_as_those_of_a_matern_process():
    u = (np.arange(200) + 0.5) / 200
    waves = np.sqrt(2) * np.cos(np.pi * np.arange(1, 61) * u[:, None])
    lengthscale = 0.1  # cos(pi m u) has the frequency pi m, the density is (5 / ell^2 + (pi m)^2)^-3
    covariance = (waves * fall_off(np.pi * lengthscale / np.sqrt(5), 60)) @ waves.T
    middle = slice(60, 140)  # the cosines are mirrored at the ends
    exact = matern52(u[middle, None] / lengthscale, u[middle, None] / lengthscale)
    found = covariance[middle, middle]
    correlation = np.corrcoef(found.ravel(), exact.ravel())[0, 1]
    assert correlation > 0.999
    assert fall_off(0.5, 8).sum() == pytest.approx(1)
