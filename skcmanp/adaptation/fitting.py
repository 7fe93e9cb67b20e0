"""The conjugate memory for given features: its parts, the noise, and what the parts miss, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from skcmanp.adaptation.base import Array, Part
from skcmanp.adaptation.evidence import Evidence, maximise_evidence
from skcmanp.adaptation.inducing import InducingPoints, choose_points
from skcmanp.adaptation.main_effects import MainEffects, n_cosines
from skcmanp.adaptation.missed import FOLDS, Features, best_scale, missed_scale
from skcmanp.adaptation.noise import NoiseProfile
from skcmanp.adaptation.rows import Rows, split_rows
from skcmanp.adaptation.sparse_process import fit_sparse_process
from skcmanp.adaptation.trend import Trend
from skcmanp.adaptation.waves import RandomWaves
from skcmanp.kernels import matern52_of

# Inducing points carry at most this share of a function's variance: a stream goes on to where there are none.
MAX_SHARE = 0.97


class Fitted(NamedTuple):
    """A conjugate memory as the first rows fix it."""

    lengthscale: Array  # of every feature, (d,)
    parts: tuple[Part, ...]
    noise: NoiseProfile | None
    ratio: Array  # (1,)
    signal: Array  # (t,)
    missed: Array  # (t,)
    squares: Array  # of the errors of rows that are left out, (n,)
    make: Callable[[Array], Features]  # features as they would be if so many rows, in length-scales, were all
    change: Callable[[Array, Array], float]  # variance of a function's difference between rows

    def tested(self, kept: Rows, left_out: Rows) -> tuple[Fitted, float]:
        """With what is missed as rows say that are left out, and the log-likelihood of one of them, in nats.

        Rows are standardised.
        """
        kept, left_out = (rows._replace(x=rows.x / self.lengthscale) for rows in (kept, left_out))
        noise = _relative_noise(self.noise, left_out.x)
        missed, score = best_scale(kept, left_out, self.make(kept.x), noise, float(self.ratio[0]), self.signal)
        return self._replace(missed=missed), score


def fit_memory(rows: Rows, memory_features: int) -> Fitted:
    """Fit parts for so many features to different rows, standardised."""
    d = rows.x.shape[1]
    places = max(memory_features - d - 1, 0)  # for all but the trend
    effects = MainEffects.fit(rows.x, rows.weight, n_cosines(d, places))
    evidence = maximise_evidence(rows, effects)
    standard, rows = rows, rows._replace(x=rows.x / evidence.lengthscale)
    trend = Trend(evidence.slope * evidence.lengthscale)
    effects = effects.rescaled(evidence.effects, evidence.lengthscale)
    alone = (trend, effects) if effects.n_features else (trend,)
    if not memory_features:  # a network without a memory, or one that learned its features
        one, nothing = np.ones(1), _features(())
        ratio = np.array([evidence.ratio])
        return Fitted(
            evidence.lengthscale, (), None, ratio, one, one, np.zeros(len(rows.x)), lambda x: nothing, lambda a, b: 0.0
        )
    places -= effects.n_features

    points = choose_points(rows.x, int(MAX_SHARE * places), standard.x)
    points, noise = fit_sparse_process(rows, points, np.hstack([part.of_rows(rows.x) for part in alone]), evidence)
    process = _Process(evidence, len(points), len(rows.x), places)

    def make(x: Array) -> Features:
        return _features((*alone, *process.parts(choose_points(x, len(points), x * evidence.lengthscale))))

    relative = _relative_noise(noise, rows.x)
    missed, squares = missed_scale(rows, split_rows(standard, FOLDS), make, relative, evidence.ratio, evidence.signal)

    unit = float(np.mean(np.square(evidence.signal)))

    def change(x: Array, other: Array) -> float:
        lines = sum(np.square(part.of_rows(x) - part.of_rows(other)).sum(1) for part in alone)
        distance = np.sqrt(np.square(x - other).sum(1))
        return unit * float(np.mean(lines + 2 * process.variance * (1 - matern52_of(distance))))

    ratio = np.array([evidence.ratio])
    parts = (*alone, *process.parts(points))
    return Fitted(evidence.lengthscale, parts, noise, ratio, evidence.signal, missed, squares, make, change)


def _relative_noise(noise: NoiseProfile | None, x: Array) -> Array:
    """Variance of the noise at rows, relative to its mean, (n,)."""
    return np.ones(len(x)) if noise is None else np.exp(2 * noise.log_std(x))


@dataclass(frozen=True)
class _Process:
    """How inducing points and random waves share the process of all features out."""

    evidence: Evidence
    n_points: int
    n_rows: int
    places: int

    @property
    def variance(self) -> float:
        """What is not the main effects'."""
        return 1 - float(np.square(self.evidence.effects).sum())

    def parts(self, points: Array) -> tuple[Part, Part]:
        """With inducing points at these places."""
        # Where every row was worth an inducing point, further ones will be elsewhere; where few were, these say all.
        unseen = (1 - self.n_points / self.places) * self.n_points / self.n_rows if self.places else 1.0
        unseen = max(unseen, 1 - MAX_SHARE)
        of_waves = np.array([self.variance * unseen])
        waves = RandomWaves.draw(points.shape[1], (self.places - self.n_points) // 2, of_waves)
        return InducingPoints(points, np.array([self.variance * (1 - unseen)])), waves


def _features(parts: tuple[Part, ...]) -> Features:
    """Features of an array of rows, and the variance that these miss, (n, d) -> (n, f) and (n,)."""
    prepared = [part.to("cpu") for part in parts]

    def features(x: Array) -> tuple[Array, Array]:
        made, missed = zip(*(part(torch.from_numpy(x).unsqueeze(0)) for part in prepared), strict=True)
        return torch.cat(made, dim=-1)[0].numpy(), (sum(missed) + torch.zeros(1, len(x)))[0].numpy()

    return features
