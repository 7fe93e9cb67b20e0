"""The estimator's contract: what it takes, returns, refuses, and leaves alone."""

import copy
import pickle
import warnings
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import pytest
from conftest import assert_same_predictions, make_model
from scipy.stats import norm
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.model_selection import GridSearchCV, KFold, cross_validate, learning_curve
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcmanp import CMANPRegressor, ContextState, load_checkpoint, save_checkpoint, shipped_checkpoints
from skcmanp.adaptation import Adaptation
from skcmanp.adaptation.evidence import default_lengthscale
from skcmanp.checkpoints import loaded_networks


def snapshot(reg):
    """Everything that an estimator is, for comparison."""
    return {name: pickle.dumps(value) for name, value in vars(reg).items()}


def assert_refused(reg, call, message, error=ValueError):
    """`call` raises a message that names what is wrong, and changes nothing."""
    before = snapshot(reg)
    with pytest.raises(error, match=message):
        call()
    assert snapshot(reg) == before


# ------------------------------------------------------------------ results


def test_shapes_of_one_and_several_targets(table):
    X, y = table
    for target, shape in ((y, (60,)), (y[:, None], (60, 1)), (np.c_[y, -y, 2 * y], (60, 3))):
        reg = CMANPRegressor().fit(X, target)
        mean, std = reg.predict(X, return_std=True)
        assert mean.shape == std.shape == reg.predict(X).shape == shape
        assert reg.sample_y(X, 5).shape == (*shape, 5)
        assert reg.log_prob(X, target).shape == (60,)
        assert reg.n_outputs_ == target.reshape(60, -1).shape[1]


def test_targets_are_regressed_separately_but_for_their_length_scales(table):
    X, y = table
    both = CMANPRegressor(adapt=False).fit(X, np.c_[y, 1e6 * y**2])
    for i, target in enumerate((y, 1e6 * y**2)):
        alone = CMANPRegressor(adapt=False).fit(X, target)
        np.testing.assert_allclose(both.predict(X)[:, i], alone.predict(X), rtol=1e-9)


def test_native_multi_output_checkpoints(table):
    X, y = table
    reg = CMANPRegressor(checkpoint=make_model(dim_y=2)).fit(X, np.c_[y, -y])
    assert reg.predict(X).shape == (60, 2)
    assert reg.context_.summary.softmax.s.shape[0] == 1
    assert_refused(
        reg, lambda: reg.fit(X, np.c_[y, y, y]), "y has 3 targets, but checkpoint 'custom' predicts 2 jointly"
    )


def test_units_of_the_data_do_not_matter(table):
    X, y = table
    mean, std = CMANPRegressor().fit(X, y).predict(X, return_std=True)
    other = CMANPRegressor().fit(1e6 * X - 3, 1e-3 * y + 7)
    other_mean, other_std = other.predict(1e6 * X - 3, return_std=True)
    np.testing.assert_allclose((other_mean - 7) / 1e-3, mean, rtol=1e-7)
    np.testing.assert_allclose(other_std / 1e-3, std, rtol=1e-7)


def test_log_prob_is_the_density_in_the_targets_units(table):
    X, y = table
    Y = np.c_[y, 100 * y]
    reg = CMANPRegressor().fit(X, Y)
    mean, std = reg.predict(X, return_std=True)
    np.testing.assert_allclose(reg.log_prob(X, Y), norm.logpdf(Y, mean, std).sum(axis=1))


def test_samples_follow_mean_and_std(table):
    X, y = table
    reg = CMANPRegressor(random_state=3).fit(X, y)
    mean, std = reg.predict(X[:5], return_std=True)
    draws = reg.sample_y(X[:5], 20_000)
    np.testing.assert_allclose(draws.mean(axis=1), mean, atol=4 * std.max() / 20_000**0.5)
    np.testing.assert_allclose(draws.std(axis=1), std, rtol=0.03)
    assert np.array_equal(draws, reg.sample_y(X[:5], 20_000))
    assert not np.array_equal(draws, reg.sample_y(X[:5], 20_000, random_state=1))
    assert np.array_equal(reg.sample_y(X), reg.sample_y(X, random_state=3))
    assert not np.array_equal(reg.sample_y(X), reg.set_params(random_state=4).sample_y(X))
    reg.set_params(random_state=None)
    assert not np.array_equal(reg.sample_y(X), reg.sample_y(X))


