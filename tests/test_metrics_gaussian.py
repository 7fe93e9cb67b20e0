import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad
from scipy.stats import norm

from skcmanp.metrics import (
    calibration_error,
    gaussian_crps,
    gaussian_nll,
    interval_coverage,
    interval_score,
    pit,
    sharpness,
)

METRICS = [gaussian_nll, gaussian_crps, interval_coverage, interval_score, calibration_error]
RNG = np.random.default_rng(0)
Y, MEAN, STD = RNG.normal(size=(3, 40, 2)) * [3, 0.1] + [1, 5]
STD = np.exp(0.3 * STD)
WEIGHT = RNG.integers(0, 4, size=40)

numbers = st.floats(-1e3, 1e3)
rows = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        arrays(float, n, elements=numbers),
        arrays(float, n, elements=numbers),
        arrays(float, n, elements=st.floats(1e-2, 1e2)),
        arrays(int, n, elements=st.integers(0, 3)).filter(np.any),
    )
)


@pytest.mark.parametrize(("y", "mean", "std"), [(0.0, 0.0, 1.0), (3.0, -1.0, 0.5), (-40.0, 2.0, 7.0)])
def test_crps_is_the_integral_of_squared_distance(y, mean, std):
    below, _ = quad(lambda t: norm.cdf(t, mean, std) ** 2, mean - 12 * std, y)
    above, _ = quad(lambda t: norm.sf(t, mean, std) ** 2, y, mean + 12 * std)
    assert gaussian_crps([y], [mean], [std]) == pytest.approx(below + above, abs=1e-7)


def test_crps_is_the_absolute_error_of_a_certain_prediction():
    assert gaussian_crps([3.0, -1.0], [1.0, 1.0], [1e-9, 1e-9]) == pytest.approx(2.0)


def test_nll_is_the_mean_negative_log_density():
    assert gaussian_nll(Y, MEAN, STD) == pytest.approx(-norm.logpdf(Y, MEAN, STD).mean())


@pytest.mark.parametrize("confidence", [0.1, 0.5, 0.9])
def test_intervals_are_those_of_quantiles(confidence):
    low, high = norm.interval(confidence, MEAN, STD)
    inside = [[low[i, j] <= Y[i, j] <= high[i, j] for j in range(2)] for i in range(40)]
    np.testing.assert_allclose(
        interval_coverage(Y, MEAN, STD, confidence=confidence, multioutput="raw_values"), np.mean(inside, axis=0)
    )
    score = high - low
    score += 2 / (1 - confidence) * np.where(low > Y, low - Y, 0) + 2 / (1 - confidence) * np.where(
        high < Y, Y - high, 0
    )
    np.testing.assert_allclose(
        interval_score(Y, MEAN, STD, confidence=confidence, multioutput="raw_values"), score.mean(axis=0)
    )


def test_calibration_error_is_the_mean_gap_over_levels():
    levels = np.arange(1, 20) / 20
    gaps = [abs(interval_coverage(Y[:, 0], MEAN[:, 0], STD[:, 0], confidence=p) - p) for p in levels]
    assert calibration_error(Y[:, 0], MEAN[:, 0], STD[:, 0]) == pytest.approx(np.mean(gaps))
    assert calibration_error(Y[:, 0], MEAN[:, 0], STD[:, 0], n_levels=1) == pytest.approx(gaps[9])
    assert calibration_error([0.0, 0.0], [0.0, 0.0], [1.0, 1.0]) == pytest.approx(0.5)


def test_true_distributions_are_best():
    """Strict propriety, and what calibration and PIT say of a std that is wrong."""
    y = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    zero, one = np.zeros_like(y), np.ones_like(y)
    for metric in (gaussian_nll, gaussian_crps, interval_score, calibration_error):
        best = metric(y, zero, one)
        for mean, std in ((zero, 0.9 * one), (zero, 1.1 * one), (zero + 0.1, one)):
            assert metric(y, mean, std) > best
    assert interval_coverage(y, zero, one) == pytest.approx(0.9, abs=1e-3)
    np.testing.assert_allclose(np.histogram(pit(y, zero, one), 10, (0, 1))[0], 2000)
    assert np.histogram(pit(y, zero, 0.5 * one), 10, (0, 1))[0][[0, -1]].min() > 4000


