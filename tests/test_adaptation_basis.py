"""Features, weights and noise of rows, as parts and a noise profile make them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.gaussian_process.kernels import Matern

from skcmanp.adaptation import Basis
from skcmanp.adaptation.basis import UNKNOWN_RATIO
from skcmanp.adaptation.inducing import InducingPoints
from skcmanp.adaptation.missed import MAX_WEIGHT_RATIO
from skcmanp.adaptation.trend import PRIOR_CONSTANT, PRIOR_SLOPE, Trend
from skcmanp.adaptation.waves import RandomWaves


def basis_of(parts, n_features, **changes):
    one = torch.ones(1).double()
    basis = Basis(tuple(part.to("cpu") for part in parts), None, one, one, n_features, parts[0].slope.shape[-1])
    return replace(basis, **changes)


def test_features_are_those_of_all_parts_and_spare_ones_are_zero():
    x = torch.randn(2, 5, 3)
    parts = Trend(np.ones(3)), RandomWaves.draw(3, 4, np.array([0.3])), InducingPoints(np.eye(3), np.array([0.7]))
    psi, missed = basis_of(parts, 17).features(x)
    made = [part.to("cpu")(x) for part in parts]
    torch.testing.assert_close(psi[..., :15], torch.cat([features for features, _ in made], -1))
    assert not psi[..., 15:].any()
    torch.testing.assert_close(missed, made[2][1])
    torch.testing.assert_close(basis_of(parts, 17).missed_covariance(x), parts[2].to("cpu").missed_covariance(x))


def test_rows_that_features_miss_count_less_but_by_a_bounded_factor():
    missed = torch.tensor([[0.0, 0.5, 1.0]]).double()
    one = torch.ones(1).double()
    basis = basis_of((Trend(np.ones(1)),), 2, ratio=2 * one)
    np.testing.assert_allclose(basis.weight(missed), [[1, 1 / 3, 1 / 5]])
    large = basis_of((Trend(np.ones(1)),), 2, ratio=1e6 * one)
    np.testing.assert_allclose(large.weight(missed)[0, 2], 1 / (1 + MAX_WEIGHT_RATIO**2))


@pytest.mark.parametrize("n_features", [103, 104])
@pytest.mark.parametrize("n_points", [0, 7, 200])
def test_points_alone_make_a_basis_of_the_whole_process(n_features, n_points):
    x = torch.randn(3, 20, 2)
    points = torch.randn(3, n_points, 2)
    basis = Basis.of_points(points, None, n_features)
    psi, missed = basis.features(x)
    assert psi.shape == (3, 20, n_features)
    x = x.double()
    line = PRIOR_SLOPE**2 * x @ x.mT + PRIOR_CONSTANT**2
    kernel = psi @ psi.mT - line
    np.testing.assert_allclose(kernel.diagonal(dim1=1, dim2=2) + missed, 1, atol=1e-4)
    used = min(n_points / (n_features - 3), 1.0)
    with_missed = kernel + basis.missed_covariance(x)
    for i in range(3):
        off = ~np.eye(20, dtype=bool)
        error = np.abs(with_missed[i].numpy() - Matern(1.0, nu=2.5)(x[i].numpy()))[off]
        assert error.mean() < 0.12 * (1 - used) + 1e-4
    assert (basis.ratio == UNKNOWN_RATIO).all()
    told = Basis.of_points(points, torch.tensor([1.0, 2.0, 3.0]), n_features)
    np.testing.assert_array_equal(told.ratio, [1, 2, 3])


def test_more_features_than_the_memory_has_are_refused():
    with pytest.raises(RuntimeError):
        basis_of((Trend(np.ones(3)),), 3).features(torch.randn(1, 5, 3))