def test_std_and_covariance_are_not_asked_for_together(table):
    X, y = table
    reg = CMANPRegressor().fit(X, y)
    assert_refused(reg, lambda: reg.predict(X, return_std=True, return_cov=True), "ask for one of them")


def test_learns_something_from_real_rows():
    X, y = load_diabetes(return_X_y=True)
    folds = KFold(3, shuffle=True, random_state=0)

    def log_likelihood(reg, X, y):
        return reg.log_prob(X, y).mean()

    def constant_log_likelihood(train, test):
        return norm.logpdf(y[test], y[train].mean(), y[train].std()).mean()

    scores = cross_validate(CMANPRegressor(), X, y, cv=folds, scoring={"r2": "r2", "density": log_likelihood})
    assert scores["test_r2"].mean() > 0.40
    constant = np.mean([constant_log_likelihood(train, test) for train, test in folds.split(X)])
    assert scores["test_density"].mean() > constant + 0.15


# ------------------------------------------------------------------ inputs


def test_data_frames_keep_names(table):
    X, y = table
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    reg = CMANPRegressor().fit(frame, pd.Series(y))
    assert reg.feature_names_in_.tolist() == ["a", "b", "c"]
    plain = CMANPRegressor().fit(X, y)
    np.testing.assert_allclose(reg.predict(frame), plain.predict(X), rtol=1e-12)
    assert_refused(reg, lambda: reg.predict(frame[["b", "a", "c"]]), "feature names")
    pl = pytest.importorskip("polars")
    polars = CMANPRegressor().fit(pl.DataFrame(X, schema=["a", "b", "c"]), pl.Series(y))
    assert polars.feature_names_in_.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(polars.predict(pl.DataFrame(X, schema=["a", "b", "c"])), plain.predict(X), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.bool_, object])
def test_numeric_dtypes_are_read_alike(dtype):
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 2, size=(30, 3)), rng.integers(0, 9, size=30)
    expected = CMANPRegressor().fit(X.astype(float), y.astype(float)).predict(X.astype(float))
    np.testing.assert_allclose(CMANPRegressor().fit(X.astype(dtype), y).predict(X.astype(dtype)), expected, rtol=1e-12)


def test_fit_starts_anew(table):
    X, y = table
    reg = CMANPRegressor().fit(X[:, :2], np.c_[y, y]).fit(X, y)
    assert_same_predictions(reg, CMANPRegressor().fit(X, y), X)
    assert reg.n_features_in_ == 3


def test_predicting_touches_nothing(table):
    X, y = table
    reg = CMANPRegressor().fit(X, y)
    before = snapshot(reg)
    reg.predict(X, return_std=True)
    reg.sample_y(X)
    reg.log_prob(X, y)
    assert snapshot(reg) == before


def test_one_row_and_constant_columns(table):
    X, y = table
    for rows, targets in ((X[:1], y[:1]), (np.ones((9, 3)), np.ones(9)), (np.zeros((9, 3)), np.zeros(9))):
        mean, std = CMANPRegressor().fit(rows, targets).predict(rows, return_std=True)
        assert np.isfinite(mean).all()
        assert (std > 0).all()


def test_outliers_and_far_queries_stay_finite(table):
    X, y = table
    X = np.r_[X, [[1e30, -1e30, 1e300]]]
    reg = CMANPRegressor(x_bounds=(-1, 1), y_bounds=(0, 100)).fit(X, np.r_[y, 1e30])
    for dtype in ("float64", "float32"):
        mean, std = reg.set_params(dtype=dtype).predict(X, return_std=True)
        assert np.isfinite(mean).all()
        assert np.isfinite(std).all()


def test_verbose_shows_progress(table, capsys):
    X, y = table
    CMANPRegressor(verbose=1).fit(X, y)
    assert "row" in capsys.readouterr().err
    CMANPRegressor().fit(X, y)
    assert capsys.readouterr().err == ""


