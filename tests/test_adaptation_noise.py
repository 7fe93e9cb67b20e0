from dataclasses import replace

import numpy as np
import pytest
import torch

from skcmanp import CMANPRegressor, ContextState
from skcmanp.adaptation.noise import NOISE_COSINES, NoiseProfile
from skcmanp.adaptation.ranks import fit_ranks, row_cosines
from skcmanp.kernels import matern52


def profile(x, seed=1):
    rng = np.random.default_rng(seed)
    points, weights = rng.normal(size=(5, x.shape[1])), rng.normal(size=5)
    lengthscale, coefficients = rng.uniform(0.5, 2, x.shape[1]), 0.3 * rng.normal(size=(x.shape[1], NOISE_COSINES))
    return NoiseProfile(points, lengthscale, weights, *fit_ranks(x, np.ones(len(x))), coefficients)


X = np.random.default_rng(0).normal(size=(60, 2))


def test_a_profile_is_a_combination_of_kernels_and_cosines():
    noise = profile(X)
    local = matern52(X / noise.lengthscale, noise.points / noise.lengthscale) @ noise.weights
    waves = row_cosines(X, noise.knots, noise.ranks, NOISE_COSINES)
    expected = local + np.einsum("ndm,dm->n", waves, noise.coefficients)
    np.testing.assert_allclose(noise.log_std(X), expected)
    np.testing.assert_allclose(noise.to("cpu").variance(torch.tensor(X)), np.exp(2 * expected))


def test_far_from_the_first_rows_it_vanishes():
    far = np.array([[1e4, -1e4], [-1e4, 1e5]])
    np.testing.assert_allclose(profile(X).log_std(far), 0, atol=1e-9)
    one_way = np.array([[0.0, 1e4]])  # that feature's cosines, and all kernels, but not the other's cosines
    noise = profile(X)
    waves = row_cosines(one_way, noise.knots, noise.ranks, NOISE_COSINES)[0, 0]
    np.testing.assert_allclose(noise.log_std(one_way), waves @ noise.coefficients[0], atol=1e-9)


def test_batches_are_their_parts():
    noise, x = profile(X).to("cpu"), torch.randn(3, 4, 2)
    variance = noise.variance(x)
    assert variance.shape == (3, 4)
    assert variance.dtype == torch.float64
    for i in range(3):
        torch.testing.assert_close(variance[i], noise.variance(x[i]))


def test_points_that_all_but_coincide_have_large_weights_and_a_noise_that_is_a_number():
    noise = profile(X)
    twins = np.vstack([noise.points, noise.points[:1] + 1e-6])
    for size, is_possible in ((1e4, True), (1e9, False)):
        large = replace(noise, points=twins, weights=np.r_[noise.weights[0] + size, noise.weights[1:], -size])
        if is_possible:
            large.check_possible(2)
            np.testing.assert_allclose(large.log_std(X), noise.log_std(X), atol=0.03)
        else:
            with pytest.raises(ValueError, match="not of a noise that is a number"):
                large.check_possible(2)
    with pytest.raises(ValueError, match="not of a noise that is a number"):
        replace(noise, weights=np.full(5, 400.0)).check_possible(2)


def test_noise_of_rows_that_miss_values_in_blocks_can_be_restored():
    rng = np.random.default_rng(28)
    rng.choice(3)
    X = rng.normal(size=(270, 3))
    y = X[:, 0] + 0.1 * rng.normal(size=270)
    for start, column in ((90, 0), (180, 0), (0, 1), (90, 2), (180, 2)):
        X[start : start + 90, column] = np.nan
    state = CMANPRegressor().fit(X, y).context_
    assert ContextState.from_bytes(state.to_bytes()).adaptation.equals(state.adaptation)
