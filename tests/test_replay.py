import numpy as np
import pytest
import torch
from torch import nn

from skcmanp import CMANPRegressor
from skcmanp.replay import Replayed


class Part(nn.Module):
    """Modules, views, several results, changes in place, lists, properties and constants that are made."""

    def __init__(self):
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(6), nn.Linear(6, 4)
        self.calls = 0

    def forward(self, x, y, absent=None):
        self.calls += 1
        a, b = self.linear(self.norm(x)).chunk(2, dim=-1)
        square = a @ b.mT
        square.diagonal(dim1=-2, dim2=-1).add_(1.0)
        square[..., 0, 0] = 3.0
        both = torch.cat([square, y if absent is None else absent], dim=-1)
        largest = both.max(dim=-1)
        return both * torch.arange(both.shape[-1], device=x.device), largest.values, largest.indices


def tensors(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, n, 6, generator=generator), torch.randn(2, n, 3, generator=generator)


def test_replayed_results_are_the_functions():
    part = Part().requires_grad_(False)
    replayed = Replayed(part)
    with torch.inference_mode():
        for seed in range(3):
            for n in (1, 4):
                given = tensors(n, seed)
                for found, expected in zip(replayed(*given), part(*given), strict=True):
                    assert torch.equal(found, expected)
        before = part.calls
        replayed(*tensors(4, 9))
        replayed(*tensors(4, 9), None)  # of as many tensors as arguments
    assert part.calls == before + 2


def test_what_was_found_last_is_kept_for_the_same_tensors_alone():
    part, given, other = Part().requires_grad_(False), tensors(1), tensors(1, seed=1)
    replayed = Replayed(part, keeps=True)
    with torch.inference_mode():
        first = replayed(*given)
        again = replayed(*(tensor.clone() for tensor in given))
        assert all(a is b for a, b in zip(first, again, strict=True))
        for tensors_of_one in (other, (given[0], other[1]), (*given, other[1]), given):
            for found, expected in zip(replayed(*tensors_of_one), part(*tensors_of_one), strict=True):
                assert torch.equal(found, expected)
        given[0].add_(1.0)
        assert torch.equal(replayed(*given)[0], part(*given)[0])


def test_what_is_none_is_another_function():
    part = Part().requires_grad_(False)
    replayed, (x, y) = Replayed(part), tensors(4)
    with torch.inference_mode():
        for absent in (None, 2 * y, None, 3 * y):
            assert torch.equal(replayed(x, y, absent)[0], part(x, y, absent)[0])


def test_gradients_flow_and_other_numbers_of_rows_are_not_noted():
    part = Part()
    replayed = Replayed(part, n_rows=1)
    replayed(*tensors(1))[0].sum().backward()
    assert part.linear.weight.grad is not None
    with torch.inference_mode():
        for n in range(2, 50):
            replayed(*tensors(n))
    assert not replayed._known


def test_only_so_many_shapes_are_kept():
    part = Part().requires_grad_(False)
    replayed = Replayed(part)
    with torch.no_grad():
        for n in range(1, 60):
            given = tensors(n)
            assert torch.equal(replayed(*given)[1], part(*given)[1])
    assert len(replayed._known) < 40


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_estimators_predict_and_learn_rows_as_the_modules_do(dtype, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 3))
    y = np.sin(X[:, 0]) + 0.1 * rng.normal(size=90)

    def stream():
        reg = CMANPRegressor(dtype=dtype).fit(X[:60], y[:60])
        told = []
        for i in range(60, 70):
            told.append(reg.predict(X[i : i + 1], return_std=True))
            reg.partial_fit(X[i : i + 1], y[i : i + 1])
        return np.array(told)

    replayed = stream()
    monkeypatch.setattr(Replayed, "__call__", lambda self, *given: self._function(*given))
    np.testing.assert_array_equal(replayed, stream())