# ------------------------------------------------------------------ bad inputs


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y, w: (X + np.inf, y, w), "Input X contains infinity"),
        (lambda X, y, w: (X, y * np.nan, w), "Input y contains NaN"),
        (lambda X, y, w: (X, y * np.inf, w), "Input y contains infinity"),
        (lambda X, y, w: (X, np.full(60, "a"), w), "numeric values|string to float"),
        (lambda X, y, w: (X[:0], y[:0], None), r"Found array with 0 sample\(s\)"),
        (lambda X, y, w: (X[:9], y, w), "inconsistent numbers of samples"),
        (lambda X, y, w: (X, y, -w), r"Negative values in sample_weight \(the smallest is -1\)"),
        (lambda X, y, w: (X, y, 0 * w), "sample_weight is zero for all rows"),
        (lambda X, y, w: (X, y, w * np.nan), "Input sample_weight contains NaN"),
        (lambda X, y, w: (X, y, w[:9]), r"sample_weight has shape \(9,\), but there are 60 rows"),
        (lambda X, y, w: (X.astype(complex), y, w), "Complex data not supported"),
        (lambda X, y, w: (X[0], y, w), "Expected 2D array"),
    ],
)
def test_bad_rows_are_refused(table, method, fitted, change, message):
    X, y = table
    reg = CMANPRegressor()
    if fitted:
        reg.fit(X, y)
    twin = copy.deepcopy(reg)
    assert_refused(reg, lambda: getattr(reg, method)(*change(X, y, np.ones(60))), message)
    assert_same_predictions(getattr(reg, method)(X, y), getattr(twin, method)(X, y), X)


def test_too_many_features_name_the_remedy(table):
    X, y = table
    reg = CMANPRegressor(checkpoint="field-2d")
    assert_refused(reg, lambda: reg.fit(X, y), "X has 3 features, but checkpoint 'field-2d' knows at most 2;.*PCA")
    assert np.isfinite(CMANPRegressor(checkpoint="gp-1d").fit(X, y).predict(X)).all()  # by what it makes of them


def test_later_chunks_must_look_like_the_first(table):
    X, y = table
    reg = CMANPRegressor().fit(X, y)
    for method in (reg.partial_fit, reg.forget, reg.log_prob):
        assert_refused(reg, lambda: method(X[:, :2], y), "X has 2 features")  # noqa: B023
        assert_refused(reg, lambda: method(X, np.c_[y, y]), "y has 2 targets")  # noqa: B023
    assert_refused(reg, lambda: reg.predict(X[:, :2]), "X has 2 features")
    assert_refused(reg, lambda: reg.predict(X[:0]), "0 sample")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"chunk_size": 0}, "'chunk_size' parameter of CMANPRegressor must be an int in the range"),
        ({"dtype": "float16"}, "'dtype' parameter of CMANPRegressor must be a str among"),
        ({"device": "gpu"}, "device='gpu' must be 'auto'"),
        ({"device": "cuda:99"}, "device='cuda:99': this machine has"),
        ({"standardize": "yes"}, "'standardize' parameter"),
        ({"x_bounds": (1, 0)}, "x_bounds"),
        ({"y_bounds": (0, np.nan)}, "y_bounds"),
        ({"n_jobs": 1.5}, "'n_jobs' parameter"),
        ({"checkpoint": 3}, "'checkpoint' parameter"),
        (
            {"checkpoint": "tabluar"},
            r"checkpoint='tabluar' is neither .* \['field-2d', 'gp-1d', 'image-gray', 'tabular'\]",
        ),
    ],
)
def test_bad_parameters_are_refused(table, parameters, message):
    X, y = table
    for method in ("fit", "partial_fit"):
        reg = CMANPRegressor(**parameters)
        assert_refused(reg, lambda: getattr(reg, method)(X, y), message)  # noqa: B023


def test_damaged_and_foreign_files_are_refused(table, tmp_path, model):
    from safetensors.numpy import save_file

    X, y = table
    save_checkpoint(model, good := tmp_path / "good.safetensors")
    (damaged := tmp_path / "damaged.safetensors").write_bytes(good.read_bytes()[:-100])
    save_file({"a": np.ones(3)}, foreign := tmp_path / "foreign.safetensors")
    assert CMANPRegressor(checkpoint=good).fit(X, y).checkpoint_.name == "good"
    reg = CMANPRegressor(checkpoint=str(damaged))
    assert_refused(reg, lambda: reg.fit(X, y), "damaged, or was not written by")
    reg.set_params(checkpoint=foreign)
    assert_refused(reg, lambda: reg.fit(X, y), "was not written by skcmanp")


