import math

import numpy as np
import torch
from sklearn.gaussian_process.kernels import RBF, Matern

from skcmanp.tasks.gp import RandomGP, random_relevance


def test_draws_have_the_covariance_of_the_kernels():
    """The prior mixes RBF and Matern-1/2, 3/2, 5/2 and 7/2 kernels of one length-scale."""
    lengthscale = 0.7
    x = np.linspace(0, 2, 9)[:, None]
    prior = RandomGP(lengthscale=(lengthscale, lengthscale), n_features=64)
    batch = torch.tensor(x, dtype=torch.float32).expand(60_000, -1, -1)
    f = prior(batch, torch.Generator().manual_seed(0)).double()
    f = f / math.sqrt(64 / 2)
    empirical = (f.T @ f / len(f)).numpy()
    kernels = [RBF(lengthscale)(x)] + [Matern(lengthscale, nu=nu)(x) for nu in (0.5, 1.5, 2.5, 3.5)]
    expected = np.average(kernels, axis=0, weights=[0.4, 0.15, 0.15, 0.15, 0.15])
    np.testing.assert_allclose(empirical, expected, atol=0.025)


def test_relevance_has_unit_mean_square_and_idle_features():
    relevance = random_relevance(5000, 10, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(relevance.square().mean(1), 1, rtol=1e-4)
    idle = (relevance < 0.01).double().mean()
    assert 0.2 < idle < 0.4
    assert (relevance > 0).all()
