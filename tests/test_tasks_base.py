import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skcmanp.adaptation import Adaptation
from skcmanp.tasks import RandomGP, RandomLinear, RandomMLP
from skcmanp.tasks.base import (
    TaskBatch,
    log_uniform,
    log_uniform_int,
    noise_like,
    random_inputs,
    standardize,
    uniform_int,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_log_uniform_draws():
    draws = log_uniform(0.01, 100, (20_000,), generator()).log10()
    assert draws.min() >= -2
    assert draws.max() <= 2
    np.testing.assert_allclose(draws.mean(), 0, atol=0.05)
    np.testing.assert_allclose(draws.std(), 4 / 12**0.5, rtol=0.02)


def test_integer_draws_cover_their_range():
    source = generator()
    assert {log_uniform_int(1, 5, source) for _ in range(500)} == {1, 2, 3, 4, 5}
    assert {uniform_int(0, 3, source) for _ in range(200)} == {0, 1, 2, 3}


@given(n_features=st.integers(1, 32), seed=st.integers(0, 100))
def test_inputs_have_about_unit_scale(n_features, seed):
    x = random_inputs(16, 50, n_features, generator(seed))
    assert x.shape == (16, 50, n_features)
    assert torch.isfinite(x).all()
    assert 0.5 < x.std() < 2


def test_standardising_is_the_estimators():
    x, y = torch.randn(3, 20, 2) * 5 + 1, torch.randn(3, 20, 1) * 3
    batch = standardize(TaskBatch(x[:, :15], y[:, :15], x[:, 15:], y[:, 15:]), n_reference=10)
    for i in range(3):
        adaptation = Adaptation.fit(x[i, :10].double().numpy(), y[i, :10].double().numpy())
        np.testing.assert_allclose(batch.x[i], adaptation.scale_x(x[i, :15].double().numpy()), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(
            batch.y_target[i], adaptation.scale_y(y[i, 15:].double().numpy()), rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("prior", [RandomGP(), RandomMLP(), RandomLinear()])
def test_priors_draw_one_function_per_task(prior):
    x = torch.randn(1, 30, 4).expand(5, -1, -1)
    f = prior(x, generator())
    assert f.shape == (5, 30)
    assert (f[0] - f[1]).abs().max() > 1e-3
    again = prior(torch.cat([x, x], 1), generator())
    torch.testing.assert_close(again[:, :30], again[:, 30:])


def test_noise_is_gaussian_heavy_or_varying_and_of_unit_variance():
    x = torch.randn(400, 500, 2)

    def draw(**kwargs):
        return noise_like(x, **{"p_heavy": 0.0, "p_varying": 0.0, **kwargs}, generator=generator())

    def kurtosis(noise):
        return (noise**4).mean(1) / (noise**2).mean(1) ** 2

    gaussian, heavy, varying = draw(), draw(p_heavy=1.0), draw(p_varying=1.0)
    for noise, tolerance in ((gaussian, 0.02), (heavy, 0.15), (varying, 0.05)):
        assert abs(noise.square().mean() - 1) < tolerance
        assert abs(noise.mean()) < 0.01
    assert kurtosis(gaussian).median() < 3.2
    assert kurtosis(heavy).median() > 4.5
    assert kurtosis(varying).median() > 3.8
    share = (kurtosis(draw(p_heavy=0.3)) > 4).float().mean()
    assert 0.2 < share < 0.4
    # The scale follows x, not chance: rows with equal x have equal scales.
    same = noise_like(x[:, :1].expand(-1, 500, -1), 0.0, 1.0, generator())
    assert kurtosis(same).median() < 3.2


def test_a_batch_splits_and_moves_whole():
    parts = [torch.randn(5, n, 2) for n in (4, 4, 3, 3)]
    for batch in (
        TaskBatch(*parts),
        TaskBatch(*parts, torch.randn(5, 3, 9)),
        TaskBatch(*parts, *torch.randn(2, 5, 1, 3, 3)),
    ):
        pieces = batch.split(2)
        assert [len(piece.x) for piece in pieces] == [3, 2]
        for name, whole in batch._asdict().items():
            if whole is None:
                assert all(getattr(piece, name) is None for piece in pieces)
            else:
                assert torch.equal(torch.cat([getattr(piece, name) for piece in pieces]), whole)
        moved = batch.to("meta")
        assert all(t is None or t.device.type == "meta" for t in moved)
        assert [t is None for t in moved] == [t is None for t in batch]


def test_a_network_is_given_hints_if_there_are_any():
    x, y, x_target, y_target, hints = torch.randn(5, 2, 3, 1)
    assert len(TaskBatch(x, y, x_target, y_target).inputs) == 3
    *_, points, ratio, given_hints = TaskBatch(x, y, x_target, y_target, hints).inputs
    assert points is ratio is None
    assert given_hints is hints
    assert TaskBatch(x, y, x_target, y_target, hints).jointly[3] is hints
