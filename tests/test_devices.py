"""Devices by name; and that no pass mixes them.

torch's meta device stands in for one that is not here: as CUDA does, it refuses
to be mixed with the CPU, and computes nothing, so nothing may depend on values.
"""

import os
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from unittest import mock

import numpy as np
import pytest
import torch
from conftest import make_model

from skcmanp.adaptation import Adaptation, Basis
from skcmanp.adaptation.adaptation import PARTS
from skcmanp.devices import resolve_device
from skcmanp.nn.conjugate import Sums
from skcmanp.tasks.base import TaskBatch
from skcmanp.training.loop import Objective


def test_auto_prefers_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("cuda")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "", "mps", "meta"])
def test_unknown_devices_are_named(device):
    with pytest.raises(ValueError, match=f"device='{device}' must be 'auto', 'cpu', 'cuda'"):
        resolve_device(device)


def test_absent_devices_are_counted(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(ValueError, match=r"device='cuda:1': this machine has 1 CUDA devices; use device='auto'"):
        resolve_device("cuda:1")


def test_absent_devices_can_become_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.warns(UserWarning, match="device='cuda:1'.*predicting on the CPU"):
        assert resolve_device("cuda:1", or_cpu=True) == torch.device("cpu")
    assert resolve_device("cuda:0", or_cpu=True) == torch.device("cuda:0")
    with pytest.raises(ValueError, match="must be 'auto'"):
        resolve_device("gpu", or_cpu=True)


# ------------------------------------------------------------------ never mixed

KINDS = {
    "paper": {"count_input": False, "fourier_features": 0, "input_limit": None},
    "features": {},
    "readout": {"linear_readout": True},
    "joint": {"joint_rank": 2},
    "learned memory": {"memory_features": 16},
    "gated memory": {"memory_features": 16, "memory_fusion": "gate", "joint_rank": 2},
    "learned memory, joint": {"memory_features": 16, "joint_rank": 2},
    "memory": {"memory_features": 48, "memory_kernel": "matern52", "relevance": True},
    "memory, joint": {"memory_features": 48, "memory_kernel": "matern52", "relevance": True, "joint_rank": 2},
    "memory of two targets": {"memory_features": 48, "memory_kernel": "matern52", "relevance": True, "dim_y": 2},
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def elsewhere(request):
    """A network on another device."""
    return make_model(**request.param).to("meta")


def rows(*shape):
    return torch.empty(*shape, device="meta")


@contextmanager
def without_values():
    """No matrix fails to have a factor where there are no numbers, and autocast does not know the meta device."""
    with mock.patch.object(torch.Tensor, "any", return_value=False), mock.patch("torch.autocast", nullcontext_of_any):
        yield


def nullcontext_of_any(*args, **kwargs):
    return nullcontext()


def adaptation():
    """One with parts of all kinds, and noise that varies."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (300, 3))
    y = 2 * np.abs(X[:, :1]) + np.sin(5 * X[:, 1:2]) + 3 * (X[:, 2:] > 0)
    y = y + 0.3 * np.exp(2 * X[:, 2:] - 2) * rng.normal(size=(300, 1))
    found = Adaptation.fit(X, y, how="fit", memory_features=48, trees=False)
    assert {type(part) for part in found.parts} == set(PARTS)
    assert found.noise is not None
    return found


ADAPTATION = adaptation()


def on_meta(*tensors):
    for tensor in tensors:
        if isinstance(tensor, tuple):
            on_meta(*tensor)
        elif isinstance(tensor, torch.Tensor):
            assert tensor.device.type == "meta"


def test_what_the_first_rows_fixed_is_used_where_the_rows_are():
    basis, x = ADAPTATION.basis(48, device="meta"), rows(1, 9, 3)
    psi, missed = basis.features(x)
    weight = basis.weight(missed)
    squares = (weight.unsqueeze(-1) * psi.square()).sum(-2)
    on_meta(psi, missed, weight, basis.noise(x), basis.missed_covariance(x), basis.read_weight(squares))


@pytest.mark.parametrize("n_points", [0, 5, 60])
@pytest.mark.parametrize("with_ratio", [False, True])
def test_a_basis_of_points_is_where_these_are(n_points, with_ratio):
    basis, x = Basis.of_points(rows(2, n_points, 3), rows(2) if with_ratio else None, 48), rows(2, 9, 3)
    psi, missed = basis.features(x)
    on_meta(psi, missed, basis.weight(missed), basis.noise(x), basis.missed_covariance(x), basis.ratio, basis.scale)


@pytest.mark.parametrize("weighted", [False, True])
def test_reading_and_predicting_stay_on_their_device(elsewhere, weighted):
    """As the estimator does it: rows are the same for all targets, and statistics of them become latents."""
    config = elsewhere.config
    basis = ADAPTATION.basis(48, device="meta") if config.adapted_features else None
    x, y = rows(1, 40, 3), rows(2, 40, config.dim_y)
    log_weight = torch.empty(40, dtype=torch.float64, device="meta") if weighted else None
    with torch.inference_mode(), without_values():
        projection = elsewhere.row_projection()
        (m, s, o), sums, _ = elsewhere.read(x, y, projection, basis, log_weight)
        few = elsewhere.read(
            x[:, :1], y[:, :1], projection, basis, log_weight if log_weight is None else log_weight[:1]
        )
        on_meta(m, s, o, sums, few)
        count = rows(2)
        memory = elsewhere.latents_memory(o.float(), count, sums, basis)
        distribution = elsewhere.query(rows(1, 7, 3), memory, count)
        mean, covariance = elsewhere.joint(rows(1, 7, 3), memory, count)
    on_meta(distribution.mean, distribution.stddev, mean, covariance)
    assert covariance.shape == (2, config.dim_y, 7, 7)


@pytest.mark.parametrize("n_context", [0, 12])
def test_forward_passes_stay_on_their_device(elsewhere, n_context):
    config = elsewhere.config
    context = rows(2, n_context, 3), rows(2, n_context, config.dim_y)
    points = (rows(2, min(6, n_context), 3), rows(2)) if config.adapted_features else ()
    with without_values():
        distribution = elsewhere(*context, rows(2, 5, 3), *points)
    on_meta(distribution.mean, distribution.stddev)


@pytest.mark.parametrize("with_hints", [False, True])
def test_training_steps_stay_on_their_device(elsewhere, with_hints):
    config = elsewhere.config
    if with_hints and not config.adapted_features:
        pytest.skip("it makes no hints")
    shapes = (2, 12, 3), (2, 12, config.dim_y), (2, 7, 3), (2, 7, config.dim_y)
    hints, covariance = None, None
    if with_hints:
        hints = rows(2, 7, elsewhere.memory.n_hints)
        covariance = rows(2, config.dim_y, 7, 7) if config.joint_rank else None
    objective = Objective(elsewhere, "float32")
    with without_values():
        loss = objective(TaskBatch(*(rows(*shape) for shape in shapes), hints, covariance))
        on_meta(loss)
        loss.backward()
    gradients = [p.grad for p in elsewhere.parameters() if p.grad is not None]
    assert gradients
    on_meta(*gradients)


def test_mixing_is_noticed():
    """Or the tests above would say nothing."""
    basis = ADAPTATION.basis(48)
    with pytest.raises(RuntimeError):
        basis.features(rows(1, 9, 3))
    model = make_model().to("meta")
    with pytest.raises(RuntimeError), without_values():
        model(torch.zeros(1, 3, 3), rows(1, 3, 1), rows(1, 2, 3))
    memory = make_model(memory_features=48, memory_kernel="matern52").to("meta").memory
    with pytest.raises(RuntimeError):
        memory.posterior(Sums(*(torch.zeros(1, 48, n) for n in (48, 1, 1, 1))), rows(1), None)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_passes_on_cuda_are_those_on_the_cpu(kind):
    model = make_model(**KINDS[kind])
    generator = torch.Generator().manual_seed(0)
    x, y, x_target = (torch.randn(2, n, d, generator=generator) for n, d in ((20, 3), (20, model.config.dim_y), (7, 3)))
    expected = model(x, y, x_target)
    model = model.to("cuda")
    found = model(*(t.to("cuda") for t in (x, y, x_target)))
    torch.testing.assert_close(found.mean.cpu(), expected.mean, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.stddev.cpu(), expected.stddev, rtol=1e-3, atol=1e-3)


FORKED = """
import os
import numpy as np
import torch
from skcmanp import CMANPRegressor

torch.set_num_threads(2)
X = np.random.default_rng(0).normal(size=(500, 3))
reg = CMANPRegressor(adapt=False).fit(X, X.sum(axis=1))
expected = reg.predict(X)
child = os.fork()
if child == 0:
    os._exit(0 if np.allclose(reg.predict(X), expected) else 1)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_that_forks_after_predicting_does_not_hang():
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED],
        check=True,
        timeout=60,
        env={**os.environ, "OMP_WAIT_POLICY": "passive"},
    )
