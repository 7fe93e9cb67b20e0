import torch

from skcmanp.nn.heads import GaussianHead


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
