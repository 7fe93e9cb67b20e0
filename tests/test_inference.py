import gc
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_model

from skcmanp import inference
from skcmanp.adaptation import Adaptation
from skcmanp.checkpoints import get_network, resolve_checkpoint
from skcmanp.inference import Network
from skcmanp.nn import conjugate
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
    monkeypatch.setattr(conjugate, "READ_ROWS", 5)
    monkeypatch.setattr(inference, "BLOCK_ROWS", 11)
    before = torch.get_num_threads()
    try:
        for n_threads in (1, 3):
            torch.set_num_threads(n_threads)
            for actual, value in zip(network.predict(read_state(network, x, y), x), expected, strict=True):
                np.testing.assert_allclose(actual, value, rtol=1e-11)
    finally:
        torch.set_num_threads(before)


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


def adapted(n=300, d=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n + 60, d))
    y = np.sin(2 * x[:, :1]) + 0.1 * rng.normal(size=(n + 60, 1))
    network = get_network(resolve_checkpoint("tabular", d, 72), torch.device("cpu"), torch.float64)
    adaptation = Adaptation.fit(x[:n], y[:n], how="fit", memory_features=72)
    state = ContextState("net", "00", adaptation, network.empty_summary(1))
    x, y = adaptation.scale_x(x), adaptation.scale_y(y)
    return network, state.absorb(network.read(x[:n], y[:n], adaptation)), x[n:], y[n:]


def follow(network, state, x, y, weight=None):
    read = network.read(x, y, state.adaptation, weight)
    after = state.absorb(read)
    network.follow(state, after, read)
    return after


def as_found_anew(network, state, x):
    return network.predict(replace(state), x)


def test_what_is_known_of_a_state_is_updated_by_few_rows(monkeypatch):
    """Predictions do not depend on the path to a state: on chunks, on predictions in between, and on how often."""
    network, state, x, y = adapted()
    decompositions = []
    decompose = network._model.memory.decompose
    monkeypatch.setattr(network._model.memory, "decompose", lambda *a: decompositions.append(1) or decompose(*a))
    network.predict(state, x[:2])
    weight = np.random.default_rng(2).uniform(0.1, 3.0, 60)
    start, chunks = 0, [1, 1, 3, 1, 7, 1, 2]
    for i, n in enumerate(chunks):
        rows = slice(start, start + n)
        state, start = follow(network, state, x[rows], y[rows], weight[rows]), start + n
        if i % 2:
            network.predict(state, x[-1:])
    found = network.predict(state, x[-5:])
    assert len(decompositions) == 1
    for value, expected in zip(found, as_found_anew(network, state, x[-5:]), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-10)
    assert len(decompositions) == 2


def test_covariances_are_found_anew_at_intervals_and_for_many_queries(monkeypatch):
    monkeypatch.setattr(inference, "UPDATED_ROWS", 10)
    network, state, x, y = adapted()
    decompositions = []
    decompose = network._model.memory.decompose
    monkeypatch.setattr(network._model.memory, "decompose", lambda *a: decompositions.append(1) or decompose(*a))
    network.predict(state, x[:1])
    for i in range(25):
        state = follow(network, state, x[i : i + 1], y[i : i + 1])
        network.predict(state, x[:1])
    assert len(decompositions) == 3
    network.predict(state, np.tile(x, (2, 1)))
    network.predict(state, x[:1])
    assert len(decompositions) == 4