@pytest.mark.parametrize(
    "call",
    [
        lambda reg, X, y: reg.predict(X),
        lambda reg, X, y: reg.sample_y(X),
        lambda reg, X, y: reg.log_prob(X, y),
        lambda reg, X, y: reg.forget(X, y),
        lambda reg, X, y: reg.decay(0.5),
        lambda reg, X, y: CMANPRegressor().fit(X, y).merge(reg),
    ],
)
def test_unfitted_estimators_say_so(table, call):
    reg = CMANPRegressor()
    assert_refused(reg, lambda: call(reg, *table), "not fitted", NotFittedError)


@pytest.mark.parametrize("gamma", [-0.1, 1.1, np.nan, "a", None, np.full(2, 0.5)])
def test_decay_needs_a_fraction(table, gamma):
    reg = CMANPRegressor().fit(*table)
    assert_refused(reg, lambda: reg.decay(gamma), "gamma=.* must be a number between 0 and 1")


def test_forgetting_more_than_was_read(table):
    X, y = table
    reg = CMANPRegressor().fit(X[:30], y[:30])
    assert_refused(reg, lambda: reg.forget(X, y), "Cannot forget 60 rows")
    assert_refused(reg, lambda: reg.forget(X[30:], y[30:]), "they are not the 30")
    assert_refused(reg, lambda: reg.forget(X[:9], y[:9], np.full(9, 9.0)), "of weight 81")


def test_merging_needs_the_same_checkpoint_and_scaling(table, model):
    X, y = table
    reg = CMANPRegressor().fit(X, y)
    assert_refused(reg, lambda: reg.merge(CMANPRegressor(checkpoint=model).fit(X, y)), "checkpoint 'custom'")
    assert_refused(reg, lambda: reg.merge(CMANPRegressor().fit(X[:30], y[:30])), "different scaling.*x_bounds")
    assert_refused(reg, lambda: reg.merge(CMANPRegressor().fit(X[:, :2], y)), "of 3 and of 2 columns")
    assert_refused(reg, lambda: reg.merge(3), "must be a CMANPRegressor or a ContextState, not int", TypeError)
    unfitted = CMANPRegressor(checkpoint="gp-1d")
    assert_refused(unfitted, lambda: unfitted.merge(reg), "is of checkpoint 'tabular'.*not of 'gp-1d'")


@pytest.mark.parametrize("size", [1e-100, 1e-50, 1e-9, 1e-3, 1e3, 1e6])
def test_weights_are_repetitions_of_any_allowed_size(table, size):
    """The scaling is of their relative sizes, the evidence of their sum: next to none, or next to certain."""
    X, y = table
    reg = CMANPRegressor(make_model(memory_features=16)).fit(X, y, np.full(60, size))
    mean, std = reg.predict(X, return_std=True)
    assert np.isfinite(mean).all()
    assert np.isfinite(std).all()
    assert (std > 0).all()
    again = copy.deepcopy(reg).decay(0).partial_fit(X[::-1], y[::-1], np.full(60, size))
    assert (np.abs(again.predict(X) - mean) < 1e-3 * std).all()
    if size < 1e-20:
        none = copy.deepcopy(reg).decay(1e-100)
        np.testing.assert_allclose(none.predict(X, return_std=True), (mean, std), rtol=1e-5)


@pytest.mark.parametrize("size", [1e-300, 1e-101, 1.1e6, 1e20, 1e200, 1e308])
@pytest.mark.parametrize("method", ["fit", "partial_fit", "forget"])
def test_weights_of_other_sizes_are_refused(table, model, method, size):
    X, y = table
    weight = np.ones(60)
    weight[7] = size
    reg = CMANPRegressor(model).fit(X, y)
    assert_refused(reg, lambda: getattr(reg, method)(X, y, weight), "sample_weight is .* for row 7; .* by their mean")


