import numpy as np
import pytest
import torch
from skcmanp.effects import Effects, fit_ranks, row_cosines
from skcmanp.process import NoiseProfile, log_noise
from sklearn.gaussian_process.kernels import Matern

from skcmanp.nn.features import PRIOR_CONSTANT, PRIOR_LINE, MaternFeatures, Noise


def effects_of(x, scale):
    knots, ranks = fit_ranks(x.numpy(), np.ones(len(x)))
    return Effects(*(torch.tensor(array).unsqueeze(0) for array in (knots, ranks, scale)))


def kernel_of(features, x, points=None, share=None, effects=None):
    """What the features say of the covariance at rows x, without x and 1, and what they miss of the variance."""
    points = torch.zeros(1, 0, x.shape[1]).double() if points is None else points.unsqueeze(0)
    basis = features.basis(points, torch.ones(1), None if share is None else torch.tensor([share]), effects)
    with torch.no_grad():
        psi, missing = features(x.unsqueeze(0), basis)
    assert psi.shape == (1, len(x), features.n_features)
    kernel = psi[0] @ psi[0].T
    line = x[:, : len(basis.frequency)]
    return (kernel - PRIOR_LINE**2 * line @ line.T - PRIOR_CONSTANT**2).numpy(), missing[0].numpy()


def test_random_waves_approximate_the_kernel():
    x = torch.randn(300, 3).double()
    exact = Matern(1.0, nu=2.5)(x.numpy())
    few, many = (kernel_of(MaternFeatures(2 * n + 4), x)[0] for n in (60, 1000))
    assert np.abs(few - exact).mean() < 0.08
    assert np.abs(many - exact).mean() < 0.025


def test_absent_features_leave_the_kernel_of_the_others():
    x = torch.randn(200, 2).double()
    kernel, _ = kernel_of(MaternFeatures(2009), torch.nn.functional.pad(x, (0, 6)))
    assert np.abs(kernel - Matern(1.0, nu=2.5)(x.numpy())).mean() < 0.03


def test_absent_features_take_no_place():
    x, effects = torch.randn(50, 2).double(), effects_of(torch.randn(40, 2), np.zeros((2, 0)))
    points = torch.nn.functional.pad(x[:17], (0, 6))
    wide, _ = kernel_of(MaternFeatures(30), torch.nn.functional.pad(x, (0, 6)), points, effects=effects)
    narrow, _ = kernel_of(MaternFeatures(30), x, x[:17], effects=effects)
    np.testing.assert_allclose(wide, narrow, atol=1e-6)


def test_effects_and_all_features_together_share_the_variance():
    x, scale = torch.rand(60, 2).double(), np.array([[0.6, 0.2], [0.0, 0.4]])
    effects = effects_of(x, scale)
    kernel, missing = kernel_of(MaternFeatures(103), x, x[:40], effects=effects)
    alone = effects.features(x.unsqueeze(0))[0]
    process = (1 - 0.56) * Matern(1.0, nu=2.5)(x.numpy())
    np.testing.assert_allclose((kernel - (alone @ alone.T).numpy())[:40, :40], process[:40, :40], atol=0.05)
    np.testing.assert_allclose(kernel.diagonal() + missing, (0.44 + alone.square().sum(1)).numpy(), atol=1e-4)
    far = torch.tensor([[50.0, 50.0]]).double()
    assert kernel_of(MaternFeatures(103), far, x[:40], share=1.0, effects=effects)[1][0] == pytest.approx(1)


def test_the_kernel_is_exact_at_the_points_and_says_what_it_misses_elsewhere():
    x = torch.randn(150, 2).double()
    kernel, missing = kernel_of(MaternFeatures(103), x, points=x[:100])
    exact = Matern(1.0, nu=2.5)(x.numpy())
    np.testing.assert_allclose(kernel[:100, :100], exact[:100, :100], atol=1e-4)
    np.testing.assert_allclose(kernel.diagonal() + missing, 1, atol=1e-4)
    assert missing[:100].max() < 1e-4 < missing[100:].max()


@pytest.mark.parametrize(("n_features", "share"), [(103, None), (104, 0.9), (103, 0.0)])
def test_points_and_waves_share_the_variance(n_features, share):
    features, x = MaternFeatures(n_features), torch.randn(20, 2).double()
    kernel, missing = kernel_of(features, x, points=x[:7], share=share)
    np.testing.assert_allclose(kernel.diagonal() + missing, 1, atol=1e-4)
    alone, _ = kernel_of(features, x, points=x[:7], share=1.0)
    used = 7 / (n_features - 3) if share is None else share
    waves = (kernel - used * alone) / (1 - used)
    assert np.abs(waves - Matern(1.0, nu=2.5)(x.numpy())).mean() < 0.15


def test_noise_varies_as_its_profile_says():
    x = np.random.default_rng(0).normal(size=(3, 9, 2))
    knots, ranks = fit_ranks(x[0], np.ones(9))
    coefficients = np.random.default_rng(1).normal(size=(2, 4))
    profile = NoiseProfile(np.eye(2), np.array([0.5, 2.0]), np.array([0.5, -1.0]), coefficients)
    noise = Noise(*(torch.tensor(array).expand(3, *array.shape) for array in profile))
    effects = Effects(*(torch.tensor(array).expand(3, *array.shape) for array in (knots, ranks, np.zeros((2, 0)))))
    expected = [np.exp(2 * log_noise(rows, row_cosines(rows, knots, ranks, 4), profile)) for rows in x]
    np.testing.assert_allclose(noise.variance(torch.tensor(x), effects), expected)
