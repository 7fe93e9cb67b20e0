import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skcmanp.effects import row_cosines
from skcmanp.process import NOISE_COSINES, NoiseProfile, log_noise
from skcmanp.relevance import default_lengthscale
from skcmanp.scaling import LARGEST, MAX_SHARE, Scaling, row_chunks

rows = arrays(np.float64, st.tuples(st.integers(2, 30), st.just(3)), elements=st.floats(-1e3, 1e3, width=32))


@given(X=rows, magnitude=st.sampled_from([1e-300, 1e-30, 1.0, 1e30, 1e300]))
def test_moments_standardise_at_any_magnitude(X, magnitude):
    X = X / 1e3 * magnitude
    scaling = Scaling.fit(X, X[:, :1])
    z = scaling.scale_x(X)
    # Columns with less spread than float64 resolves are constant; subnormal numbers carry few digits.
    spread = np.ptp(X, axis=0) > 1e-6 * magnitude
    np.testing.assert_allclose(z.mean(axis=0)[spread], 0, atol=1e-6)
    np.testing.assert_allclose(z.std(axis=0)[spread], 1, rtol=1e-6)
    assert (scaling.x_scale > 0).all()


@given(X=rows, seed=st.integers(0, 1000))
def test_integer_weights_are_repetitions(X, seed):
    weight = np.random.default_rng(seed).integers(0, 4, len(X)).astype(float)
    weight[0] = 2
    repeated = np.repeat(X, weight.astype(int), axis=0)
    a, b = Scaling.fit(X, X[:, :1], weight), Scaling.fit(repeated, repeated[:, :1])
    size = np.abs(X).max() + 1e-300
    np.testing.assert_allclose(a.x_centre / size, b.x_centre / size, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(a.x_scale, b.x_scale, rtol=1e-6)


@pytest.mark.parametrize("constant", [0.0, 5.0, -1e30, 1e-30])
def test_constant_columns_scale_with_their_unit(constant):
    X = np.full((4, 1), constant)
    scaling = Scaling.fit(X, X)
    assert scaling.x_centre[0] == constant
    assert scaling.x_scale[0] == (abs(constant) or 1.0)
    assert (scaling.scale_x(X) == 0).all()


def test_bounds_replace_moments():
    X, y = np.random.default_rng(0).normal(size=(10, 2)), np.ones((10, 1))
    scaling = Scaling.fit(X, y, x_bounds=([0, -1], [12, 1]), y_bounds=(0, 1))
    np.testing.assert_allclose(scaling.x_centre, [6, 0])
    np.testing.assert_allclose(scaling.x_scale, [12 / 12**0.5, 2 / 12**0.5])
    np.testing.assert_allclose(scaling.y_centre, [0.5])
    identity = Scaling.fit(X, y, standardize=False)
    assert np.array_equal(identity.scale_x(X), X)


@pytest.mark.parametrize("bounds", [3, (1, 2, 3), (2, 1), (0, np.inf), ([0, 0, 0], 1), ("a", "b"), (0, None)])
def test_bad_bounds_are_named(bounds):
    X = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"x_bounds=.* must be a pair"):
        Scaling.fit(X, X, x_bounds=bounds)


def test_unscaling_inverts_scaling():
    y = np.random.default_rng(0).normal(size=(10, 2)) * [1e5, 1e-5]
    scaling = Scaling.fit(y, y)
    mean, std = scaling.unscale_y(scaling.scale_y(y), np.ones_like(y))
    np.testing.assert_allclose(mean, y)
    np.testing.assert_allclose(std[0], scaling.y_scale)


def test_scaled_values_stay_finite():
    scaling = Scaling.fit(np.array([[0.0], [1e-300]]), np.zeros((2, 1)))
    assert scaling.scale_x(np.array([[1e308], [-1e308]])).tolist() == [[LARGEST], [-LARGEST]]


def test_moments_do_not_need_memory_for_all_rows():
    X = np.arange(400_000, dtype=np.int32).reshape(-1, 2)
    scaling = Scaling.fit(X, X[:, :1])
    np.testing.assert_allclose(scaling.x_centre, X.mean(axis=0))
    np.testing.assert_allclose(scaling.x_scale, X.std(axis=0))


def test_row_chunks_drop_zero_weights():
    X, weight = np.arange(10).reshape(-1, 1), np.array([1, 0, 0, 0, 2, 3, 0, 0, 0, 0.0])
    chunks = list(row_chunks(X, X, weight, 3))
    assert [x.ravel().tolist() for x, _, _ in chunks] == [[0], [4, 5]]
    assert [w.tolist() for _, _, w in chunks] == [[1], [2, 3]]
    assert all(x.dtype == np.float64 for x, _, _ in chunks)


def test_equality_is_exact():
    X = np.random.default_rng(0).normal(size=(10, 2))
    assert Scaling.fit(X, X).equals(Scaling.fit(X, X))
    assert not Scaling.fit(X, X).equals(Scaling.fit(X + 1e-12, X))