def test_pit_has_the_shape_of_targets():
    assert pit(Y, MEAN, STD).shape == (40, 2)
    np.testing.assert_allclose(pit(Y[:, 0], MEAN[:, 0], STD[:, 0]), norm.cdf(Y[:, 0], MEAN[:, 0], STD[:, 0]))
    assert pit([1e9, -1e9], [0, 0], [1, 1]).tolist() == [1, 0]


@pytest.mark.parametrize("metric", METRICS)
@given(data=rows)
def test_weights_are_repetition(metric, data):
    y, mean, std, weight = data
    repeated = (np.repeat(a, weight) for a in (y, mean, std))
    assert metric(y, mean, std, sample_weight=weight) == pytest.approx(metric(*repeated), rel=1e-9, abs=1e-12)


@given(data=rows, unit=st.floats(1e-3, 1e3))
def test_units_of_scores(data, unit):
    y, mean, std, _ = data
    scaled = unit * y, unit * mean, unit * std
    for metric in (gaussian_crps, interval_score):
        assert metric(*scaled) == pytest.approx(unit * metric(y, mean, std), rel=1e-9)
    assert gaussian_nll(*scaled) == pytest.approx(gaussian_nll(y, mean, std) + np.log(unit), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_several_outputs_are_those_of_each(metric):
    each = [metric(Y[:, j], MEAN[:, j], STD[:, j], sample_weight=WEIGHT) for j in range(2)]
    all_rows = {"sample_weight": WEIGHT}
    np.testing.assert_allclose(metric(Y, MEAN, STD, multioutput="raw_values", **all_rows), each)
    assert metric(Y, MEAN, STD, **all_rows) == pytest.approx(np.mean(each))
    assert metric(Y, MEAN, STD, multioutput=[0.25, 0.75], **all_rows) == pytest.approx(np.dot(each, [0.25, 0.75]))
    assert type(metric(Y, MEAN, STD)) is float
    assert metric(Y[:, 0], MEAN[:, 0], STD[:, 0], multioutput="raw_values").shape == (1,)


def test_sharpness_is_the_mean_std():
    assert sharpness(STD[:, 0]) == pytest.approx(STD[:, 0].mean())
    np.testing.assert_allclose(
        sharpness(STD, sample_weight=WEIGHT, multioutput="raw_values"), np.average(STD, axis=0, weights=WEIGHT)
    )


@pytest.mark.parametrize("metric", [*METRICS, pit])
@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (([1.0, 2.0], [1.0, 2.0], [1.0, 0.0]), r"y_std has values .* smallest is 0\).*numpy\.maximum"),
        (([1.0, 2.0], [1.0, 2.0], [1.0, -0.5]), r"smallest is -0\.5"),
        (([1.0, 2.0], [1.0, 2.0], [1.0, np.inf]), "y_std contains infinity"),
        (([1.0, np.nan], [1.0, 2.0], [1.0, 1.0]), "y_true contains NaN"),
        (([1.0, 2.0], [1.0], [1.0, 1.0]), "inconsistent numbers of samples"),
        (([[1.0, 2.0]], [[1.0, 2.0]], [[1.0]]), "2, 2 and 1 outputs"),
        (([], [], []), "minimum of 1 is required"),
    ],
)
def test_bad_arrays_are_named(metric, arrays, message):
    with pytest.raises(ValueError, match=message):
        metric(*arrays)


@pytest.mark.parametrize(
    ("metric", "options", "message"),
    [
        (gaussian_nll, {"sample_weight": [1, -1]}, "Negative values in sample_weight"),
        (gaussian_nll, {"sample_weight": [1]}, "inconsistent numbers of samples"),
        (gaussian_nll, {"multioutput": "mean"}, "multioutput='mean' must be 'raw_values'"),
        (gaussian_nll, {"multioutput": [1, 2]}, r"multioutput has shape \(2,\), but there are 1 outputs"),
        (interval_coverage, {"confidence": 90}, r"confidence=90 must be between 0 and 1"),
        (interval_score, {"confidence": 0}, r"confidence=0 must be between 0 and 1"),
        (calibration_error, {"n_levels": 0}, "n_levels=0 must be at least 1"),
    ],
)
def test_bad_options_are_named(metric, options, message):
    with pytest.raises(ValueError, match=message):
        metric([1.0, 2.0], [1.0, 2.0], [1.0, 1.0], **options)


def test_metrics_load_no_torch():
    code = "import sys, skcmanp.metrics; assert not {'torch', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