def test_more_rows_than_float64_can_add_up_are_refused(table, model):
    X, y = table
    reg = CMANPRegressor(model).fit(X, y, np.full(60, 1e6))
    reg.context_ = replace(reg.context_, summary=replace(reg.context_.summary, weight=9.999e10))
    assert_refused(reg, lambda: reg.partial_fit(X, y, np.full(60, 1e6)), r"weigh 1\.0\d*e\+11 in all.*decay")


# ------------------------------------------------------------------ merging and states


def test_an_unfitted_estimator_adopts_a_state(table):
    X, y = table
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    reg = CMANPRegressor().fit(frame, y[:, None])
    adopted = CMANPRegressor().merge(reg)
    assert np.array_equal(adopted.predict(frame), reg.predict(frame))
    assert adopted.feature_names_in_.tolist() == ["a", "b", "c"]
    from_state = CMANPRegressor().merge(ContextState.from_bytes(reg.context_.to_bytes()))
    assert np.array_equal(from_state.predict(frame), reg.predict(frame))
    assert from_state.feature_names_in_.tolist() == ["a", "b", "c"]
    assert (from_state.n_features_in_, from_state.n_outputs_) == (3, 1)
    assert_refused(from_state, lambda: from_state.predict(frame[["b", "a", "c"]]), "feature names")
    assert_refused(from_state, lambda: from_state.partial_fit(frame[["b", "a", "c"]], y), "feature names")


def test_states_know_their_columns_and_the_shape_of_y(table):
    X, y = table
    frame, bounds = pd.DataFrame(X, columns=["a", "b", "c"]), {"x_bounds": (-1000, 2000), "y_bounds": (0, 100)}
    reg, other = CMANPRegressor(**bounds).fit(frame, y), CMANPRegressor(**bounds).fit(frame[["b", "a", "c"]], y)
    assert reg.context_.feature_names == ("a", "b", "c")
    assert_refused(reg, lambda: reg.merge(other), "orders of columns: 'a', 'b' here and 'b', 'a' there")
    column = CMANPRegressor(**bounds).fit(frame, y[:, None])
    assert_refused(reg, lambda: reg.merge(column), r"y of shape \(n_samples,\) and of shape \(n_samples, 1\)")
    unnamed = CMANPRegressor(**bounds).fit(X, y)
    assert unnamed.context_.feature_names is None
    with pytest.warns(UserWarning, match="Only one of the merged contexts has feature names"):
        assert reg.merge(unnamed).n_samples_seen_ == 120
    assert reg.fit(X, y).context_.feature_names is None


def test_several_are_merged_at_once_or_not_at_all(table):
    X, y = table
    empty = CMANPRegressor().fit(X, y).decay(0)
    shards = [copy.deepcopy(empty).partial_fit(X[i::3], y[i::3]) for i in range(3)]
    whole = copy.deepcopy(empty).partial_fit(X, y)
    for first in (copy.deepcopy(empty), CMANPRegressor()):
        merged = first.merge(shards[0], shards[1].context_, shards[2])
        assert_same_predictions(merged, whole, X)
        assert merged.n_samples_seen_ == 60
    stranger = CMANPRegressor().fit(X[:30], y[:30])
    for reg in (whole, CMANPRegressor()):
        assert_refused(reg, lambda: reg.merge(shards[0], stranger, shards[1]), "different scaling")  # noqa: B023
        assert_refused(reg, lambda: reg.merge(shards[0], CMANPRegressor()), "not fitted", NotFittedError)  # noqa: B023
        assert_refused(reg, lambda: reg.merge(shards[0], 3), "not int", TypeError)  # noqa: B023


@pytest.mark.parametrize("n_features", [100, 600])
def test_the_memory_may_have_another_size(table, n_features):
    X, y = table
    reg = CMANPRegressor(memory_features=n_features).fit(X, y)
    assert reg.context_.summary.sums.b.shape[1] == n_features
    model = load_checkpoint(shipped_checkpoints()["tabular"])[0].with_memory(n_features)
    np.testing.assert_array_equal(reg.predict(X), CMANPRegressor(model).fit(X, y).predict(X))
    pickled = pickle.dumps(reg)
    assert len(pickled) < reg.context_.nbytes + 4000  # the weights are not in it
    np.testing.assert_array_equal(pickle.loads(pickled).predict(X), reg.predict(X))

    refused = f"'tabular' .*memory_features={n_features}.*use the same `checkpoint` and `memory_features`"
    assert_refused(reg, lambda: reg.merge(CMANPRegressor().fit(X, y)), refused)
    unfitted = CMANPRegressor()
    assert_refused(unfitted, lambda: unfitted.merge(reg.context_), refused)
    adopted = CMANPRegressor(memory_features=n_features).merge(reg.context_)
    np.testing.assert_array_equal(adopted.predict(X), reg.predict(X))


