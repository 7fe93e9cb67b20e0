"""A network is trained on what the estimator will give it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_model

from skcmanp import CMANPRegressor
from skcmanp.adaptation import Adaptation
from skcmanp.adaptation.evidence import default_lengthscale
from skcmanp.checkpoints import get_network, resolve_checkpoint
from skcmanp.tasks.adapted import MIN_REFERENCE, adapted
from skcmanp.tasks.base import TaskBatch

SHAPE = {"memory_features": 30, "memory_kernel": "matern52", "relevance": True, "input_limit": 20.0}


def tasks(n=40, d=3, dim_y=1, n_tasks=2, seed=0, width=3):
    """Rows in units of their own, of functions with noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_tasks, n + 12, d)) * 10.0 ** np.arange(d) + 5
    y = np.sin(x[..., :1] * 2) + 0.1 * rng.normal(size=(n_tasks, n + 12, dim_y))
    x = np.pad(x, ((0, 0), (0, 0), (0, width - d)))
    x, y = (torch.tensor(array).float() for array in (x, y))
    return TaskBatch(x[:, :n], y[:, :n], x[:, n:], y[:, n:])


def arrays(batch, i, d):
    return [t[i].double().numpy() for t in (batch.x[..., :d], batch.y, batch.x_target[..., :d], batch.y_target)]


def fitted(model, X, y, n_reference):
    """The estimator as after a stream's first chunk, read on."""
    reg = CMANPRegressor(model).fit(X[:n_reference], y[:n_reference])
    return reg.partial_fit(X[n_reference:], y[n_reference:]) if n_reference < len(X) else reg


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("n_reference", [10, 40])
@pytest.mark.parametrize("joint_rank", [0, 2])
def test_hints_are_what_the_estimators_network_is_told(d, n_reference, joint_rank):
    model, batch = make_model(**SHAPE, joint_rank=joint_rank), tasks(d=d)
    given = adapted(batch, d, n_reference, model.config)
    assert (given.covariance is not None) is bool(joint_rank)
    network = get_network(resolve_checkpoint(model, d), torch.device("cpu"), torch.float64)
    for i in range(2):
        X, y, X_target, y_target = arrays(batch, i, d)
        state = fitted(model, X, y, n_reference).context_
        x_target = state.adaptation.scale_x(X_target)
        np.testing.assert_allclose(given.x_target[i, :, :d], x_target, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(given.y_target[i], state.adaptation.scale_y(y_target), rtol=1e-4, atol=1e-5)
        with torch.no_grad():
            hints, _ = network._model.remembered(torch.tensor(x_target).unsqueeze(0), network._memory(state))
        np.testing.assert_allclose(given.hints[i], hints[0], rtol=2e-3, atol=2e-3)


def test_networks_predict_from_hints_what_the_estimator_predicts():
    model, batch = make_model(**SHAPE, joint_rank=2), tasks()
    given = adapted(batch, 3, 40, model.config)
    with torch.no_grad():
        marginals = model(*given.inputs)
        memory, count = model.condition(given.x, given.y, reads=False)
        _, covariance = model.joint(given.x_target, memory, count, given.hints, given.covariance)
    for i in range(2):
        X, y, X_target, _ = arrays(batch, i, 3)
        reg = fitted(model, X, y[:, 0], 40)
        scale, centre = reg.context_.adaptation.targets.scale, reg.context_.adaptation.targets.centre
        mean, std = reg.predict(X_target, return_std=True)
        _, expected = reg.predict(X_target, return_cov=True)
        np.testing.assert_allclose(marginals.mean[i, :, 0].numpy() * scale + centre, mean, atol=2e-3)
        np.testing.assert_allclose(marginals.stddev[i, :, 0].numpy() * scale, std, rtol=5e-3)
        np.testing.assert_allclose(covariance[i, 0].numpy() * scale**2, expected, atol=5e-3 * expected.max())


@pytest.mark.parametrize("n_reference", [0, MIN_REFERENCE - 1])
def test_few_rows_fix_nothing(n_reference):
    """Then the task keeps its population's scales, and has the length-scales of before anything is known."""
    model, batch = make_model(**SHAPE), tasks(n=n_reference)
    given = adapted(batch, 3, n_reference, model.config)
    torch.testing.assert_close(given.x_target * default_lengthscale(3), batch.x_target)
    torch.testing.assert_close(given.y_target, batch.y_target)
    adaptation = Adaptation.fit(*np.zeros((2, 1, 3)), standardize=False, how="default", memory_features=30)
    assert [part.name for part in adaptation.parts] == ["trend", "random_waves"]
    assert given.hints.shape == (2, 12, model.memory.n_hints)
    assert torch.isfinite(given.hints).all()


def test_rows_after_the_reference_are_read_but_fix_nothing():
    model, batch = make_model(**SHAPE), tasks()
    changed = replace_rows(batch, slice(10, None), 3.0)
    one, other = (adapted(b, 3, 10, model.config) for b in (batch, changed))
    assert torch.equal(one.x, other.x)
    assert torch.equal(one.y[:, :10], other.y[:, :10])
    assert not torch.allclose(one.hints, other.hints)


def replace_rows(batch, rows, shift):
    y = batch.y.clone()
    y[:, rows] += shift
    return batch._replace(y=y)


def test_absent_columns_stay_absent_and_say_nothing():
    model = make_model(**{**SHAPE, "dim_x": 5})
    narrow, wide = tasks(width=3), tasks(width=5)
    one = adapted(narrow, 3, 40, replace(model.config, dim_x=3))
    other = adapted(wide, 3, 40, model.config)
    assert other.x.shape[2] == other.x_target.shape[2] == 5
    assert not other.x[..., 3:].any()
    assert torch.equal(one.hints, other.hints)


def test_networks_whose_memory_learns_its_features_are_told_nothing():
    model, batch = make_model(memory_features=16), tasks()
    given = adapted(batch, 3, 40, model.config)
    assert given.hints is None
    assert given.covariance is None
    assert torch.isfinite(given.x).all()
