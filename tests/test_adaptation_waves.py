import numpy as np
import pytest
import torch
from sklearn.gaussian_process.kernels import Matern

from skcmanp.adaptation.waves import RandomWaves

X = np.random.default_rng(0).normal(size=(300, 3))


def kernel_of(n_waves, x=X, variance=1.0):
    psi = RandomWaves.draw(x.shape[1], n_waves, np.array([variance])).of_rows(x)
    assert psi.shape == (len(x), 2 * n_waves)
    return psi @ psi.T


def test_random_waves_approximate_the_kernel():
    exact = Matern(1.0, nu=2.5)(X)
    assert np.abs(kernel_of(60) - exact).mean() < 0.08
    assert np.abs(kernel_of(1000) - exact).mean() < 0.025


def test_columns_that_are_zero_leave_the_kernel_of_the_others():
    x = np.pad(X[:200, :2], ((0, 0), (0, 6)))
    assert np.abs(kernel_of(1000, x) - Matern(1.0, nu=2.5)(x)).mean() < 0.03


@pytest.mark.parametrize("n_waves", [1, 5, 60])
def test_the_variance_is_the_same_everywhere_and_nothing_is_missed(n_waves):
    np.testing.assert_allclose(kernel_of(n_waves, 1e3 * X, variance=0.3).diagonal(), 0.3)
    waves = RandomWaves.draw(3, n_waves, np.array([0.3])).to("cpu")
    assert waves(torch.tensor(X).unsqueeze(0))[1] == 0


def test_waves_are_the_same_for_all_data_of_so_many_columns():
    a, b = (RandomWaves.draw(3, 20, np.array([v])) for v in (0.1, 1.0))
    np.testing.assert_array_equal(a.frequency, b.frequency)
    assert not np.array_equal(a.frequency, RandomWaves.draw(3, 21, np.ones(1)).frequency[:, :20])
    assert a.n_features == 40


def test_there_may_be_none():
    waves = RandomWaves.draw(3, 0, np.ones(1))
    assert waves.n_features == 0
    assert waves.of_rows(X).shape == (300, 0)


def test_a_batch_may_have_variances_of_its_own():
    x = torch.tensor(X[:8]).view(2, 4, 3)
    frequency = torch.tensor(RandomWaves.draw(3, 6, np.ones(1)).frequency)
    both = RandomWaves(frequency, torch.tensor([0.2, 0.7]))(x)[0]
    for i, variance in enumerate([0.2, 0.7]):
        torch.testing.assert_close(both[i], RandomWaves(frequency, torch.tensor([variance]))(x[i : i + 1])[0][0])