def test_a_memory_that_grew_is_not_one_of_a_size_that_was_asked_for():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (600, 4))
    grown = CMANPRegressor().fit(X, np.sin(4 * X[:, 0]) * np.cos(4 * X[:, 1]) + X[:, 2] * X[:, 3])
    assert grown.context_.adaptation.memory_features > 448
    assert len(grown.context_.summary.sums.b[0]) == 672
    fixed = CMANPRegressor(memory_features=448)
    assert_refused(fixed, lambda: fixed.merge(grown), "more than memory_features=448; leave memory_features=None")
    again = CMANPRegressor().merge(ContextState.from_bytes(grown.context_.to_bytes()))
    np.testing.assert_array_equal(again.predict(X[:20]), grown.predict(X[:20]))
    half, rest = pickle.loads(pickle.dumps(grown)).decay(0), pickle.loads(pickle.dumps(grown)).decay(0)
    shards = [reg.partial_fit(X[i::2], X[i::2, 0]) for i, reg in enumerate((half, rest))]
    assert shards[0].merge(shards[1]).n_samples_seen_ == 600


def test_the_memorys_own_size_is_the_default(table):
    X, y = table
    same = CMANPRegressor(memory_features=448).fit(X, y)
    assert same.merge(CMANPRegressor().fit(X, y)).n_samples_seen_ == 120
    small = CMANPRegressor(memory_features=20)
    assert_refused(small, lambda: small.fit(X, y), "memory_features=20 must be")
    learned = CMANPRegressor("image-gray", memory_features=64)
    assert_refused(learned, lambda: learned.fit(X[:, :2], y), "can change its size")


def test_merge_leaves_the_other_alone(table):
    X, y = table
    a = CMANPRegressor().fit(X, y)
    b = copy.deepcopy(a)
    before = snapshot(b)
    a.merge(b)
    assert snapshot(b) == before
    assert (a.n_samples_seen_, b.n_samples_seen_) == (120, 60)


def test_pickles_are_as_small_as_the_state(table, model):
    X, y = table
    reg = CMANPRegressor().fit(X, y)
    reg.predict(X)
    assert reg.context_.nbytes <= 1_000_000
    assert len(pickle.dumps(reg)) <= reg.context_.nbytes + 64_000


def test_custom_checkpoints_travel_in_the_pickle(table, tmp_path):
    X, y = table
    save_checkpoint(make_model(seed=5), path := tmp_path / "mine.safetensors")
    reg = CMANPRegressor(checkpoint=path).fit(X, y)
    expected = reg.predict(X)
    data = pickle.dumps(reg)
    path.unlink()
    assert np.array_equal(pickle.loads(data).predict(X), expected)
    module = CMANPRegressor(checkpoint=make_model(seed=5)).fit(X, y)
    assert np.array_equal(pickle.loads(pickle.dumps(module)).predict(X), module.predict(X))


def test_weights_of_another_version_are_refused(table, monkeypatch):
    X, y = table
    reg = CMANPRegressor().fit(X, y)
    reg.checkpoint_ = type(reg.checkpoint_)("tabular", "0" * 64)
    with pytest.raises(ValueError, match="does not ship checkpoint 'tabular' with SHA-256 000000000000"):
        reg.predict(X)


def test_estimators_of_absent_devices_predict_on_the_cpu(table):
    X, y = table
    reg = CMANPRegressor(device="cpu").fit(X, y)
    expected = reg.predict(X)
    reg.device = "cuda:63"
    loaded = pickle.loads(pickle.dumps(reg))
    with pytest.warns(UserWarning, match="device='cuda:63'.*predicting on the CPU"):
        assert np.array_equal(loaded.predict(X), expected)
    assert_refused(loaded, lambda: loaded.fit(X, y), "device='cuda:63': this machine has")
    assert_refused(loaded, lambda: loaded.partial_fit(X, y), "use device='auto'")
    loaded.device = "gpu"
    assert_refused(loaded, lambda: loaded.predict(X), "device='gpu' must be")


