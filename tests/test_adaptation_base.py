"""What an array that rows have led to must be, part by part; each part says it of its own arrays."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from skcmanp import CMANPRegressor
from skcmanp.adaptation.base import Part
from skcmanp.adaptation.main_effects import MainEffects
from skcmanp.adaptation.noise import NoiseProfile
from skcmanp.adaptation.ranks import N_KNOTS
from skcmanp.adaptation.trend import Trend


@pytest.fixture(scope="module")
def found():
    """The adaptation to a wide table, with a category and missing values, and of skewed targets."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(250, 40)), columns=[f"c{i}" for i in range(40)])
    frame["city"] = rng.choice(["a", "b", "c"], 250)
    frame.iloc[::7, 3] = np.nan
    y = np.exp((frame["c0"] > 0) * 2 + (frame["city"] == "a") + 0.2 * rng.normal(size=250))
    return CMANPRegressor(memory_features=96).fit(frame, y).context_.adaptation


def longer(array):
    return np.append(array, array[-1:], axis=0) if len(array) else np.ones((1, *array.shape[1:]))


def with_array(adaptation, name, change):
    arrays = {key: array.copy() for key, array in adaptation.arrays().items()}
    arrays[name] = change(arrays[name])
    return type(adaptation).from_arrays(arrays)


def put(value, at=0):
    def change(array):
        array.flat[at] = value
        return array

    return change


def test_what_rows_have_led_to_is_possible(found):
    assert {"categories", "trees", "ridge"} <= {piece.name for piece in found.inputs.pieces()}
    found.check_possible()


def test_every_array_must_have_its_shape_and_finite_values(found):
    for name, array in found.arrays().items():
        # There may be more inducing points, but nothing else depends on their number.
        for change in (lambda a: a[None], *([] if name == "inducing_points.points" else [longer])):
            with pytest.raises(ValueError, match=r"first rows fixed|signal-to-noise ratio|features"):
                with_array(found, name, change).check_possible()
        if array.dtype.kind == "f" and array.size and name != "trees.threshold":
            for value in (np.nan, np.inf):
                with pytest.raises(ValueError, match=r"first rows fixed|signal-to-noise ratio"):
                    with_array(found, name, put(value)).check_possible()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("targets.scale", put(0.0), "targets.scale is not positive, or not a number that can be divided by"),
        ("targets.scale", put(5e-324), "targets.scale is not positive"),
        ("targets.top", put(-1.0), "targets.top is not positive"),
        ("encoding.scale", put(-1.0), "encoding.scale is not positive"),
        ("encoding.kinds", put(7), "encoding.kinds is not known"),
        ("encoding.kinds", put(2), "categories.columns is not of all categories"),
        ("selection.scale", put(0.0), "selection.scale is not positive"),
        ("selection.used", put(10_000), "selection.used is not of the numbers"),
        ("selection.used", put(-1), "selection.used is not of the numbers"),
        ("selection.unknown", put(-1.0), "selection.unknown is not of all columns, or negative"),
        ("categories.starts", put(1), "categories.starts is not of all levels"),
        ("categories.levels", put(1e30), "categories.levels is not ascending"),
        ("trees.feature", put(10_000), "trees.feature is not of the numbers"),
        ("trees.left", put(-1), "trees.left is not of nodes"),
        ("trees.left", put(10**9), "trees.left is not of nodes"),
        ("trees.threshold", put(0.0, -1), "trees.left is not of nodes"),
        ("trees.threshold", put(np.nan), "trees.threshold is not finite"),
        ("inducing_points.variance", put(-1.0), "inducing_points.variance is not positive"),
        ("inducing_points.points", put(1e200), "inducing_points.points is not finite, or is far too large"),
        ("missed.scale", put(0.0), "missed.scale is not positive"),
        ("missed.beyond", put(1e-9), "missed.beyond is not at least the scale"),
        ("missed.limits", put(1e9), "missed.limits is not in order"),
        ("ratio", put(0.0), "signal-to-noise ratio is not one positive"),
    ],
)
def test_what_cannot_be_is_named(found, name, change, message):
    with pytest.raises(ValueError, match=message):
        with_array(found, name, change).check_possible()


def effects(**changes):
    knots = np.tile(np.linspace(-1, 1, N_KNOTS), (2, 1))
    arrays = (knots, (knots + 1) / 2, np.ones((2, 3)), np.zeros((2, 3)), np.zeros((2, 3)), np.arange(6))
    return replace(MainEffects(*arrays), **changes)


def noise(**changes):
    knots = np.tile(np.linspace(-1, 1, N_KNOTS), (2, 1))
    arrays = (np.zeros((4, 2)), np.ones(2), np.ones(4), knots, (knots + 1) / 2, np.zeros((2, 3)))
    return replace(NoiseProfile(*arrays), **changes)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Trend(np.ones(3)), r"trend.slope is not of shape \(d\), d=2, but \(3,\)"),
        (effects(knots=np.zeros((2, 3))), "main_effects.knots is not of shape"),
        (effects(knots=-effects().knots), "ranks is not ranks of ascending knots"),
        (effects(ranks=effects().ranks + 0.5), "ranks is not ranks"),
        (effects(scale=-np.ones((2, 3))), "scale is not at least zero"),
        (effects(used=np.arange(5)), "used is not where the scale is positive"),
        (noise(lengthscale=np.zeros(2)), "noise.lengthscale is not positive"),
        (noise(weights=np.full(4, 100.0)), "noise.weights is not of a noise that is a number"),
    ],
)
def test_parts_know_what_they_must_be(part, message):
    effects().check_possible(2)
    noise().check_possible(2)
    with pytest.raises(ValueError, match=message):
        part.check_possible(2)


@dataclass(frozen=True, eq=False)
class Roots(Part):
    """A part of one's own, which says nothing of its arrays."""

    name = "roots"
    scale: np.ndarray

    @property
    def n_features(self):
        return len(self.scale)

    def __call__(self, x):
        return self.scale.sqrt() + 0 * x.double(), 0.0


def test_parts_that_say_nothing_of_their_arrays_are_tried():
    Roots(np.ones(3)).check_possible(3)
    for part in (Roots(-np.ones(3)), Roots(np.array([3.0]))):
        with pytest.raises(ValueError, match=r"makes no \d finite features"):
            part.check_possible(3)
