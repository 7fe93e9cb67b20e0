"""The composition: all that the first rows fix, and what it makes of rows."""

import functools
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from conftest import inputs_of, make_model, targets_of
from hypothesis import given, settings
from hypothesis import strategies as st

from skcmanp.adaptation import Adaptation, Part, adaptation
from skcmanp.adaptation.adaptation import PARTS
from skcmanp.adaptation.basis import UNKNOWN_RATIO
from skcmanp.adaptation.encoding import Encoding
from skcmanp.adaptation.evidence import default_lengthscale, maximise_evidence
from skcmanp.adaptation.fitting import MAX_SHARE
from skcmanp.adaptation.inducing import InducingPoints
from skcmanp.adaptation.main_effects import MainEffects
from skcmanp.adaptation.missed import Missed
from skcmanp.adaptation.noise import NoiseProfile
from skcmanp.adaptation.rows import sample_rows
from skcmanp.adaptation.trend import PRIOR_SLOPE, Trend
from skcmanp.adaptation.waves import RandomWaves
from skcmanp.inference import Network
from skcmanp.state.context import ContextState


def fit(X, y, weight=None, n=64, **kwargs):
    return Adaptation.fit(X, y, weight, how="fit", memory_features=n, **kwargs)


def parts_of(found):
    return {part.name: part for part in found.parts}