@pytest.mark.gpu
def test_cuda_and_cpu_agree(table):
    X, y = table
    on_gpu = CMANPRegressor(device="cuda").fit(X, y)
    on_cpu = CMANPRegressor(device="cpu").fit(X, y)
    assert_same_predictions(on_gpu, on_cpu, X, rtol=1e-7)
    assert_same_predictions(pickle.loads(pickle.dumps(on_gpu)).set_params(device="cpu"), on_cpu, X, rtol=1e-7)
    single = CMANPRegressor(device="cuda", dtype="float32").fit(X, y)
    assert_same_predictions(single, on_cpu, X, rtol=1e-3)


# ------------------------------------------------------------------ scikit-learn's company


def networks_loaded(reg, X, y):
    """A scorer that reports how many networks its process has loaded."""
    reg.predict(X)
    return float(loaded_networks())


def test_grid_search_loads_weights_once_per_process(table):
    X, y = table
    pipeline = make_pipeline(StandardScaler(), CMANPRegressor())
    search = GridSearchCV(
        pipeline,
        {"cmanpregressor__chunk_size": [4, 16, 64], "cmanpregressor__standardize": [True, False]},
        n_jobs=2,
        cv=3,
        scoring=networks_loaded,
        refit=False,
    )
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        search.fit(X, y)
    scores = np.concatenate([search.cv_results_[f"split{i}_test_score"] for i in range(3)])
    assert np.unique(scores).tolist() == [1.0]


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_shards_in_parallel_are_one_fit(table, backend):
    X, y = table
    whole = CMANPRegressor().fit(X, y)
    with joblib.parallel_config(backend=backend, n_jobs=2, inner_max_num_threads=None if backend == "threading" else 1):
        shards = CMANPRegressor(chunk_size=8).fit(X, y)
    assert_same_predictions(shards, whole, X)
    assert shards.n_samples_seen_ == 60


def test_clone_is_cheap_and_unfitted(table):
    reg = CMANPRegressor(chunk_size=5).fit(*table)
    assert not hasattr(clone(reg), "context_")
    assert clone(reg).chunk_size == 5


def test_pipelines_targets_curves_and_imputation(table):
    X, y = table
    target = TransformedTargetRegressor(CMANPRegressor(), func=np.log, inverse_func=np.exp)
    assert np.isfinite(target.fit(X, y - y.min() + 1).predict(X)).all()
    sizes, *_ = learning_curve(CMANPRegressor(), X, y, exploit_incremental_learning=True, train_sizes=[10, 30], cv=3)
    assert sizes.tolist() == [10, 30]
    holes = X.copy()
    holes[::7, 1] = np.nan
    imputer = IterativeImputer(CMANPRegressor(), sample_posterior=True, max_iter=2, tol=1e3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has not converged after two rounds
        filled = imputer.fit_transform(holes)
    assert np.isfinite(filled).all()


def test_notebooks_show_a_pipeline_and_link_to_no_foreign_documentation(table):
    X, y = table
    pipeline = make_pipeline(StandardScaler(), CMANPRegressor(adapt=False, chunk_size=16)).fit(X, y)
    html = pipeline._repr_html_()
    assert "CMANPRegressor" in html
    assert "chunk_size" in html
    assert "Documentation for StandardScaler" in html
    assert "Documentation for CMANPRegressor" not in html
    assert "skcmanp.regressor" not in html


def test_metadata_routing_carries_weights(table):
    from sklearn import config_context

    X, y = table
    weight = np.arange(60.0)
    with config_context(enable_metadata_routing=True):
        reg = CMANPRegressor().set_fit_request(sample_weight=True).set_partial_fit_request(sample_weight=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), reg).fit(
            X, y, sample_weight=weight
        )
    assert pipeline[-1].context_.weight == weight.sum()


@pytest.fixture(scope="module")
def relevance_model():
    return make_model(memory_features=14, memory_kernel="matern52", relevance=True, input_limit=20.0)


