import math

import numpy as np
import pytest
import torch
from sklearn.gaussian_process.kernels import RBF

from skcmanp.nn.features import LearnedFeatures


def make(n_features=64, dim_x=2, scales=(0.5, 5.0)):
    torch.manual_seed(0)
    return LearnedFeatures(dim_x, n_features, scales)


@pytest.mark.parametrize("dim_x", [1, 2, 5])
@pytest.mark.parametrize("n_features", [24, 25, 64])
def test_there_are_as_many_features_as_asked_for(dim_x, n_features):
    features = make(n_features, dim_x)
    assert features(torch.randn(3, 7, dim_x)).shape == (3, 7, n_features)
    assert features.log_prior(4).shape == (4, n_features)


def test_they_have_lines_and_a_constant():
    x = torch.randn(3, 7, 2)
    psi = make()(x)
    torch.testing.assert_close(psi[..., -3:-1], x)
    assert (psi[..., -1] == 1).all()


def test_they_are_bounded_but_for_the_lines():
    psi = make()(100 * torch.randn(3, 7, 2))
    assert (psi[..., :-3].abs() <= 1).all()


@pytest.mark.parametrize("n_priors", [1, 3])
def test_priors_are_those_of_smooth_processes_of_different_length_scales(n_priors):
    """Waves of fixed frequencies, weighted as an RBF process has them, beside a little of everything else."""
    features = make(1024, dim_x=1)
    x = torch.linspace(-0.7, 0.7, 40).unsqueeze(1)
    with torch.no_grad():
        psi = features(x)
    lengthscales = np.exp(-np.linspace(math.log(0.5), math.log(5.0), n_priors + 2)[1:-1])
    n_waves = 2 * features.frequency.shape[1]
    for log_tau, lengthscale in zip(features.log_prior(n_priors), lengthscales, strict=True):
        weighted = (psi * log_tau.exp())[:, :n_waves]
        kernel = (weighted @ weighted.T).numpy()
        np.testing.assert_allclose(kernel, RBF(lengthscale)(x.numpy()), atol=0.03)
        assert (log_tau[n_waves:] == math.log(0.1)).all()


def test_they_are_learned():
    features = make()
    features(torch.randn(3, 7, 2)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in features.parameters())
