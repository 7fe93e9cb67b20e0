import numpy as np
import pytest
import torch

from skcmanp.adaptation.main_effects import MAX_COSINES, MainEffects, n_cosines
from skcmanp.adaptation.ranks import row_cosines
from skcmanp.kernels import matern52


def skewed(n=300, d=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.lognormal(size=(n, d)), rng.integers(1, 4, n).astype(float)


def features(effects, x):
    psi, missed = effects.to("cpu")(torch.tensor(x).unsqueeze(0))
    return psi[0].numpy(), missed[0].numpy()


@pytest.mark.parametrize(
    ("n_features", "n_places", "expected"), [(1, 400, 0), (2, 400, 0), (3, 400, 8), (20, 400, 4), (5, 10, 0)]
)
def test_cosines_take_a_fifth_of_the_memory_at_most(n_features, n_places, expected):
    assert n_cosines(n_features, n_places) == expected
    assert n_cosines(n_features, n_places) * n_features <= n_places / 5


def test_effects_say_nothing_that_the_trend_says():
    """On the rows they are orthogonal to one and to their feature, so they cannot take a line's part."""
    x, weight = skewed()
    psi = MainEffects.fit(x, weight, 4).of_rows(x).reshape(len(x), 3, 4)
    for j in range(3):
        line = np.column_stack([np.ones(len(x)), x[:, j]])
        np.testing.assert_allclose(line.T @ (weight[:, None] * psi[:, j]), 0, atol=1e-9 * weight.sum() * x.max())
        assert (np.average(psi[:, j] ** 2, axis=0, weights=weight) > 0.1).all()


def test_together_with_lines_effects_span_the_cosines():
    x, weight = skewed()
    effects = MainEffects.fit(x, weight, 4)
    both = np.column_stack([np.ones(len(x)), x, effects.of_rows(x)])
    waves = row_cosines(x, effects.knots, effects.ranks, 4).reshape(len(x), -1)
    fitted = both @ np.linalg.lstsq(both, waves, rcond=None)[0]
    np.testing.assert_allclose(fitted, waves, atol=1e-8)


def test_a_constant_feature_has_no_effect():
    x, weight = skewed()
    x[:, 1] = 7.0
    psi = MainEffects.fit(x, weight, 3).of_rows(x).reshape(len(x), 3, 3)
    np.testing.assert_allclose(psi[:, 1], 0, atol=1e-12)


def test_integer_weights_are_repetitions():
    x, weight = skewed(50)
    again = np.repeat(x, weight.astype(int), axis=0)
    one, other = MainEffects.fit(x, weight, 3), MainEffects.fit(again, np.ones(len(again)), 3)
    for name, array in one.arrays().items():
        np.testing.assert_allclose(array, other.arrays()[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_effects_are_the_same_in_units_of_length_scales():
    x, weight = skewed()
    scale, lengthscale = np.random.default_rng(1).uniform(0.1, 1, (3, 4)), np.array([0.5, 3.0, 40.0])
    effects = MainEffects.fit(x, weight, 4)
    beyond = np.r_[x, 2 * x.max(0, keepdims=True), -x.max(0, keepdims=True)]
    in_units = effects.rescaled(scale, lengthscale)
    np.testing.assert_allclose(
        in_units.of_rows(beyond / lengthscale), effects.of_rows(beyond) * scale.ravel(), rtol=1e-9, atol=1e-12
    )


def test_cosines_without_a_coefficient_take_no_place():
    x, weight = skewed()
    scale = np.zeros((3, 4))
    scale[0, :2], scale[2, 1] = 0.3, 0.5
    effects = MainEffects.fit(x, weight, 4)
    some = effects.rescaled(scale, np.ones(3))
    assert some.n_features == 3
    expected = effects.of_rows(x).reshape(-1, 3, 4) * scale
    np.testing.assert_allclose(some.of_rows(x), np.column_stack([expected[:, 0, :2], expected[:, 2, 1]]))
    none = effects.rescaled(np.zeros((3, 4)), np.ones(3))
    assert none.n_features == 0
    assert none.of_rows(x).shape == (300, 0)


def test_beyond_the_range_of_the_rows_effects_fade_and_are_missed():
    effects = MainEffects.fit(np.arange(-4.0, 5.0)[:, None], np.ones(9), 3)
    effects = effects.rescaled(np.full((1, 3), 0.4), np.ones(1))
    x = np.array([[-1e6], [-6.0], [-4.0], [0.3], [4.0], [4.0001], [6.0], [1e6]])
    psi, missed = features(effects, x)
    size = np.square(psi).sum(1)
    np.testing.assert_allclose(size[[0, 7]], 0, atol=1e-12)
    np.testing.assert_allclose(missed[[0, 7]], 0.48)
    np.testing.assert_array_equal(missed[2:5], 0)
    faded = matern52(np.zeros((1, 1)), np.ones((1, 1))).item() ** 2  # 2 is a quarter of the range
    np.testing.assert_allclose(size[[1, 6]], size[[2, 4]] * faded)
    np.testing.assert_allclose(missed[[1, 6]], 0.48 * (1 - faded))
    assert size[5] == pytest.approx(size[4], rel=1e-6)


def test_batches_are_their_parts():
    x, weight = skewed()
    effects = MainEffects.fit(x, weight, MAX_COSINES).to("cpu")
    rows = torch.randn(4, 7, 3)
    psi, missed = effects(rows)
    assert psi.shape == (4, 7, 24)
    assert psi.dtype == missed.dtype == torch.float64
    for i in range(4):
        one, one_missed = effects(rows[i : i + 1])
        torch.testing.assert_close(psi[i], one[0])
        torch.testing.assert_close(missed[i], one_missed[0])
