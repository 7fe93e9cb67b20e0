import math

import pytest
import torch
from torch.distributions import Normal

from skcmanp.nn.heads import CorrelationHead, Gate, GaussianHead, LinearReadout


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


def correlations(n, seed=0):
    """Random ones of two targets in three tasks, (3, 2, n, n)."""
    rows = torch.randn(3, 2, n, 2 * n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rows = torch.nn.functional.normalize(rows, dim=-1)
    return rows @ rows.mT


@pytest.mark.parametrize("given", [True, False])
def test_correlations_are_positive_definite_with_a_diagonal_of_ones(given):
    head, h = CorrelationHead(8, 2, rank=3, corrects=given), 10 * torch.randn(3, 30, 8)
    total = head(h, correlations(30) if given else None).detach()
    torch.testing.assert_close(total.diagonal(dim1=2, dim2=3), torch.ones(3, 2, 30, dtype=torch.float64))
    torch.testing.assert_close(total, total.mT)
    assert torch.linalg.eigvalsh(total).min() > 0


@pytest.mark.parametrize("given", [True, False])
def test_correlations_of_some_targets_do_not_depend_on_the_others(given):
    head, h = CorrelationHead(8, 2, rank=3, corrects=given), torch.randn(3, 9, 8)
    start = correlations(9) if given else None
    some = head(h[:, 2:6], None if start is None else start[..., 2:6, 2:6])
    torch.testing.assert_close(head(h, start)[..., 2:6, 2:6], some)


@pytest.mark.parametrize("given", [True, False])
def test_learned_factors_leave_a_target_some_variance_of_its_own(given):
    head, h = CorrelationHead(8, 1, rank=3, corrects=given), 10 * torch.randn(1, 2, 8).repeat(1, 15, 1)
    with torch.no_grad():
        head.factors[-1].bias[3:] = torch.tensor([-50.0, 50.0, -50.0][: head.factors[-1].bias.numel() - 3])
    total = head(h, correlations(30)[:1, :1] if given else None).detach()[0, 0]
    of_the_others = total[1:, 1:]
    left = 1 - total[0, 1:] @ torch.linalg.solve(of_the_others, total[1:, 0])  # given all others
    assert left > 0.1 - 1e-6


def test_a_fresh_head_changes_given_correlations_little_and_makes_up_others():
    h, start = torch.randn(3, 9, 8), correlations(9)
    assert (CorrelationHead(8, 2, 3, corrects=True)(h, start) - start).abs().max() < 0.1
    alone = CorrelationHead(8, 2, 3, corrects=False)(h)
    assert alone[..., 0, 1:].abs().max() > 0.1


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


def two_predictions(dtype=torch.float32):
    """Means and standard deviations of 0.1 to 1.1 of the network and of a memory, and how the latter is believed."""
    own, given = (Normal(torch.randn(2, 5, 1), torch.rand(2, 5, 1) + 0.1) for _ in range(2))
    return own, Normal(given.mean.to(dtype), given.stddev.to(dtype)), torch.ones(2, 5, 1)


def test_a_fresh_gate_mixes_by_precision():
    own, given, believed = two_predictions()
    mixture = Gate(8, 1, 4, 1e-3)(torch.randn(2, 5, 8), own, given, believed, torch.randn(2, 5, 4))
    share = given.variance / (own.variance + given.variance)
    torch.testing.assert_close(mixture.mean, share * own.mean + (1 - share) * given.mean)
    second_moment = share * (own.variance + own.mean**2) + (1 - share) * (given.variance + given.mean**2)
    torch.testing.assert_close(mixture.variance, second_moment - mixture.mean**2)


def test_a_gate_can_choose_and_its_corrections_are_bounded():
    gate = Gate(8, 1, 4, 0.05)
    own, given, believed = two_predictions(torch.float64)
    h, hints = torch.randn(2, 5, 8), torch.randn(2, 5, 4)
    for logit, chosen in ((-1e6, given), (1e6, own)):
        with torch.no_grad():
            gate.mix[-1].bias.copy_(torch.tensor([logit, 2.0, 1e6]))
            mixture, unbelieved = (gate(h, own, given, part, hints) for part in (believed, 0 * believed))
        std = 0.05 + (chosen.stddev - 0.05) * math.exp(3.0)
        torch.testing.assert_close(mixture.mean.float(), (chosen.mean + 2 * chosen.stddev).float())
        torch.testing.assert_close(mixture.stddev.float(), std.float())
        torch.testing.assert_close(unbelieved.mean.float(), chosen.mean.float())


def test_a_gate_keeps_the_least_standard_deviation():
    own, _, believed = two_predictions()
    sure = Normal(own.mean, torch.full_like(own.mean, 1e-6))
    mixture = Gate(8, 1, 4, 0.05)(torch.randn(2, 5, 8), own, sure, believed, torch.randn(2, 5, 4))
    assert (mixture.stddev >= 0.05).all()