def test_relevance_multiplies_the_features_scale():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2)) * [10.0, 0.1]
    y = np.sin(X[:, :1] / 5)
    plain, default, fitted = (Scaling.fit(X, y, relevance=kind) for kind in ("none", "default", "fit"))
    np.testing.assert_allclose(default.x_scale, plain.x_scale * default_lengthscale(2))
    relevant, idle = fitted.x_scale / plain.x_scale
    assert relevant < 2
    assert idle > 5
    for scaling in (default, fitted):
        np.testing.assert_array_equal(scaling.x_centre, plain.x_centre)
        np.testing.assert_array_equal(scaling.y_scale, plain.y_scale)


def test_fitted_scaling_says_how_the_noise_varies():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (500, 2))
    y = X[:, :1] + np.exp(2 * X[:, 1:] - 2) * rng.normal(size=(500, 1))
    scaling = Scaling.fit(X, y, relevance="fit", n_points=60)
    profile = NoiseProfile(*(getattr(scaling, f"noise_{name}") for name in NoiseProfile._fields))
    x = scaling.scale_x(X)
    waves = row_cosines(x, scaling.effect_knots, scaling.effect_ranks, NOISE_COSINES)
    log_scale = log_noise(x, waves, profile)
    assert np.std(log_scale - 2 * X[:, 1]) < 0.25 < 1 < np.std(log_scale)
    assert not len(Scaling.fit(X, y, relevance="default").noise_points)


@pytest.mark.parametrize("varies", [False, True])
def test_fitted_relevance_depends_on_neither_order_nor_repetition(monkeypatch, varies):
    monkeypatch.setattr("skcmanp.scaling._MOMENT_ROWS", 50)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y, weight = np.sin(2 * X[:, :1]), rng.integers(0, 3, 400).astype(float)
    y = y + 0.1 * np.exp(varies * X[:, 1:2]) * rng.normal(size=y.shape)
    order = rng.permutation(400)
    again = np.repeat(np.arange(400), weight.astype(int))
    expected = Scaling.fit(X, y, weight, relevance="fit", n_points=30)
    assert len(expected.noise_points) == (25 if varies else 0)
    for rows in ((X[order], y[order], weight[order]), (X[again], y[again])):
        found = Scaling.fit(*rows, relevance="fit", n_points=30)
        for name, value in vars(found).items():
            np.testing.assert_allclose(value, getattr(expected, name), rtol=1e-12, atol=1e-15, err_msg=name)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_few_targets_that_are_nearly_equal_do_not_make_the_scale_small(n):
    X, y = np.arange(2.0 * n).reshape(n, 2), 5 + 1e-6 * np.arange(n)[:, None]
    scaling = Scaling.fit(X, y)
    np.testing.assert_allclose(scaling.y_scale, 5 / np.sqrt(n), rtol=1e-5)
    np.testing.assert_allclose(scaling.x_scale, X.std(axis=0))  # of features it is their own

    weight = np.r_[np.ones(n - 1), 5.0]  # worth more rows than a few
    repeated = np.repeat(y, weight.astype(int), axis=0)
    np.testing.assert_allclose(Scaling.fit(X, y, weight).y_scale, repeated.std(axis=0), rtol=1e-6)


def test_rows_are_not_few_because_their_weights_are_small():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 2)), rng.normal(3, 1, size=(50, 1))
    np.testing.assert_allclose(Scaling.fit(X, y, np.full(50, 0.02)).y_scale, y.std(axis=0))


def test_few_targets_are_scaled_alike_in_other_units_and_repeated():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(2, 2)), rng.normal(3, 1, size=(2, 1))
    scale = Scaling.fit(X, y).y_scale
    np.testing.assert_allclose(Scaling.fit(X, 1e3 * y).y_scale, 1e3 * scale)
    doubled = Scaling.fit(np.repeat(X, 2, 0), np.repeat(y, 2, 0)).y_scale
    np.testing.assert_allclose(Scaling.fit(X, y, np.full(2, 2.0)).y_scale, doubled)


def test_fitted_scaling_says_what_features_do_alone():
    rng = np.random.default_rng(0)
    X = rng.lognormal(size=(400, 5)) * [1, 10, 100, 1, 1]
    y = np.log(X[:, :1]) + np.sin(3 * np.log(X[:, 1:2])) + (X[:, 2:3] > 100) + 0.1 * rng.normal(size=(400, 1))
    scaling = Scaling.fit(X, y, relevance="fit", n_points=100)
    assert scaling.effect_scale.shape == (5, 4)  # a fifth of the memory
    assert 0.1 < np.square(scaling.effect_scale).sum() < 1
    assert len(scaling.points) == int(MAX_SHARE * (100 - np.count_nonzero(scaling.effect_scale)))
    units = scaling.scale_x(X)
    waves = row_cosines(units, scaling.effect_knots, scaling.effect_ranks, 1)[:, 0, 0]
    order = np.argsort(X[:, 0])
    assert (np.diff(waves[order]) <= 0).all()  # the first cosine falls with the rank
    assert not Scaling.fit(X[:, :1], y, relevance="fit", n_points=100).effect_scale.size
