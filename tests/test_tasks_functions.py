import numpy as np
import pytest
import torch

from skcmanp import CMANPConfig
from skcmanp.adaptation.evidence import default_lengthscale
from skcmanp.tasks import FunctionTasks, RandomGP, RandomLinear, RandomMLP

ADAPTED = CMANPConfig(dim_x=3, memory_features=40, memory_kernel="matern52", relevance=True)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_sampling_is_seeded_and_padded():
    tasks = FunctionTasks([RandomGP(), RandomMLP(), RandomLinear()], dim_x=8)
    a, b, c = (tasks.sample(6, generator(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(x, y) for x, y in zip(a[:4], b[:4], strict=True))
    assert any(x.shape != y.shape or not torch.equal(x, y) for x, y in zip(a[:4], c[:4], strict=True))
    sized = tasks.sample_sized(6, n_features=5, n_context=40, generator=generator())
    assert sized.x.shape == (6, 40, 8)
    assert sized.y_target.shape == (6, 64, 1)
    assert (sized.x[..., 5:] == 0).all()
    assert (sized.x_target[..., :5].std(1) > 0).all()


def test_context_sizes_start_at_none():
    tasks = FunctionTasks([RandomLinear()], dim_x=2, n_context=(1, 20), p_empty=0.2)
    sizes = [tasks.sample(2, generator(seed)).x.shape[1] for seed in range(300)]
    assert set(sizes) == set(range(21))
    assert 30 < sizes.count(0) < 90


def test_fields_have_uniform_places_and_all_their_coordinates():
    tasks = FunctionTasks([RandomGP()], dim_x=2, p_empty=1.0, min_features=2, inputs="field", n_target=500)
    x = tasks.sample(16, generator()).x_target  # without a context nothing is standardised
    assert x.abs().max() <= 3**0.5
    np.testing.assert_allclose(x.std((0, 1)), 1, atol=0.1)
    np.testing.assert_allclose((x[..., 0] * x[..., 1]).mean(), 0, atol=0.05)


@pytest.mark.parametrize(("key", "value"), [("inputs", "fields"), ("min_features", 0), ("min_features", 3)])
def test_bad_arguments_are_named(key, value):
    with pytest.raises(ValueError, match=f"{key}="):
        FunctionTasks([RandomGP()], dim_x=2, **{key: value})


def test_noise_is_relative_to_the_function():
    tasks = FunctionTasks([RandomLinear(p_products=0.0)], dim_x=1, noise=(0.5, 0.5), n_target=2000)
    batch = tasks.sample_sized(20, 1, 0, generator())
    x, y = batch.x_target[..., 0], batch.y_target[..., 0]
    slope = (x * y).mean(1, keepdim=True) / x.square().mean(1, keepdim=True)
    residual = (y - y.mean(1, keepdim=True) - slope * (x - x.mean(1, keepdim=True))).std(1) / y.std(1)
    np.testing.assert_allclose(residual.mean(), 0.5 / 1.25**0.5, rtol=0.05)


def test_trends_are_lines_on_top_of_a_fraction_of_the_functions():
    arguments = {"dim_x": 1, "n_context": (200, 200), "n_target": 50, "p_empty": 0.0, "noise": (0.01, 0.01)}

    def linearity(p_trend):
        """Squared correlation of targets with the feature, of every task."""
        tasks = FunctionTasks([RandomGP(lengthscale=(0.1, 0.1))], p_trend=p_trend, **arguments)
        batch = tasks.sample(200, generator())
        x, y = (t - t.mean(1, keepdim=True) for t in (batch.x, batch.y))
        return ((x * y).mean(1) ** 2 / (x.square().mean(1) * y.square().mean(1))).flatten()

    without, half, all_of_them = (linearity(p) for p in (0.0, 0.5, 1.0))
    assert (without > 0.5).float().mean() < 0.05
    assert (all_of_them > 0.5).float().mean() > 0.5
    assert (without > 0.5).sum() < (half > 0.5).sum() < (all_of_them > 0.5).sum()


def test_half_of_the_targets_lie_beyond_the_context():
    arguments = {"dim_x": 3, "min_features": 3, "n_context": (40, 40), "n_target": 20, "p_empty": 0.0}
    inside = FunctionTasks([RandomGP()], **arguments).sample(30, generator(2))
    batch = FunctionTasks([RandomGP()], p_beyond=1.0, **arguments).sample(30, generator(2))

    def share_beyond(batch):
        """Largest share of targets beyond the context at one end of one feature, (B,)."""
        low, high = batch.x.amin(1, keepdim=True), batch.x.amax(1, keepdim=True)
        return torch.cat([(batch.x_target < low), (batch.x_target > high)], dim=2).float().mean(1).amax(1)

    # Features with few levels, or equal rows, may have fewer beyond.
    assert share_beyond(batch).median() >= 0.4
    assert share_beyond(inside).median() < 0.2


def test_adapted_tasks_are_what_the_network_is_given():
    tasks = FunctionTasks([RandomLinear()], dim_x=3, n_context=(20, 20), p_empty=0.0, n_target=6, adapt_for=ADAPTED)
    batch = tasks.sample(2, generator())
    assert batch.x.shape == (2, 20, 3)
    assert batch.hints.shape[:2] == (2, 6)
    assert batch.inputs[-1] is batch.hints
    assert all(t.dtype == torch.float32 for t in batch if t is not None)
    parts = batch.split(2)
    assert torch.equal(torch.cat([part.hints for part in parts]), batch.hints)


def test_without_context_tasks_are_adapted_as_before_anything_is_known():
    arguments = {"dim_x": 3, "n_target": 10, "p_empty": 1.0, "min_features": 3}
    plain = FunctionTasks([RandomGP()], **arguments).sample(3, generator(1))
    adapted = FunctionTasks([RandomGP()], **arguments, adapt_for=ADAPTED).sample(3, generator(1))
    torch.testing.assert_close(adapted.x_target * default_lengthscale(3), plain.x_target)
    torch.testing.assert_close(adapted.y_target, plain.y_target)
    assert torch.isfinite(adapted.hints).all()


def test_some_tasks_are_scaled_by_a_streams_first_chunk():
    tasks = FunctionTasks([RandomLinear()], dim_x=1, n_context=(40, 40), p_empty=0.0)
    by_all = [tasks.sample(2, generator(seed)).y.mean(1).abs().max() < 1e-5 for seed in range(200)]
    assert 0.65 < np.mean(by_all) < 0.85


def test_rows_keep_their_targets_when_they_move_beyond():
    arguments = {"dim_x": 1, "n_context": (60, 60), "n_target": 20, "p_empty": 0.0, "noise": (1e-6, 1e-6)}
    batch = FunctionTasks([RandomLinear(p_products=0.0)], **arguments, p_beyond=1.0).sample(4, generator(1))
    for i in range(4):
        x, y = (torch.cat(pair)[:, 0] for pair in ((batch.x[i], batch.x_target[i]), (batch.y[i], batch.y_target[i])))
        assert abs(np.corrcoef(x, y)[0, 1]) > 1 - 1e-6
