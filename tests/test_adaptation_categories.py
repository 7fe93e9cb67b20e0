import numpy as np
import pytest

from skcmanp.adaptation import categories
from skcmanp.adaptation.categories import Categories
from skcmanp.adaptation.rows import N_FOLDS, fold_of

COLUMNS = np.array([0])


def make(sizes, between=1.0, within=1.0, seed=0, t=1):
    """Levels with so many rows each."""
    rng = np.random.default_rng(seed)
    level = np.repeat(np.arange(len(sizes)), sizes)
    effect = between * rng.normal(size=(len(sizes), t))
    y = effect[level] + within * rng.normal(size=(len(level), t))
    x = np.column_stack([level.astype(float), rng.normal(size=len(level))])
    return x, y, effect, fold_of(x, y)


def fit(x, y, fold, weight=None, columns=COLUMNS):
    return Categories.fit(x, y, np.ones(len(x)) if weight is None else weight, fold, columns)


def test_codes_are_best_linear_unbiased_predictions_of_random_effects():
    sizes = np.r_[np.full(60, 4), np.full(60, 40)]
    x, y, effect, fold = make(sizes, between=1.5)
    found = fit(x, y, fold)
    codes = found.codes[N_FOLDS, :, 0]
    means = np.array([y[x[:, 0] == k].mean() for k in range(120)]) - y.mean()
    ratio = 1 / 1.5**2  # of variances
    np.testing.assert_allclose(codes, means * sizes / (sizes + ratio), atol=0.1)
    error, plain = (np.square(c + y.mean() - effect[:, 0])[:60].mean() for c in (codes, means))
    assert error < plain


def test_levels_that_say_nothing_are_all_alike():
    x, y, _, fold = make(np.full(300, 10), between=0.0)
    assert np.abs(fit(x, y, fold).codes).max() < 0.25
    constant = fit(x, np.ones_like(y), fold).codes
    np.testing.assert_array_equal(constant, 0)


def test_a_rows_own_target_is_not_in_its_code():
    x, y, _, fold = make(np.full(40, 5))
    found = fit(x, y, fold)
    for k in range(N_FOLDS):
        rows = fold == k
        changed = np.where(rows[:, None], 100.0, y)
        again = fit(x, changed, fold)
        np.testing.assert_array_equal(again(x[rows], fold[rows])[0], found(x[rows], fold[rows])[0])
        assert not np.allclose(again(x[~rows], fold[~rows])[0], found(x[~rows], fold[~rows])[0])


def test_noise_of_many_levels_does_not_look_like_an_effect():
    """As it would if rows were read with codes that know their own targets."""
    x, y, _, fold = make(np.full(100, 2), between=0.0)
    code = fit(x, y, fold)(x, fold)[0][:, 0]
    assert np.corrcoef(code, y[:, 0])[0, 1] < 0.1 if code.std() > 0 else True


def test_rows_to_predict_have_codes_of_all_rows():
    x, y, _, fold = make(np.full(10, 20))
    found = fit(x, y, fold)
    codes, known = found(x)
    np.testing.assert_array_equal(codes[:, 0], found.codes[N_FOLDS, x[:, 0].astype(int), 0])
    assert known.all()


def test_levels_that_were_not_there_are_unknown_and_like_the_mean():
    x, y, _, fold = make(np.full(10, 20))
    new = np.array([[-5.0, 0], [3.5, 0], [99.0, 0], [np.nan, 0], [3.0, 0]])
    codes, known = fit(x, y, fold)(new)
    assert known[:, 0].tolist() == [False] * 4 + [True]
    np.testing.assert_array_equal(codes[:4], 0)


def test_what_is_missing_is_a_level_of_its_own():
    x, y, _, fold = make(np.full(10, 20))
    x[x[:, 0] == 3, 0] = np.nan
    codes, known = fit(x, y, fold)(np.array([[np.nan, 0.0]]))
    assert known.all()
    assert abs(codes[0, 0]) > 0


def test_all_columns_and_targets_have_their_own_codes():
    x, y, _, _ = make(np.full(10, 20), t=2)
    x = np.column_stack([x[:, 0], x[:, 1], x[::-1, 0] % 3])
    fold = fold_of(x, y)
    codes, known = fit(x, y, fold, columns=np.array([0, 2]))(x)
    assert codes.shape == (200, 4)
    assert known.shape == (200, 2)
    for k, column in enumerate((0, 2)):
        for t in range(2):
            alone = fit(x, y[:, t : t + 1], fold, columns=np.array([column]))(x)[0]
            np.testing.assert_allclose(codes[:, 2 * k + t], alone[:, 0])


def test_integer_weights_are_repetitions_and_order_does_not_matter():
    x, y, _, fold = make(np.full(10, 20))
    weight = np.random.default_rng(0).integers(1, 4, 200)
    again = np.repeat(np.arange(200), weight)
    expected = fit(x, y, fold, weight.astype(float))
    found = fit(x[again], y[again], fold[again])
    np.testing.assert_allclose(found.codes, expected.codes, rtol=1e-9, atol=1e-12)
    order = np.random.default_rng(1).permutation(200)
    np.testing.assert_allclose(fit(x[order], y[order], fold[order]).codes, fit(x, y, fold).codes, atol=1e-12)


def test_the_most_frequent_levels_are_kept(monkeypatch):
    monkeypatch.setattr(categories, "MAX_LEVELS", 5)
    x, y, _, fold = make([1, 9, 2, 8, 3, 7, 4, 6])
    x = np.column_stack([x[:, 0], np.arange(40.0)])  # and a column of as many levels as rows
    found = fit(x, y, fold, columns=np.array([0, 1]))
    assert found.levels.tolist() == [1, 3, 5, 6, 7]
    assert found.starts.tolist() == [0, 5, 5]
    codes, known = found(x)
    assert not known[:, 1].any()
    assert known[:, 0].sum() == 9 + 8 + 7 + 4 + 6
    np.testing.assert_array_equal(codes[:, 1], 0)


def test_the_number_of_levels_is_bounded_where_all_are_as_frequent(monkeypatch):
    monkeypatch.setattr(categories, "MAX_LEVELS", 5)
    x, y, _, fold = make(np.full(50, 2))
    assert len(fit(x, y, fold).levels) <= 5


def test_a_single_row_says_nothing():
    x, y, _, fold = make([1])
    np.testing.assert_array_equal(fit(x, y, fold).codes, 0)


def test_names_of_rows_say_nothing():
    x, y, _, fold = make(np.full(200, 1))
    found = fit(x, y, fold)
    assert np.abs(found.codes).max() < 0.05
    np.testing.assert_array_equal(found(x, fold)[0], 0)
    constant = fit(x, np.ones_like(y), fold)
    np.testing.assert_array_equal(constant.codes, 0)


def test_weights_may_be_small():
    x, y, _, fold = make(np.full(10, 100))
    small, plain = fit(x, y, fold, np.full(1000, 0.01)).codes, fit(x, y, fold).codes
    assert np.corrcoef(small.ravel(), plain.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    "change",
    [
        {"starts": np.array([0, 4])},
        {"starts": np.array([0, 9, 10])},
        {"codes": np.zeros((N_FOLDS, 10, 1))},
        {"codes": np.zeros((N_FOLDS + 1, 9, 1))},
        {"levels": np.zeros(9)},
    ],
)
def test_what_rows_cannot_have_led_to_is_refused(change):
    x, y, _, fold = make(np.full(10, 20))
    found = fit(x, y, fold)
    found.check_possible(0)
    with pytest.raises(ValueError, match="categories"):
        Categories.from_arrays({**found.arrays(), **change}).check_possible(0)
