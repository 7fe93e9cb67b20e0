import math

import torch
from torch.distributions import Normal

from skcmanp.nn.heads import GaussianHead, LinearReadout


def test_std_has_its_floor_and_means_are_free():
    head = GaussianHead(8, 2, min_std=0.05)
    with torch.no_grad():
        head.linear.weight.mul_(1e4)
    distribution = head(torch.randn(4, 50, 8))
    assert distribution.mean.shape == distribution.stddev.shape == (4, 50, 2)
    assert (distribution.stddev >= 0.05).all()
    assert distribution.stddev.min() < 0.051
    assert distribution.stddev.max() > 100
    assert distribution.mean.abs().max() > 100


def test_offsets_shift_the_mean_alone():
    head = GaussianHead(8, 2, min_std=0.05)
    h, offset = torch.randn(4, 5, 8), torch.randn(4, 5, 2)
    torch.testing.assert_close(head(h, offset).mean, head(h).mean + offset)
    assert torch.equal(head(h, offset).stddev, head(h).stddev)


def test_linear_readout_starts_at_zero():
    readout = LinearReadout(n_latents=3, dim=8, dim_features=5, dim_y=2)
    coefficients = readout(torch.randn(4, 3, 8))
    assert coefficients.shape == (4, 5, 2)
    assert (coefficients == 0).all()


def test_a_correcting_head_starts_by_changing_nothing_and_is_bounded():
    head = GaussianHead(8, 1, 1e-3, corrects=True)
    start = Normal(torch.randn(2, 5, 1), torch.rand(2, 5, 1) + 0.1)
    with torch.no_grad():
        same = head(torch.randn(2, 5, 8), start=start)
        head.linear.bias.copy_(torch.tensor([2.0, 1e6]))
        corrected = head(torch.randn(2, 5, 8), start=start)
    torch.testing.assert_close(same.mean, start.mean)
    torch.testing.assert_close(same.stddev, start.stddev + 1e-3)
    torch.testing.assert_close(corrected.mean, start.mean + 2 * start.stddev)
    torch.testing.assert_close(corrected.stddev, 1e-3 + start.stddev * math.exp(3.0))
