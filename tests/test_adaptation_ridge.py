import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

from skcmanp.adaptation.ridge import Ridge
from skcmanp.adaptation.rows import N_FOLDS, fold_of


def make(n=120, e=40, t=1, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, e))
    y = x @ rng.normal(size=(e, t)) / np.sqrt(e) + noise * rng.normal(size=(n, t))
    return x, y, fold_of(x, y)


def fit(x, y, fold, weight=None):
    return Ridge.fit(x, y, np.ones(len(x)) if weight is None else weight, fold)


def test_predictions_are_those_of_the_library_without_a_rows_fold():
    x, y, fold = make(t=2)
    found = fit(x, y, fold)
    read = found(x, fold)
    for k in range(N_FOLDS):
        for t in range(2):
            model = RidgeCV(alphas=40 * np.geomspace(1e-3, 1e3, 13)).fit(x[fold != k], y[fold != k, t])
            np.testing.assert_allclose(read[fold == k, t], model.predict(x[fold == k]), rtol=1e-7, atol=1e-9)
    every = [found(x, np.full(len(x), k)) for k in range(N_FOLDS)]
    np.testing.assert_allclose(found(x), np.mean(every, axis=0), rtol=1e-9, atol=1e-12)


def test_a_rows_own_target_is_not_in_what_it_is_read_with():
    x, y, fold = make()
    other = fit(x, np.where((fold == 1)[:, None], 100.0, y), fold)(x, fold)
    found = fit(x, y, fold)(x, fold)
    np.testing.assert_array_equal(found[fold == 1], other[fold == 1])
    assert (found[fold != 1] != other[fold != 1]).all()


def test_lines_in_more_columns_than_rows_are_found_and_noise_is_not():
    x, y, fold = make(100, 300, noise=0.1)
    assert np.corrcoef(fit(x, y, fold)(x, fold)[:, 0], y[:, 0])[0, 1] > 0.3
    noise = np.random.default_rng(1).normal(size=(100, 1))
    fold = fold_of(x, noise)
    assert fit(x, noise, fold)(x).std() < 0.5


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_few_rows_say_nothing(n):
    x, y, fold = make(n)
    assert fit(x, y, fold)(x).shape == (n, 1)
    np.testing.assert_array_equal(fit(x[:1], y[:1], fold[:1])(x), 0)
    for weight in (1e-100, 1e6):  # of one, beside which others are none
        assert np.isfinite(fit(x, y, fold, np.r_[weight, np.ones(n - 1)])(x)).all()


def test_missing_values_are_means():
    x, y, fold = make()
    holes = x.copy()
    holes[::3, 2] = np.nan
    filled = np.nan_to_num(holes)
    assert fit(holes, y, fold).equals(fit(filled, y, fold))
    np.testing.assert_array_equal(fit(x, y, fold)(holes), fit(x, y, fold)(filled))


def test_weights_are_those_of_the_library():
    x, y, fold = make()
    weight = np.random.default_rng(0).uniform(0.1, 3, len(x))
    model = RidgeCV(alphas=40 * np.geomspace(1e-3, 1e3, 13))
    model.fit(x[fold != 0], y[fold != 0, 0], sample_weight=weight[fold != 0])
    np.testing.assert_allclose(fit(x, y, fold, weight)(x, 0 * fold)[:, 0], model.predict(x), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("change", [{"coefficients": np.zeros((1, 4, 3))}, {"intercept": np.zeros((1, 3))}])
def test_what_rows_cannot_have_led_to_is_refused(change):
    found = fit(*make())
    found.check_possible(40)
    with pytest.raises(ValueError, match="not of shape"):
        Ridge.from_arrays({**found.arrays(), **change}).check_possible(40)
