import numpy as np
import pytest
import torch

from skcmanp import CMANPConfig
from skcmanp.tasks import FunctionTasks, RandomGP, RandomLinear, RandomMLP


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


NETWORK = CMANPConfig(dim_x=4, memory_features=30, memory_kernel="matern52", relevance=True)


def test_adapted_tasks_are_the_same_tasks():
    """Of their first rows, or with as many as a stream's first chunk, with what the memory says."""
    arguments = {"dim_x": 4, "n_context": (30, 30), "n_target": 10, "p_empty": 0.0, "min_features": 3}
    plain = FunctionTasks([RandomGP()], **arguments).sample(3, generator(1))
    adapted = FunctionTasks([RandomGP()], **arguments, adapt_for=NETWORK).sample(3, generator(1))
    assert plain.hints is None
    assert adapted.hints.shape[:2] == (3, 10)
    n_features = int((plain.x[0].abs().sum(0) > 0).sum())
    assert not adapted.x[..., n_features:].any()
    for i in range(3):  # up to shift and scale
        for one, other in ((plain.x, adapted.x), (plain.x_target, adapted.x_target), (plain.y, adapted.y)):
            for j in range(min(n_features, one.shape[2])):
                assert abs(np.corrcoef(one[i, :, j], other[i, :, j])[0, 1]) > 1 - 1e-6


def test_without_context_tasks_are_adapted_as_before_anything_is_known():
    arguments = {"dim_x": 4, "n_target": 10, "p_empty": 1.0, "min_features": 4}
    plain = FunctionTasks([RandomGP()], **arguments).sample(3, generator(1))
    adapted = FunctionTasks([RandomGP()], **arguments, adapt_for=NETWORK).sample(3, generator(1))
    torch.testing.assert_close(adapted.x_target * 0.8 * 4**0.5, plain.x_target)
    torch.testing.assert_close(adapted.y_target, plain.y_target)
    assert torch.isfinite(adapted.hints).all()


def test_some_tasks_are_scaled_by_a_streams_first_chunk():
    tasks = FunctionTasks([RandomLinear()], dim_x=1, n_context=(40, 40), p_empty=0.0)
    by_all = [tasks.sample(2, generator(seed)).y.mean(1).abs().max() < 1e-5 for seed in range(200)]
    assert 0.65 < np.mean(by_all) < 0.85


def test_some_functions_have_a_trend():
    arguments = {"dim_x": 2, "n_target": 400, "p_empty": 1.0, "min_features": 2, "noise": (0.02, 0.02)}

    def explained(p_trend):
        batch = FunctionTasks([RandomGP()], **arguments, p_trend=p_trend).sample(100, generator())
        shares = []
        for x, y in zip(batch.x_target.numpy(), batch.y_target[..., 0].numpy(), strict=True):
            line = np.column_stack([np.ones(400), x])
            residual = y - line @ np.linalg.lstsq(line, y, rcond=None)[0]
            shares.append(1 - residual.var() / y.var())
        return np.array(shares)

    assert np.median(explained(1.0)) > np.median(explained(0.0)) + 0.1
    batch = FunctionTasks([RandomGP()], **arguments, p_trend=1.0).sample(100, generator())
    torch.testing.assert_close(batch.y_target.std(1, correction=0).mean(), torch.tensor(1.0), atol=0.03, rtol=0)


def test_half_of_the_targets_may_lie_beyond_the_context():
    arguments = {"dim_x": 3, "n_context": (60, 60), "n_target": 20, "p_empty": 0.0, "min_features": 3}
    plain = FunctionTasks([RandomGP()], **arguments).sample(8, generator(1))
    beyond = FunctionTasks([RandomGP()], **arguments, p_beyond=1.0).sample(8, generator(1))
    assert beyond.x.shape == plain.x.shape
    for i in range(8):
        context, near, far = beyond.x[i], beyond.x_target[i, :10], beyond.x_target[i, 10:]
        known = torch.cat([context, near])
        above, below = (far.amin(0) >= known.amax(0)), (far.amax(0) <= known.amin(0))
        assert (above | below).any()
    for seed in range(20):
        never = FunctionTasks([RandomGP()], **arguments, p_beyond=0.0).sample(2, generator(seed))
        for one, other in zip(
            never[:4], FunctionTasks([RandomGP()], **arguments).sample(2, generator(seed))[:4], strict=True
        ):
            assert torch.equal(one, other)


def test_rows_keep_their_targets_when_they_move_beyond():
    arguments = {"dim_x": 1, "n_context": (60, 60), "n_target": 20, "p_empty": 0.0, "noise": (1e-6, 1e-6)}
    batch = FunctionTasks([RandomLinear(p_products=0.0)], **arguments, p_beyond=1.0).sample(4, generator(1))
    for i in range(4):
        x, y = (torch.cat(pair)[:, 0] for pair in ((batch.x[i], batch.x_target[i]), (batch.y[i], batch.y_target[i])))
        assert abs(np.corrcoef(x, y)[0, 1]) > 1 - 1e-6