def lengthscales(reg, X, y):
    """What features are divided by beyond their standardisation."""
    plain = Adaptation.fit(X, y[:, None], x_bounds=reg.x_bounds)
    return reg.context_.adaptation.lengthscale / plain.lengthscale


def test_adaptation_is_fitted_to_the_first_data_alone(table, relevance_model):
    X, y = table
    reg = CMANPRegressor(relevance_model).fit(X, y)
    assert len(set(lengthscales(reg, X, y))) > 1
    adaptation = reg.context_.adaptation
    assert reg.partial_fit(X[::-1], -y).context_.adaptation is adaptation
    assert reg.fit(X[:, ::-1], y).context_.adaptation is not adaptation


@pytest.mark.parametrize(
    ("parameters", "fitted"),
    [
        ({}, True),
        ({"adapt": False}, False),
        ({"x_bounds": (-1000, 2000)}, False),
        ({"y_bounds": (0, 100)}, False),
        ({"x_bounds": (-1000, 2000), "adapt": True}, True),
        ({"adapt": True}, True),
    ],
)
def test_adaptation_is_left_out_where_nothing_may_depend_on_the_data(table, relevance_model, parameters, fitted):
    X, y = table
    reg = CMANPRegressor(relevance_model, **parameters).fit(X, y)
    found = lengthscales(reg, X, y)
    assert (not np.allclose(found, default_lengthscale(3))) is fitted
    assert np.isfinite(reg.predict(X)).all()


@pytest.mark.parametrize("memory", [{}, {"memory_features": 16}])
def test_networks_that_learned_their_features_are_given_them_in_units_of_length_scales(table, memory):
    X, y = table
    reg = CMANPRegressor(make_model(relevance=True, **memory)).fit(X, y)
    assert len(set(lengthscales(reg, X, y))) > 1
    assert np.isfinite(reg.predict(X)).all()


def test_adaptation_is_for_checkpoints_that_were_trained_with_it(table, model):
    X, y = table
    reg = CMANPRegressor(model).fit(X, y)
    np.testing.assert_allclose(lengthscales(reg, X, y), 1.0)
    with pytest.raises(ValueError, match="adapt=True: checkpoint 'custom' was not trained"):
        CMANPRegressor(model, adapt=True).fit(X, y)


def test_merging_demands_equal_adaptation(table, relevance_model):
    X, y = table
    first = CMANPRegressor(relevance_model).fit(X, y)
    with pytest.raises(ValueError, match="different scaling"):
        first.merge(CMANPRegressor(relevance_model).fit(X, -X[:, 1]))
    shard = copy.deepcopy(first).decay(0).partial_fit(X[:10], y[:10])
    assert first.merge(shard).n_samples_seen_ == 70


@pytest.mark.parametrize("d", [1, 3, 10])
def test_uncertainty_grows_away_from_the_data_as_that_of_lines_does(d):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, d))
    reg = CMANPRegressor().fit(X, np.sin(2 * X[:, 0]) + 0.1 * rng.normal(size=500))
    directions = rng.normal(size=(20, d))
    directions *= np.sqrt(d) / np.linalg.norm(directions, axis=1, keepdims=True)
    near, far, beyond = (reg.predict(distance * directions, return_std=True)[1] for distance in (0.5, 20, 1e6))
    assert np.median(far) > 4 * np.median(near)
    assert (beyond > 10 * far).all()
    assert (beyond < 2 * (1e6 / 20) * far).all()


def test_many_rows_are_no_harm():
    """Also beyond the number that the network was trained on, after which it no longer counts them.

    The memory goes on learning; the network's standard deviations do not, and cost a few hundredths.
    """
    rng = np.random.default_rng(0)
    X = rng.normal(size=(101_000, 3))
    y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.3 * rng.normal(size=len(X))
    reg, scores = CMANPRegressor(dtype="float32"), []
    for first, end in [(0, 500), (500, 5_000), (5_000, 100_000)]:
        reg.partial_fit(X[first:end], y[first:end])
        scores.append(reg.log_prob(X[-1000:], y[-1000:]).mean())
    assert scores[0] < scores[1] < scores[2] + 0.03
    assert scores[2] > -0.26  # the noise's own density has -0.215
