import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct

from skcmanp.adaptation import missed
from skcmanp.adaptation.missed import FOLDS, MAX_WEIGHT_RATIO, Errors, Missed, _edge, errors_of, missed_scale
from skcmanp.adaptation.rows import Rows

RNG = np.random.default_rng(0)
FREQUENCY, PHASE = RNG.normal(size=(1, 8)), RNG.uniform(0, 7, 8)


def features(x):
    """Some waves, and that they miss the more, the farther to the right."""
    return np.cos(x @ FREQUENCY + PHASE) / 2, np.clip(x[:, 0], 0, 1)


def rows_of(n, size, noise=0.1, seed=0, t=1):
    """Rows of what the features say, and of a process of this size beside it that is another one for every row."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (n, 1))
    psi, missing = features(x)
    y = psi @ rng.normal(size=(8, t)) + size * np.sqrt(missing)[:, None] * rng.normal(size=(n, t))
    return Rows(x, y + noise * rng.normal(size=(n, t)), np.ones(n))


def found(rows, signal, ratio=4.0, noise=None):
    return all_found(rows, signal, ratio, noise).scale


def all_found(rows, signal, ratio=4.0, noise=None, make=lambda x: features):
    noise = np.ones(len(rows.x)) if noise is None else noise
    fold = np.arange(len(rows.x)) % FOLDS
    return missed_scale(rows, fold, make, noise, ratio, np.asarray(signal, dtype=float))[0]


@pytest.mark.parametrize("size", [0.5, 2.0])
@pytest.mark.parametrize("signal", [0.5, 1.0, 3.0])
def test_the_scale_is_that_of_the_errors_of_rows_that_were_left_out(size, signal):
    scale = found(rows_of(600, size), [signal])
    assert scale == pytest.approx(size, rel=0.25)


def test_where_little_is_missed_the_scale_is_small_and_not_nothing():
    scale = found(rows_of(600, 0.0), [1.0])
    assert 0 < scale[0] < 0.2


def test_every_target_has_its_own():
    rows = rows_of(600, 1.0)
    y = np.hstack([rows.y, rows_of(600, 0.3).y])
    both = found(rows._replace(y=y), [1.0, 1.0])
    assert both.shape == (2,)
    assert both == pytest.approx([1.0, 0.3], rel=0.3)
    np.testing.assert_allclose(found(rows._replace(y=y[:, 1:]), [1.0]), both[1])


@pytest.mark.parametrize("n", [1, 2 * FOLDS - 1])
def test_few_rows_leave_what_the_evidence_says(n):
    np.testing.assert_array_equal(found(rows_of(n, 5.0), [0.7]), [0.7])


def test_the_fewer_rows_the_more_counts_what_the_evidence_says():
    few, many = (abs(np.log(found(rows_of(n, 0.1, seed=3), [5.0])[0] / 0.1)) for n in (10, 600))
    assert few > many


def test_the_more_the_noise_explains_the_less_is_missed():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (600, 1))
    noise = np.where(x[:, 0] > 0, 1.0, 0.05) ** 2
    noise /= noise.mean()
    psi, _ = features(x)
    y = psi @ rng.normal(size=(8, 1)) + np.sqrt(noise)[:, None] * rng.normal(size=(600, 1))
    rows = Rows(x, y, np.ones(600))
    assert found(rows, [1.0], noise=noise) < 0.95 * found(rows, [1.0])


def test_features_are_made_of_the_rows_that_are_kept():
    rows, sizes = rows_of(41, 1.0), []

    def make(x):
        sizes.append(len(x))
        left_out = rows.x[[len(sizes) - 1]] if len(sizes) <= FOLDS else rows.x[[np.abs(rows.x).argmax()]]
        assert not any((x == row).all(1).any() for row in left_out)
        return features

    missed_scale(rows, np.arange(41) % FOLDS, make, np.ones(41), 4.0, np.ones(1))
    assert sizes == [30, 31, 31, 31, 30]


@pytest.mark.parametrize("ratio", [0.5, 4.0])
def test_errors_are_those_of_bayesian_regression(monkeypatch, ratio):
    monkeypatch.setattr(missed, "_RATIOS", np.array([3.0]))
    rows = rows_of(60, 1.0, t=2)._replace(weight=np.linspace(0.5, 2, 60))
    kept, left_out = rows.take(slice(40)), rows.take(slice(40, None))
    relative = np.linspace(0.5, 2, 20)
    found = errors_of(kept, left_out, features, ratio)
    psi, extra = features(kept.x)
    alpha = (1 + ratio**2 * extra) / kept.weight
    process = GaussianProcessRegressor(DotProduct(0.0, "fixed"), alpha=alpha, optimizer=None).fit(3 * psi, kept.y)
    mean, covariance = process.predict(3 * features(left_out.x)[0], return_cov=True)
    np.testing.assert_allclose(found.error, left_out.y - mean, rtol=1e-7, atol=1e-9)
    explained = (kept.y * process.alpha_).sum(0)  # of y^T (psi psi^T + alpha)^-1 y
    noise = (0.05 + 0.5 * explained) / (0.5 + 0.5 * (1 / alpha).sum())
    np.testing.assert_allclose(found.unit, noise, rtol=1e-6)
    variance = found.unit * (relative[:, None] + found.relative)
    for j in range(2):
        np.testing.assert_allclose(variance[:, j], noise[j] * (relative + covariance[..., j].diagonal()), rtol=1e-6)
    np.testing.assert_array_equal(found.missed, features(left_out.x)[1])
    likelihood = found.likelihood(relative, np.ones((1, 2, 20)))
    np.testing.assert_allclose(likelihood[0], norm.logpdf(found.error, 0, np.sqrt(variance + 1)).sum(0))


def test_evidence_chooses_the_ratio_of_every_target():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 0, (200, 1))  # where nothing is missed
    loud = features(x)[0] @ rng.normal(size=(8, 1))
    y = np.hstack([loud + 0.01 * rng.normal(size=(200, 1)), 0.1 * loud + rng.normal(size=(200, 1))])
    rows = Rows(x, y, np.ones(200))
    _, relative, noise, _ = errors_of(rows, rows, features, MAX_WEIGHT_RATIO)
    assert noise[0] < 1e-3 < 0.5 < noise[1]
    of_loud, of_quiet = relative.mean(0)
    assert of_loud > 2 * of_quiet


def test_few_rows_far_off_do_not_decide_which_predictions_are_better():
    size = np.full((200, 1), 0.1)
    better, worse = (Errors(error, np.ones((200, 1)), np.array([0.01]), np.zeros(200)) for error in (size, 1.5 * size))
    noise, missed = np.ones(200), np.zeros((1, 200))
    better.error[0] = 10.0
    assert better.likelihood(noise, missed[None]) < worse.likelihood(noise, missed[None])
    assert better.score(noise, missed) > worse.score(noise, missed)


# ------------------------------------------------------------------ beyond what rows show


def test_where_no_row_shows_anything_of_what_is_beyond_the_evidence_says_it():
    missed = all_found(rows_of(600, 0.0), [1.0])
    assert missed.scale[0] < 0.2
    assert missed.beyond == pytest.approx(1, rel=0.25)
    assert missed.limits[0] == pytest.approx(0.9, abs=0.05)  # and at most 1 is missed


@pytest.mark.parametrize("size", [0.0, 5.0, 20.0])
def test_rows_at_the_edge_show_what_is_beyond(size):
    def outside(x):
        return np.abs(x[:, 0]) > 0.8

    def make(kept):  # steps at both ends, if there are rows to learn them by
        known = outside(kept).any()

        def of(x):
            steps = np.sign(x[:, 0]) * (outside(x) & known)
            return np.column_stack([np.ones(len(x)), steps]), np.where(outside(x) & ~known, 1.0, 1e-3)

        return of

    rows = rows_of(600, 0.0)
    rows = rows._replace(y=size * (outside(rows.x) * np.sign(rows.x[:, 0]))[:, None] + 0.1 * RNG.normal(size=(600, 1)))
    missed = all_found(rows, [1.0], make=make)
    assert missed.scale < 1
    assert missed.beyond == pytest.approx(max(size, missed.scale), rel=0.3)
    np.testing.assert_allclose(missed.limits, [1e-3, 1.0])


def test_the_scale_at_rows_is_a_power_of_what_is_missed():
    missed = Missed(np.array([0.1, 1.0]), np.array([10.0, 1.0]), np.array([1e-4, 1e-2])).to("cpu")
    of = torch.tensor([[0.0, 1e-5, 1e-4, 1e-3, 1e-2, 1.0]], dtype=torch.float64)
    at = missed.at(of, torch.zeros_like(of))[0]
    np.testing.assert_allclose(at[:, 0], [0.1, 0.1, 0.1, 1.0, 10.0, 10.0])
    np.testing.assert_allclose(at[:, 1], 1)


def test_what_is_unknown_of_rows_has_the_scale_that_rows_show():
    missed = Missed(np.array([0.1]), np.array([10.0]), np.array([1e-4, 1e-2])).to("cpu")
    unknown = torch.tensor([[0.0, 0.5, 0.5]], dtype=torch.float64)
    of_features = torch.tensor([[0.3, 0.3, 0.0]], dtype=torch.float64)
    variance = missed.at(of_features + unknown, unknown)[0, :, 0].square() * (of_features + unknown)[0]
    np.testing.assert_allclose(variance, [10.0**2 * 0.3, 10.0**2 * 0.3 + 0.1**2 * 0.5, 0.1**2 * 0.5])


def test_rows_that_are_all_equally_far_out_have_no_edge():
    corners = np.array(np.meshgrid(*[[-1.0, 1.0]] * 5)).reshape(5, -1).T
    assert _edge(corners).all()
    assert _edge(corners * (1 + 1e-9 * RNG.normal(size=corners.shape))).all()
    rows = Rows(corners, corners[:, :1] + 0.1 * RNG.normal(size=(32, 1)), np.ones(32))
    assert np.isfinite(all_found(rows, [1.0], make=lambda kept: lambda x: (x, np.full(len(x), 0.1))).beyond).all()