def smooth(n=200, d=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * 10.0 ** np.arange(d)
    return X, np.sin(2 * X[:, :1]) + 0.1 * rng.normal(size=(n, 1))


def additive(n=400, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.lognormal(size=(n, 5)) * [1, 10, 100, 1, 1]
    y = np.log(X[:, :1]) + np.sin(3 * np.log(X[:, 1:2])) + (X[:, 2:3] > 100) + 0.1 * rng.normal(size=(n, 1))
    return X, y


def planes():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (300, 2))
    return X, 5 * X[:, :1] + 0.3 * np.sin(4 * X[:, 1:]) + 0.1 * rng.normal(size=(300, 1))


def noisy(t=1):
    """All kinds of parts, and noise that varies."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (300, 3))
    f = 2 * np.abs(X[:, :1]) + np.sin(5 * X[:, 1:2]) + 3 * (X[:, 2:] > 0)
    return X, f + 0.3 * np.exp(2 * X[:, 2:] - 2) * rng.normal(size=(300, t))


@functools.cache
def fitted(make, n_features=64):
    return fit(*make(), n=n_features)


# ------------------------------------------------------------------ what is fixed


def test_only_scales_are_fixed_unless_more_is_asked_for():
    X, y = smooth()
    found = Adaptation.fit(X, y)
    assert found.parts == ()
    assert found.noise is None
    assert found.inputs.encoding.equals(Encoding.fit(X, None))
    np.testing.assert_array_equal(found.ratio, UNKNOWN_RATIO)
    assert (found.n_features, found.n_targets) == (3, 1)
    np.testing.assert_array_equal(found.scale_x(X), found.inputs.encoding(X))
    np.testing.assert_allclose(found.targets.moments(found.scale_y(y), np.ones_like(y))[0], y)


def test_bounds_replace_moments():
    X, y = np.random.default_rng(0).normal(size=(10, 2)), np.ones((10, 1))
    found = Adaptation.fit(X, y, x_bounds=([0, -1], [12, 1]), y_bounds=(0, 1))
    np.testing.assert_allclose(found.inputs.encoding.centre, [6, 0])
    np.testing.assert_allclose(found.inputs.encoding.scale, [12 / 12**0.5, 2 / 12**0.5])
    np.testing.assert_allclose(found.targets.centre, [0.5])
    assert np.array_equal(Adaptation.fit(X, y, standardize=False).scale_x(X), X)
    for name in ("x_bounds", "y_bounds"):
        with pytest.raises(ValueError, match=f"{name}=.* must be a pair"):
            Adaptation.fit(X, y, **{name: (2, 1)})


def test_length_scales_multiply_the_features_scale():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2)) * [10.0, 0.1]
    y = np.sin(X[:, :1] / 5)
    plain, default, fitted = (Adaptation.fit(X, y, how=how, memory_features=30) for how in ("none", "default", "fit"))
    np.testing.assert_allclose(default.lengthscale, plain.lengthscale * default_lengthscale(2))
    relevant, idle = fitted.lengthscale / plain.lengthscale
    assert relevant < 2
    assert idle > 5
    for found in (default, fitted):
        np.testing.assert_array_equal(found.inputs.encoding.centre, plain.inputs.encoding.centre)
        assert found.targets.equals(plain.targets)


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("how", ["default", "fit"])
def test_networks_that_learned_their_features_want_length_scales_alone(d, how):
    X, y = smooth(60)
    found = Adaptation.fit(X[:, :d], y, how=how)
    assert found.parts == ()
    stretched = found.lengthscale / Encoding.fit(X[:, :d], None).scale
    assert np.allclose(stretched, default_lengthscale(d)) is (how == "default")
    found.check_possible()
    assert Adaptation.from_arrays(found.arrays()).equals(found)


def test_before_rows_there_are_a_trend_and_waves():
    X, y = smooth(10)
    found = Adaptation.fit(X, y, how="default", memory_features=31)
    trend, waves = found.parts
    assert isinstance(trend, Trend)
    assert isinstance(waves, RandomWaves)
    assert trend.n_features + waves.n_features == 30  # no half of a wave
    np.testing.assert_allclose(trend.slope, PRIOR_SLOPE * default_lengthscale(3))
    np.testing.assert_array_equal(waves.variance, 1)
    assert found.missed.equals(Missed.before_rows())


def test_rows_say_how_the_noise_varies():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (500, 2))
    y = X[:, :1] + np.exp(2 * X[:, 1:] - 2) * rng.normal(size=(500, 1))
    found = fit(X, y)
    log_scale = found.noise.log_std(found.scale_x(X))
    assert np.std(log_scale - 2 * X[:, 1]) < 0.25 < 1 < np.std(log_scale)
    assert Adaptation.fit(X, y, how="default", memory_features=64).noise is None
    assert fit(X, X[:, :1] + 0.2 * rng.normal(size=(500, 1))).noise is None


def test_rows_say_what_features_do_alone():
    X, y = additive()
    parts = parts_of(fitted(additive, 106))
    effects = parts["main_effects"]
    assert effects.scale.shape == (5, 4)  # a fifth of the memory
    assert 0.1 < np.square(effects.scale).sum() < 1
    assert len(parts["inducing_points"].points) == int(MAX_SHARE * (100 - np.count_nonzero(effects.scale)))
    assert "main_effects" not in parts_of(fit(X[:, :1], y))  # of a single one all is a process of all


def test_the_trends_slopes_are_the_evidences_in_units_of_length_scales():
    X, y = planes()
    found, standard = fitted(planes), Adaptation.fit(X, y)
    rows = sample_rows([(standard.scale_x(X), standard.scale_y(y), None)])
    slope = maximise_evidence(rows, MainEffects.fit(rows.x, rows.weight, 0)).slope
    assert slope[0] > 1.5 * slope[1]
    of_rows = parts_of(found)["trend"].of_rows(found.scale_x(X))
    np.testing.assert_allclose(of_rows[:, :2], slope * standard.scale_x(X))


@pytest.mark.parametrize("n", [1, 2, 5, 30, 400])
@pytest.mark.parametrize("n_features", [10, 13, 64])
@pytest.mark.parametrize("make", [smooth, additive])
def test_there_are_never_more_features_than_places(n, n_features, make):
    X, y = make(n)
    X = X[:, :3]
    found = fit(X, y, n=n_features)
    assert n_features - 1 <= sum(part.n_features for part in found.parts) <= n_features
    psi, missed = found.basis(n_features).features(torch.tensor(found.scale_x(X)).unsqueeze(0))
    assert psi.shape == (1, n, n_features)
    assert torch.isfinite(psi).all()
    assert (missed >= 0).all()


def test_parts_share_a_process_of_variance_one_out():
    parts = parts_of(fitted(additive, 106))
    shares = [parts["inducing_points"].variance, parts["random_waves"].variance]
    shares.append(np.square(parts["main_effects"].scale).sum(keepdims=True)[0])
    assert np.concatenate(shares).sum() == pytest.approx(1)
    assert min(np.concatenate(shares)) > 0


@pytest.mark.parametrize("varies", [False, True])
def test_what_is_fixed_depends_on_neither_order_nor_repetition(monkeypatch, varies):
    monkeypatch.setattr(adaptation, "_SAMPLE_ROWS", 50)
    monkeypatch.setattr("skcmanp.adaptation.columns._MOMENT_ROWS", 50)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y, weight = np.sin(2 * X[:, :1]), rng.integers(0, 3, 400).astype(float)
    y = y + 0.1 * np.exp(varies * X[:, 1:2]) * rng.normal(size=y.shape)
    order = rng.permutation(400)
    again = np.repeat(np.arange(400), weight.astype(int))
    expected = fit(X, y, weight, n=34)
    assert (expected.noise is not None) is varies
    for rows in ((X[order], y[order], weight[order]), (X[again], y[again])):
        found = fit(*rows, n=34)
        assert found.arrays().keys() == expected.arrays().keys()
        for name, value in found.arrays().items():
            np.testing.assert_allclose(value, expected.arrays()[name], rtol=1e-12, atol=1e-15, err_msg=name)


def test_rows_without_weight_say_nothing():
    X, y = smooth()
    weight = (np.arange(200) < 120).astype(float)
    assert fit(X, y, weight).equals(fit(X[:120], y[:120]))


def test_missed_variance_is_in_units_of_every_target():
    X, y = smooth(100)
    both = fit(X, np.hstack([y, 100 * np.sin(20 * y)]))
    assert both.missed.scale.shape == both.missed.beyond.shape == (2,)
    assert len(set(both.missed.scale)) == 2
    one, larger = fit(X, y).missed, fit(X, 2**20 * y).missed
    for name in ("scale", "beyond", "limits"):
        assert getattr(larger, name) == pytest.approx(getattr(one, name), rel=1e-6)  # targets are scaled already


# ------------------------------------------------------------------ in use


def test_the_weight_of_all_rows_is_read_off_the_sums():
    basis = fitted(smooth).basis(64)
    x, weight = torch.randn(1, 30, 3), torch.rand(30).double()
    psi, _ = basis.features(x)
    a = (weight.unsqueeze(-1) * psi).mT @ psi
    torch.testing.assert_close(basis.read_weight(a.diagonal(dim1=-2, dim2=-1)), weight.sum().unsqueeze(0))


def test_noise_is_the_profiles_or_the_same_everywhere():
    found, X = fitted(noisy), noisy()[0]
    x = found.scale_x(X)
    noise = found.basis(64).noise(torch.tensor(x).unsqueeze(0))
    np.testing.assert_allclose(noise[0], np.exp(2 * found.noise.log_std(x)))
    assert noise.std() > 0.5
    quiet = replace(found, noise=None).basis(64).noise(torch.tensor(x).unsqueeze(0))
    assert (quiet == 1).all()
    assert quiet.shape == noise.shape


# ------------------------------------------------------------------ the protocol of parts


def example(kind, d=3):
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(40, d)), np.ones(40)
    return {
        Trend: Trend(rng.uniform(size=d)),
        MainEffects: MainEffects.fit(x, weight, 3).rescaled(rng.uniform(size=(d, 3)), rng.uniform(1, 2, d)),
        InducingPoints: InducingPoints(x[:7], np.array([0.6])),
        RandomWaves: RandomWaves.draw(d, 5, np.array([0.4])),
    }[kind]


every_part = pytest.mark.parametrize("kind", PARTS)


@every_part
def test_parts_have_names_of_their_own(kind):
    assert sum(kind.name == other.name for other in adaptation.FROZEN) == 1
    assert "." not in kind.name


@every_part
def test_parts_are_what_their_arrays_say(kind):
    part = example(kind)
    arrays = part.arrays()
    assert all(isinstance(array, np.ndarray) for array in arrays.values())
    again = kind.from_arrays({name: array.copy() for name, array in arrays.items()})
    assert part.equals(again)
    assert again.equals(part)
    x = np.random.default_rng(1).normal(size=(9, 3))
    np.testing.assert_array_equal(again.of_rows(x), part.of_rows(x))


@every_part
def test_parts_are_equal_only_if_every_number_is(kind):
    part = example(kind)
    for name, array in part.arrays().items():
        changed = array.copy()
        changed.flat[-1] += 1
        assert not part.equals(kind.from_arrays({**part.arrays(), name: changed})), name
    other = next(k for k in PARTS if k is not kind)
    assert not part.equals(example(other))


@every_part
def test_parts_say_how_many_features_they_have(kind):
    part, x = example(kind), torch.randn(2, 9, 3)
    psi, missed = part.to("cpu")(x)
    assert psi.shape == (2, 9, part.n_features)
    assert part.to("cpu").n_features == part.n_features
    assert psi.dtype == torch.float64
    assert (torch.as_tensor(missed) >= 0).all()
    assert torch.broadcast_to(torch.as_tensor(missed), (2, 9)).shape == (2, 9)


@every_part
def test_parts_go_to_a_device_whole(kind):
    moved = example(kind).to("meta")
    assert type(moved) is kind
    assert all(array.device.type == "meta" for array in moved.arrays().values())
    psi, _ = moved(torch.empty(2, 9, 3, device="meta"))
    assert psi.device.type == "meta"


@every_part
def test_rows_have_the_same_features_alone_and_in_any_company(kind):
    part, x = example(kind).to("cpu"), 3 * torch.randn(4, 9, 3).double()
    psi, missed = part(x)
    for i in range(4):
        alone, missed_alone = part(x[i : i + 1, 2:3])
        torch.testing.assert_close(psi[i, 2], alone[0, 0])
        torch.testing.assert_close(
            torch.broadcast_to(torch.as_tensor(missed), (4, 9))[i, 2], torch.as_tensor(missed_alone).flatten()[0]
        )


@every_part
def test_the_missed_covariance_has_what_is_missed_on_its_diagonal_or_is_left_out(kind):
    part, x = example(kind).to("cpu"), torch.randn(2, 9, 3).double()
    covariance, missed = torch.as_tensor(part.missed_covariance(x)), torch.as_tensor(part(x)[1])
    if covariance.ndim:
        assert covariance.shape == (2, 9, 9)
        torch.testing.assert_close(covariance.diagonal(dim1=1, dim2=2), missed.expand(2, 9), atol=1e-7, rtol=0)
        assert torch.linalg.eigvalsh(covariance).min() > -1e-8
    else:
        assert covariance == 0


@dataclass(frozen=True, eq=False)
class Season(Part):
    """A cosine and a sine of the first column, of the same amplitude for all phases."""

    name = "season"
    period: np.ndarray
    variance: np.ndarray

    @property
    def n_features(self):
        return 2

    def __call__(self, x):
        angle = 2 * np.pi * x[..., :1].double() / self.period
        return self.variance.sqrt() * torch.cat([angle.cos(), angle.sin()], -1), 0.0


def with_season(found, period, variance, n_features):
    """In the place of two inducing points."""
    (*others, inducing, waves) = found.parts
    fewer = InducingPoints(inducing.points[:-2], inducing.variance)
    season = Season(np.array([period / found.lengthscale[0]]), np.array([variance]))
    changed = replace(found, parts=(*others, fewer, season, waves))
    assert sum(part.n_features for part in changed.parts) <= n_features
    return changed


def test_a_part_of_ones_own_works_from_rows_to_predictions():
    """And lets the memory see what no other part does: a season beyond the first rows."""
    rng = np.random.default_rng(0)
    X = np.c_[np.sort(rng.uniform(0, 60, 600)), rng.normal(size=600)]
    y = np.sin(2 * np.pi * X[:, :1]) + 0.3 * X[:, 1:] + 0.05 * rng.normal(size=(600, 1))
    model = make_model(dim_x=2, memory_features=30, memory_kernel="matern52", relevance=True, input_limit=20.0)
    with torch.no_grad():  # what the memory says, uncorrected
        model.head.linear.weight.zero_()
        model.head.linear.bias.zero_()
    network = Network(model, torch.device("cpu"), torch.float64)
    first, beyond = slice(0, 400), slice(400, 600)
    plain = fit(X[first], y[first], n=30)
    errors = []
    for found in (plain, with_season(plain, 1.0, 1.0, 30)):
        summary = network.read(found.scale_x(X[first]), found.scale_y(y[first]), found)
        assert summary.sums.b.shape == (1, 30, 1)
        state = ContextState("net", "00", found, summary)
        mean, std = network.predict(state, found.scale_x(X[beyond]))
        mean, std = found.targets.moments(mean, std)
        assert np.isfinite(mean).all()
        assert (std > 0).all()
        joint_mean, covariance = network.predict_joint(state, found.scale_x(X[beyond][:20]))
        np.testing.assert_allclose(found.targets.moments(joint_mean, np.ones(1))[0], mean[:20])
        assert np.linalg.eigvalsh(covariance[0])[0] > 0
        errors.append(np.sqrt(np.square(mean - y[beyond]).mean()))
    assert errors[1] < 0.15 < 0.6 < errors[0]


def test_a_part_of_ones_own_is_kept_in_arrays_once_it_is_listed(monkeypatch):
    found = with_season(fitted(smooth), 1.0, 0.5, 64)
    monkeypatch.setattr(adaptation, "PARTS", (*PARTS[:-1], Season, PARTS[-1]))
    monkeypatch.setattr(adaptation, "FROZEN", (*adaptation.FROZEN, Season))
    again = Adaptation.from_arrays(found.arrays())
    assert again.equals(found)
    assert [part.name for part in again.parts] == [part.name for part in found.parts]
    assert isinstance(parts_of(again)["season"], Season)
    found.check_possible()


# ------------------------------------------------------------------ frozen


@pytest.mark.parametrize("how", ["none", "default", "fit"])
@pytest.mark.parametrize("t", [1, 2])
def test_arrays_say_everything(how, t):
    X, y = noisy(t)
    found = Adaptation.fit(X, y, how=how, memory_features=64)
    if how == "fit":
        assert {type(part) for part in found.parts} == set(PARTS)
    assert (found.noise is not None) is (how == "fit")
    again = Adaptation.from_arrays({name: array.copy() for name, array in found.arrays().items()})
    assert again.equals(found)
    assert found.equals(again)
    assert [type(part) for part in again.parts] == [type(part) for part in found.parts]
    again.check_possible()
    if how != "none":
        x = torch.tensor(found.scale_x(X)).unsqueeze(0)
        for one, other in zip(again.basis(64).features(x), found.basis(64).features(x), strict=True):
            assert torch.equal(one, other)
        assert torch.equal(again.basis(64).noise(x), found.basis(64).noise(x))


def test_equality_is_exact():
    (X, y), found = smooth(), fitted(smooth)
    assert found.equals(fit(X, y))
    assert not found.equals(fit(X + 1e-9, y))
    assert not found.equals(replace(found, missed=Missed.before_rows()))
    assert not found.equals(Adaptation.fit(X, y))


@settings(max_examples=40)
@given(data=st.data())
def test_arrays_that_cannot_be_are_refused(data):
    arrays = dict(fitted(noisy).arrays())
    name = data.draw(st.sampled_from([n for n, array in arrays.items() if array.size]))
    value = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    if arrays[name].dtype.kind == "i":
        value = np.iinfo(np.int32).max
    arrays[name] = arrays[name].copy()
    arrays[name].flat[data.draw(st.integers(0, arrays[name].size - 1))] = value
    with pytest.raises(ValueError, match=r"first rows fixed|signal-to-noise ratio"):
        Adaptation.from_arrays(arrays).check_possible()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratio": np.zeros(1)}, "not one positive"),
        ({"missed": Missed(-np.ones(1), np.ones(1), np.ones(2))}, "not positive"),
        ({"missed": Missed(2 * np.ones(1), np.ones(1), np.ones(2))}, "beyond is not at least"),
        ({"missed": Missed(np.ones(1), np.ones(1), np.array([2.0, 1.0]))}, "limits is not in order"),
        ({"missed": Missed(np.ones(3), np.ones(3), np.ones(2))}, "is missed is not that of 1 targets"),
        ({"inputs": inputs_of(np.zeros(3), -np.ones(3))}, "not positive"),
        ({"targets": targets_of(np.zeros(1), np.zeros(1))}, "not positive"),
        ({"inputs": inputs_of(np.zeros(2), np.ones(3))}, "encoding.scale is not of shape"),
        ({"inputs": inputs_of(np.zeros(4), np.ones(4))}, r"slope is not of shape \(d\), d=4, but \(3,\)"),
        ({"inputs": inputs_of(np.zeros(3), np.full(3, 1e-310))}, "encoding.scale is not positive, or not a number"),
        ({"targets": targets_of(np.zeros(0), np.zeros(0))}, "no features, or no targets"),
        ({"parts": (Trend(np.ones(5)),)}, r"slope is not of shape \(d\), d=3"),
        ({"parts": (InducingPoints(np.zeros((4, 3)), -np.ones(1)),)}, "variance is not positive"),
        ({"parts": (InducingPoints(np.full((4, 3), 1e200), np.ones(1)),)}, "points is not finite, or is far too large"),
        ({"noise": NoiseProfile(*np.zeros((6, 2, 2)))}, "noise.points is not of shape"),
        ({"parts": (Season(np.ones(1), -np.ones(1)),)}, "season makes no 2 finite features"),
        ({"parts": (Season(np.ones((7, 2)), np.ones(1)),)}, "cannot be"),
    ],
)
def test_what_rows_cannot_have_led_to_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(fitted(smooth), **change).check_possible()


def test_what_is_fixed_does_not_depend_on_how_many_threads_there_are():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 4))
    y = np.round(X[:, :1]) + 2.0 * ((X[:, 1:2] > 0) ^ (X[:, 2:3] > 0)) + 0.1 * rng.normal(size=(1500, 1))
    before, found = torch.get_num_threads(), []
    try:
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            found.append(Adaptation.fit(X, y, how="fit", memory_features=256))
            assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
    assert found[0].inputs.trees is not None
    assert found[0].equals(found[1])
    assert found[0].equals(found[2])
