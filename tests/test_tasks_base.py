import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skcmanp.effects import fit_ranks, n_cosines, row_cosines
from skcmanp.process import NOISE_COSINES, NOISE_POINTS
from skcmanp.relevance import default_lengthscale, fit_relevance
from skcmanp.scaling import Scaling

from skcmanp.tasks import FunctionTasks, RandomGP, RandomLinear, RandomMLP
from skcmanp.tasks.base import (
    Effort,
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
        scaling = Scaling.fit(x[i, :10].double().numpy(), y[i, :10].double().numpy())
        np.testing.assert_allclose(batch.x[i], scaling.scale_x(x[i, :15].double().numpy()), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(batch.y_target[i], scaling.scale_y(y[i, 15:].double().numpy()), rtol=1e-3, atol=1e-4)


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


def test_relevance_scaled_tasks_are_scaled_as_the_estimator_scales():
    arguments = {"dim_x": 5, "n_context": (40, 40), "n_target": 10, "p_empty": 0.0, "min_features": 3}
    plain = FunctionTasks([RandomGP()], **arguments).sample(3, generator(1))
    scaled = FunctionTasks([RandomGP()], **arguments, relevance=True).sample(3, generator(1))
    assert torch.equal(plain.y_target, scaled.y_target)
    n_features = int((plain.x[0].abs().sum(0) > 0).sum())
    for i in range(3):
        x, y = plain.x[i, :, :n_features].double().numpy(), plain.y[i].double().numpy()
        knots, ranks = fit_ranks(x, np.ones(40))
        waves = row_cosines(x, knots, ranks, n_cosines(n_features, Effort().points))
        found = fit_relevance(x, y, np.ones(40), waves)
        lengthscale = torch.tensor(found.lengthscale).float()
        assert scaled.ratio[i].item() == pytest.approx(found.ratio)
        torch.testing.assert_close(scaled.effect_knots[i], torch.tensor(knots).float() / lengthscale[:, None])
        torch.testing.assert_close(scaled.effect_ranks[i], torch.tensor(ranks).float())
        effects = found.effects if found.effects.size else np.zeros(waves.shape[1:])
        torch.testing.assert_close(scaled.effect_scale[i], torch.tensor(effects).float())
        torch.testing.assert_close(scaled.x[i, :, :n_features] * lengthscale, plain.x[i, :, :n_features])
        torch.testing.assert_close(scaled.x_target[i, :, :n_features] * lengthscale, plain.x_target[i, :, :n_features])


def test_without_context_relevance_is_the_default():
    arguments = {"dim_x": 4, "n_target": 10, "p_empty": 1.0, "min_features": 4}
    plain = FunctionTasks([RandomGP()], **arguments).sample(3, generator(1))
    scaled = FunctionTasks([RandomGP()], **arguments, relevance=True).sample(3, generator(1))
    torch.testing.assert_close(scaled.x_target * default_lengthscale(4), plain.x_target)
    assert scaled.points.shape == (3, 0, 4)


def test_points_of_many_rows_move_and_noise_that_varies_is_told():
    arguments = {
        "dim_x": 2,
        "n_context": (500, 500),
        "n_target": 200,
        "p_empty": 0.0,
        "noise": (1.0, 1.0),
        "min_features": 2,
    }
    tasks = FunctionTasks([RandomGP()], **arguments, p_varying=1.0, relevance=True)
    batch = tasks.sample(4, generator(3))
    assert batch.points.shape == (4, Effort().points, 2)
    assert (batch.points != batch.x[:, : Effort().points]).any()
    assert batch.noise_points.shape == (4, NOISE_POINTS, 2)
    assert batch.noise_weights.shape == (4, NOISE_POINTS)
    assert batch.noise_coefficients.shape == (4, 2, NOISE_COSINES)
    assert batch.noise_weights.any(1).sum() >= 2


def test_more_effort_fits_more_rows_and_points():
    arguments = {"dim_x": 2, "n_context": (90, 90), "n_target": 10, "p_empty": 0.0, "min_features": 2}
    batches = [
        FunctionTasks([RandomGP()], **arguments, relevance=True, effort=effort).sample(2, generator(2))
        for effort in ((30, 90, 20), (90, 90, 20), (90, 90, 40))
    ]
    assert [batch.points.shape[1] for batch in batches] == [20, 20, 40]
    assert not torch.equal(batches[0].ratio, batches[1].ratio)
    assert torch.equal(batches[1].ratio, batches[2].ratio)


def test_points_are_the_first_rows():
    tasks = FunctionTasks([RandomGP()], dim_x=4, n_context=(30, 30), p_empty=0.0, relevance=True)
    batches = [tasks.sample(3, generator(seed)) for seed in range(12)]
    numbers = {batch.points.shape[1] for batch in batches}
    assert max(numbers) == 30
    assert 10 <= min(numbers) < 30  # as a stream's first chunk
    for batch in batches:
        torch.testing.assert_close(batch.points, batch.x[:, : batch.points.shape[1]])
        for whole, part in zip(batch.inputs, batch.split(3)[1].inputs, strict=True):
            assert torch.equal(whole[1:2], part)
