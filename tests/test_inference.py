import gc

import numpy as np
import pytest
import torch
from conftest import make_model
from skcmanp.scaling import Scaling

from skcmanp import inference
from skcmanp.adaptation import Adaptation
from skcmanp.inference import Network
from skcmanp.state.context import ContextState

PLAIN = Adaptation.fit(np.zeros((1, 2)), np.zeros((1, 1)), standardize=False)


def read_state(network, x, y, weight=None):
    return ContextState("net", "00", PLAIN, network.read(x, y, PLAIN, weight))


@pytest.fixture(params=[0, 12], ids=["without memory", "with memory"])
def memory_features(request):
    return request.param


@pytest.fixture
def network(memory_features):
    return Network(make_model(memory_features=memory_features), torch.device("cpu"), torch.float64)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(50, 2)), rng.normal(size=(50, 1))


def test_predictions_are_the_models(network, rows, memory_features):
    x, y = rows
    mean, std = network.predict(read_state(network, x, y), x[:7])
    wide = torch.nn.functional.pad(torch.tensor(x), (0, 1)).unsqueeze(0)
    with torch.no_grad():
        expected = make_model(memory_features=memory_features).double()(wide, torch.tensor(y).unsqueeze(0), wide[:, :7])
    np.testing.assert_allclose(mean, expected.mean[0].numpy(), rtol=1e-10)
    np.testing.assert_allclose(std, expected.stddev[0].numpy(), rtol=1e-10)


def test_blocks_of_rows_and_of_queries_do_not_show(network, rows, monkeypatch):
    x, y = rows
    expected = network.predict(read_state(network, x, y), x)
    monkeypatch.setattr(inference, "READ_ROWS", 7)
    monkeypatch.setattr(inference, "QUERY_ROWS", 11)
    for actual, value in zip(network.predict(read_state(network, x, y), x), expected, strict=True):
        np.testing.assert_allclose(actual, value, rtol=1e-11)


def test_latents_are_computed_once_per_state_and_die_with_it(network, rows, monkeypatch):
    x, y = rows
    calls = []
    latents_memory = network._model.latents_memory
    monkeypatch.setattr(network._model, "latents_memory", lambda *args: calls.append(1) or latents_memory(*args))
    state = read_state(network, x, y)
    network.predict(state, x)
    network.predict(state, x[:3])
    assert len(calls) == 1
    further = state.absorb(network.read(x, y, PLAIN))
    network.predict(further, x)
    assert len(calls) == 2
    assert len(network._memories) == 2
    del state, further
    gc.collect()
    assert len(network._memories) == 0


def test_nothing_keeps_an_autograd_graph(network, rows):
    x, y = rows
    network.predict(read_state(network, x, y), x)
    assert not any(p.requires_grad for p in network._model.parameters())
    assert not any(kv.k.requires_grad for memory in network._memories.values() for kv in memory.keys_values)


def test_statistics_are_float64_whatever_the_network(rows):
    x, y = rows
    for dtype in (torch.float32, torch.bfloat16):
        summary = Network(make_model(memory_features=12), torch.device("cpu"), dtype).read(x, y, PLAIN)
        for part in (summary.softmax, summary.sums):
            assert all(array.dtype == np.float64 for array in vars(part).values())


def test_weights_reach_the_statistics(network, rows):
    x, y = rows
    weight = np.random.default_rng(1).uniform(0.1, 5, 50)
    weighted = network.read(x, y, PLAIN, weight)
    total = network.empty_summary(1)
    for i in range(50):
        total = total.combine(network.read(x[i : i + 1], y[i : i + 1], PLAIN, weight[i : i + 1]))
    np.testing.assert_allclose(total.softmax.output(), weighted.softmax.output(), rtol=1e-10)
    np.testing.assert_allclose(total.sums.a, weighted.sums.a, rtol=1e-10, atol=1e-12)
    assert (total.n_rows, total.weight) == (50, pytest.approx(weight.sum()))
    assert not np.allclose(weighted.softmax.output(), network.read(x, y, PLAIN).softmax.output())
