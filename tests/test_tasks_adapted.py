import dataclasses

import numpy as np
import pytest
import torch

from skcmanp import CMANP, CMANPConfig, CMANPRegressor
from skcmanp.adaptation.evidence import default_lengthscale
from skcmanp.checkpoints import get_network, resolve_checkpoint
from skcmanp.frames import Kind
from skcmanp.tasks.adapted import adapted
from skcmanp.tasks.base import TaskBatch

CONFIG = CMANPConfig(
    dim_x=4, n_blocks=1, dim=16, memory_features=40, memory_kernel="matern52", relevance=True, count_input=True
)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 70, 4, generator=generator)
    x[..., 3] = 0.0  # absent
    y = torch.sin(2 * x[..., :1]) + 3 * x[..., 1:2] + 0.1 * torch.randn(2, 70, 1, generator=generator)
    return TaskBatch(x[:, :60], y[:, :60], x[:, 60:], y[:, 60:])


def test_tasks_are_adapted_and_remembered_as_by_the_estimator(batch):
    torch.manual_seed(0)
    model = CMANP(CONFIG)
    torch.nn.init.normal_(model.head.linear.weight, std=0.1)  # else it changes nothing
    for i, task in enumerate(adapted(batch, 3, 60, CONFIG).split(2)):
        X, y = batch.x[i, :, :3].double().numpy(), batch.y[i, :, 0].double().numpy()
        reg = CMANPRegressor(model).fit(X, y)
        mean, std = reg.predict(batch.x_target[i, :, :3].double().numpy(), return_std=True)
        targets = reg.context_.adaptation.targets
        with torch.no_grad():
            distribution = model(*task.inputs)
        ours = distribution.mean.flatten().double().numpy() * targets.scale + targets.centre
        np.testing.assert_allclose(ours, mean, atol=1e-3 * std.mean())
        np.testing.assert_allclose(distribution.stddev.flatten().double().numpy() * targets.scale, std, rtol=1e-3)
        scaled = reg.context_.adaptation.scale_y(batch.y_target[i].double().numpy())
        np.testing.assert_allclose(task.y_target[0].numpy(), scaled, rtol=1e-5, atol=1e-6)


def test_only_the_reference_rows_are_adapted_to(batch):
    changed = batch._replace(y=torch.cat([batch.y[:, :30], batch.y[:, 30:] + 5], dim=1))
    one, other = (adapted(b, 3, 30, CONFIG) for b in (batch, changed))
    assert torch.equal(one.x, other.x)
    assert torch.equal(one.y[:, :30], other.y[:, :30])
    assert not torch.equal(one.hints, other.hints)  # but all rows are read


@pytest.mark.parametrize("n_context", [0, 3])
def test_few_rows_fix_nothing(batch, n_context):
    few = batch._replace(x=batch.x[:, :n_context], y=batch.y[:, :n_context])
    result = adapted(few, 3, n_context, CONFIG)
    torch.testing.assert_close(result.x_target * default_lengthscale(3), batch.x_target)
    assert torch.equal(result.y_target, batch.y_target)
    assert result.hints.isfinite().all()


def test_networks_with_a_joint_head_are_given_covariances(batch):
    assert adapted(batch, 3, 60, CONFIG).covariance is None
    result = adapted(batch, 3, 60, dataclasses.replace(CONFIG, joint_rank=2))
    assert result.covariance.shape == (2, 1, 10, 10)
    std = result.hints[..., 1].exp()
    torch.testing.assert_close(result.covariance[:, 0].diagonal(dim1=1, dim2=2).sqrt(), std, rtol=1e-4, atol=1e-6)
    model = CMANP(dataclasses.replace(CONFIG, joint_rank=2))
    memory, count = model.condition(result.x, result.y, reads=False)
    assert model.joint(result.x_target, memory, count, result.hints, result.covariance)[1].isfinite().all()


def test_networks_without_a_memory_get_length_scales_alone(batch):
    result = adapted(batch, 3, 60, dataclasses.replace(CONFIG, memory_features=0))
    assert result.hints is None
    assert not torch.equal(result.x, adapted(batch, 3, 0, CONFIG).x)


@pytest.mark.parametrize("n_features", [1, 3])
@pytest.mark.parametrize("n_reference", [10, 60])
def test_hints_are_what_the_estimators_network_is_told(batch, n_features, n_reference):
    """Also after a stream's first chunk: then further rows are read."""
    model = CMANP(CONFIG)
    given = adapted(batch, n_features, n_reference, CONFIG)
    checkpoint = resolve_checkpoint(model, [Kind.NUMBER] * n_features)
    for i in range(2):
        X, X_target = (t[i, :, :n_features].double().numpy() for t in (batch.x, batch.x_target))
        y = batch.y[i].double().numpy()
        reg = CMANPRegressor(model).fit(X[:n_reference], y[:n_reference])
        state = (reg.partial_fit(X[n_reference:], y[n_reference:]) if n_reference < 60 else reg).context_
        network = get_network(checkpoint, torch.device("cpu"), torch.float64, state.adaptation)
        x_target = state.adaptation.scale_x(X_target)
        np.testing.assert_allclose(given.x_target[i, :, :n_features], x_target, rtol=1e-5, atol=1e-5)
        with torch.no_grad():
            hints, _ = network._model.remembered(
                torch.tensor(x_target).unsqueeze(0), network._memory(state, exactly=True)
            )
        np.testing.assert_allclose(given.hints[i], hints[0], rtol=2e-3, atol=2e-3)


def test_absent_columns_stay_absent_and_say_nothing(batch):
    narrow = batch._replace(x=batch.x[..., :3], x_target=batch.x_target[..., :3])
    one = adapted(narrow, 3, 60, dataclasses.replace(CONFIG, dim_x=3))
    other = adapted(batch, 3, 60, CONFIG)
    assert one.x.shape[2] == 3
    assert not other.x[..., 3:].any()
    assert not other.x_target[..., 3:].any()
    assert torch.equal(one.hints, other.hints)


def test_networks_whose_memory_learned_its_features_are_told_nothing(batch):
    config = dataclasses.replace(CONFIG, memory_kernel="learned")
    result = adapted(batch, 3, 60, config)
    assert result.hints is None
    torch.testing.assert_close(result.x, adapted(batch, 3, 60, dataclasses.replace(CONFIG, memory_features=0)).x)
