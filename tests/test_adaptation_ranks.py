import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skcmanp.effects import MAX_COSINES, N_KNOTS, Effects, cosines, fall_off, fit_ranks, n_cosines, row_cosines
from skcmanp.points import matern52


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
    assert np.abs(found - exact).max() < 1 / N_KNOTS
    assert np.abs(found - exact).mean() < 0.01


def test_few_values_have_their_own_ranks_and_others_lie_between():
    x = np.repeat([0.0, 1.0, 5.0], [5, 3, 2])[:, None]
    knots, ranks = fit_ranks(x, np.ones(10))
    np.testing.assert_allclose(rank_of(x, knots, ranks)[[0, 5, 8], 0], [0.25, 0.65, 0.9])
    np.testing.assert_allclose(rank_of(np.array([[3.0]]), knots, ranks), [[0.775]])


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
    waves = row_cosines(x, *fit_ranks(x, np.ones(5000)), MAX_COSINES)[:, 0]
    np.testing.assert_allclose(waves.T @ waves / 5000, np.eye(MAX_COSINES), atol=0.05)
    np.testing.assert_allclose(waves.mean(0), 0, atol=0.03)


def test_a_constant_feature_has_constant_cosines():
    waves = row_cosines(np.full((4, 1), 7.0), *fit_ranks(np.full((4, 1), 7.0), np.ones(4)), 3)
    assert (waves == waves[0]).all()


def test_batches_are_their_parts_and_absent_features_are_left_out():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 11, 4, generator=generator)
    knots = torch.randn(3, 2, N_KNOTS, generator=generator).sort(-1).values
    ranks = torch.rand(3, 2, N_KNOTS, generator=generator).sort(-1).values
    effects = Effects(knots, ranks, torch.rand(3, 2, 5, generator=generator))
    features = effects.features(x)
    assert features.shape == (3, 11, 10)
    assert features.dtype == torch.float64
    for i in range(3):
        one = row_cosines(x[i, :, :2].numpy(), knots[i].numpy(), ranks[i].numpy(), 5) * effects.scale[i].numpy()
        np.testing.assert_allclose(features[i], one.reshape(11, 10), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(effects.carried()[i], effects.scale[i].square().sum(), rtol=1e-6)
    shared = cosines(x[:1, :, :2], knots, ranks, 5)  # the same rows for all
    torch.testing.assert_close(shared[0], effects.waves(x, 5)[0])
    assert shared.shape == (3, 11, 2, 5)


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


@pytest.mark.parametrize(
    ("n_features", "n_points", "expected"), [(1, 400, 0), (2, 400, 0), (3, 400, 8), (20, 400, 4), (5, 10, 0)]
)
def test_cosines_take_a_fifth_of_the_memory_at_most(n_features, n_points, expected):
    assert n_cosines(n_features, n_points) == expected
    assert n_cosines(n_features, n_points) * n_features <= n_points / 5


def test_beyond_the_range_of_the_rows_effects_fade_and_are_missed():
    knots, ranks = fit_ranks(np.arange(-4.0, 5.0)[:, None], np.ones(9))
    effects = Effects(*(torch.tensor(array).unsqueeze(0) for array in (knots, ranks, np.full((1, 3), 0.4))))
    x = torch.tensor([-1e6, -6.0, -4.0, 0.3, 4.0, 4.0001, 6.0, 1e6]).view(1, -1, 1)
    size, missing = effects.features(x).square().sum(-1)[0], effects.missing(x)[0]
    at_the_ends = size[[2, 4]]
    np.testing.assert_allclose(size[[0, 7]], 0, atol=1e-12)
    np.testing.assert_allclose(missing[[0, 7]], 0.48)
    np.testing.assert_array_equal(missing[2:5], 0)
    faded = matern52(np.zeros((1, 1)), np.ones((1, 1))).item() ** 2  # 2 is a quarter of the range
    np.testing.assert_allclose(size[[1, 6]], at_the_ends * faded)
    np.testing.assert_allclose(missing[[1, 6]], 0.48 * (1 - faded))
    assert size[5] == pytest.approx(size[4].item(), rel=1e-6)


def test_cosines_without_a_coefficient_take_no_place():
    scale = torch.zeros(2, 3, 4)
    scale[0, 0, :2], scale[1, 2, 0] = 0.3, 0.5
    knots = torch.linspace(0, 1, N_KNOTS).expand(2, 3, -1)
    effects = Effects(knots, knots, scale)
    features = effects.features(torch.rand(2, 7, 5))
    assert features.shape == (2, 7, effects.n_features) == (2, 7, 3)
    assert not features[0, :, 2].any()
    assert not features[1, :, :2].any()
