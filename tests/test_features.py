import numpy as np
import pytest
import torch
from sklearn.gaussian_process.kernels import RBF, Matern

from skcmanp.nn.features import LearnedFeatures, MaternFeatures, Noise
from skcmanp.process import NoiseProfile, log_noise


def kernel_of(features, x, points=None, share=None):
    """What the features say of the covariance at rows x, without x and 1, and what they miss of the variance."""
    points = torch.zeros(1, 0, x.shape[1]).double() if points is None else points.unsqueeze(0)
    basis = features.basis(points, torch.ones(1), None if share is None else torch.tensor([share]))
    with torch.no_grad():
        psi, missing = features(x.unsqueeze(0), basis)
    psi = psi[0, :, : features.n_points].numpy()
    return psi @ psi.T, missing[0].numpy()


def test_random_waves_approximate_the_kernel():
    x = torch.randn(300, 3).double()
    exact = Matern(1.0, nu=2.5)(x.numpy())
    few, many = (kernel_of(MaternFeatures(3, 2 * n + 4).double(), x)[0] for n in (60, 1000))
    assert np.abs(few - exact).mean() < 0.08
    assert np.abs(many - exact).mean() < 0.025


def test_absent_features_leave_the_kernel_of_the_others():
    x = torch.randn(200, 2).double()
    kernel, _ = kernel_of(MaternFeatures(8, 2009).double(), torch.nn.functional.pad(x, (0, 6)))
    assert np.abs(kernel - Matern(1.0, nu=2.5)(x.numpy())).mean() < 0.03


def test_the_kernel_is_exact_at_the_points_and_says_what_it_misses_elsewhere():
    x = torch.randn(150, 2).double()
    kernel, missing = kernel_of(MaternFeatures(2, 103).double(), x, points=x[:100])
    exact = Matern(1.0, nu=2.5)(x.numpy())
    np.testing.assert_allclose(kernel[:100, :100], exact[:100, :100], atol=1e-4)
    np.testing.assert_allclose(kernel.diagonal() + missing, 1, atol=1e-4)
    assert missing[:100].max() < 1e-4 < missing[100:].max()


@pytest.mark.parametrize(("n_features", "share"), [(103, None), (104, 0.9), (103, 0.0)])
def test_points_and_waves_share_the_variance(n_features, share):
    features, x = MaternFeatures(2, n_features).double(), torch.randn(20, 2).double()
    kernel, missing = kernel_of(features, x, points=x[:7], share=share)
    np.testing.assert_allclose(kernel.diagonal() + missing, 1, atol=1e-4)
    alone, _ = kernel_of(features, x, points=x[:7], share=1.0)
    used = 7 / (n_features - 3) if share is None else share
    waves = (kernel - used * alone) / (1 - used)
    assert np.abs(waves - Matern(1.0, nu=2.5)(x.numpy())).mean() < 0.15


def test_noise_varies_as_its_profile_says():
    x = np.random.default_rng(0).normal(size=(3, 9, 2))
    profile = NoiseProfile(np.eye(2), np.array([0.5, -1.0]), np.array([0.3, -0.2]), np.array([1.0, 0.5]))
    noise = Noise(*(torch.tensor(array).expand(3, *array.shape) for array in profile))
    expected = [np.exp(2 * log_noise(rows, profile)) for rows in x]
    np.testing.assert_allclose(noise.variance(torch.tensor(x)), expected)


def test_equal_points_are_no_problem():
    x = torch.zeros(10, 2).double()
    kernel, missing = kernel_of(MaternFeatures(2, 103).double(), x, points=x)
    assert np.isfinite(kernel).all()
    assert np.isfinite(missing).all()


def test_priors_of_learned_features_differ_in_length_scale():
    torch.manual_seed(0)
    features = LearnedFeatures(1, 128, (0.5, 8.0)).double()
    x = torch.linspace(-1, 1, 50).double().view(1, -1, 1)
    with torch.no_grad():
        psi, missing = features(x, features.basis(x, torch.ones(1)))
    assert not missing.any()
    n_waves = 2 * features.frequency.shape[1]
    for log_prior, lengthscale in zip(features.log_prior(3), (1.0, 0.5, 0.25), strict=True):
        waves = (psi[0] * log_prior.exp())[:, :n_waves].numpy()
        np.testing.assert_allclose(waves @ waves.T, RBF(lengthscale)(x[0].numpy()), atol=0.1)
