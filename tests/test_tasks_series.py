import numpy as np
import pytest
import torch

from skcmanp.tasks import RandomGates, RandomPeriodic


@pytest.mark.parametrize("prior", [RandomGates(), RandomPeriodic()])
@pytest.mark.parametrize("d", [1, 5])
def test_functions_are_finite_and_differ(prior, d):
    x = torch.randn(6, 50, d)
    f = prior(x, torch.Generator().manual_seed(0))
    assert f.shape == (6, 50)
    assert torch.isfinite(f).all()
    assert (f.std(1) > 0).all()
    assert not torch.allclose(f[0], f[1])


def test_cycles_repeat():
    period = 0.5
    x = torch.linspace(-2, 2, 401).view(1, -1, 1).expand(8, -1, -1)
    f = RandomPeriodic(period=(period, period))(x, torch.Generator().manual_seed(1))
    f = f - f.mean(1, keepdim=True)
    lags = np.arange(25, 76)
    correlation = np.array([[np.corrcoef(g[lag:], g[:-lag])[0, 1] for lag in lags] for g in f.numpy()])
    # The direction has a length of about one, so the period varies a little.
    assert (np.abs(lags[correlation.argmax(1)] - 50) <= 10).mean() >= 0.75


def test_narrow_borders_are_jumps():
    x = torch.linspace(-3, 3, 2001).view(1, -1, 1).expand(32, -1, -1)
    f = RandomGates(lengthscale=(2.0, 3.0), width=(1e-3, 1e-3))(x, torch.Generator().manual_seed(2))
    steps = f.diff(dim=1).abs()
    assert (steps.amax(1) > 20 * steps.median(1).values).double().mean() > 0.5
