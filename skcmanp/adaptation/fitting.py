"""The conjugate memory for given features: its parts, the noise, and what the parts miss, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from skcmanp.adaptation.base import Array, Part
from skcmanp.adaptation.evidence import EVIDENCE_ROWS, Evidence, maximise_evidence
from skcmanp.adaptation.inducing import InducingPoints, choose_points
from skcmanp.adaptation.main_effects import MainEffects, n_cosines
from skcmanp.adaptation.missed import FOLDS, Errors, Features, Missed, best_scale, errors_of, missed_scale
from skcmanp.adaptation.noise import NoiseProfile
from skcmanp.adaptation.rows import Rows, split_rows
from skcmanp.adaptation.sparse_process import fit_sparse_process
from skcmanp.adaptation.trend import Trend
from skcmanp.adaptation.waves import RandomWaves
from skcmanp.kernels import matern52_of
from skcmanp.threads import PART_ROWS, in_threads

# Inducing points carry at most this share of a function's variance: a stream goes on to where there are none.
MAX_SHARE = 0.97

# What inducing points miss of a function, in units of the noise's variance, that makes it worth the cost to move them,
# and to have more of them. Half of it is what there is to gain, in nats a row.
_MISSED_MUCH, _MISSED_MORE = 0.02, 0.1


def larger(memory_features: int) -> int:
    """Features of a memory that follows functions almost without noise more closely."""
    return memory_features * 3 // 2


class Fitted(NamedTuple):
    """A conjugate memory as the first rows fix it."""

    lengthscale: Array  # of every feature, (d,)
    parts: tuple[Part, ...]
    noise: NoiseProfile | None
    ratio: Array  # (1,)
    missed: Missed
    squares: Array  # of the errors of rows that are left out, (n,)
    change: Callable[[Array, Array], float]  # variance of a function's difference between rows


class Validation(NamedTuple):
    """How a memory that has read some standardised rows predicts others."""

    kept: Rows
    left_out: Rows
    errors: Errors


class Test(NamedTuple):
    """What rows say that a memory has not read."""

    scale: Array  # of what is missed, (t,)
    score: float  # how well rows are predicted, in nats a row


@dataclass(frozen=True)
class Draft:
    """A conjugate memory before its inducing points move: enough to tell which features of rows are better."""

    rows: Rows  # standardised
    evidence: Evidence
    alone: tuple[Part, ...]  # beside the process of all features
    points: Array  # rows to start from, in length-scales, (p, d)
    places: int  # for features of that process

    @property
    def lengthscale(self) -> Array:
        """Of every feature, (d,)."""
        return self.evidence.lengthscale

    def make(self, x: Array) -> Features:
        """Features as they would be if so many rows, in length-scales, were all."""
        return _features(self._parts(choose_points(x, len(self.points), x * self.lengthscale)))

    def validated(self, kept: Rows, left_out: Rows) -> Validation:
        """By standardised rows that are left out, when the others have been read."""
        read, others = (rows._replace(x=rows.x / self.lengthscale) for rows in (kept, left_out))
        return Validation(kept, left_out, errors_of(read, others, self.make(read.x), self.evidence.ratio))

    def tested(self, by: Validation, noise: NoiseProfile | None) -> Test:
        """By the rows that were left out, given how the noise varies."""
        relative = _relative_noise(noise, by.left_out.x / self.lengthscale)
        return Test(*best_scale(by.errors, relative, self.evidence.signal))

    def noise(self) -> NoiseProfile | None:
        """As few rows have it, before points move."""
        return self._sparse_process(self.rows.take(slice(EVIDENCE_ROWS)), False)[1]

    def finished(self, known: Validation | None = None) -> Fitted:
        """With points that have moved, noise that varies, and what is missed.

        Of a fold of the rows that is `known` already, errors are not found again.
        """
        evidence, rows = self.evidence, self.rows._replace(x=self.rows.x / self.lengthscale)
        moves = _missed(self.points, rows.x, evidence) > _MISSED_MUCH
        points, noise = self._sparse_process(self.rows, moves)
        relative, fold = _relative_noise(noise, rows.x), split_rows(self.rows, FOLDS)
        first = None if known is None or not self._is_split(known, fold == 0) else known.errors
        missed, squares = missed_scale(rows, fold, self.make, relative, evidence.ratio, evidence.signal, first)
        ratio = np.array([evidence.ratio])
        return Fitted(self.lengthscale, self._parts(points), noise, ratio, missed, squares, self._change)

    def _is_split(self, by: Validation, left_out: NDArray[np.bool_]) -> bool:
        """Whether it has read all rows but these."""
        pairs = (by.kept, self.rows.take(~left_out)), (by.left_out, self.rows.take(left_out))
        return all(np.array_equal(a, b) for pair in pairs for a, b in zip(*pair, strict=True))

    def _sparse_process(self, rows: Rows, moves: bool) -> tuple[Array, NoiseProfile | None]:
        rows = rows._replace(x=rows.x / self.lengthscale)
        linear = np.hstack([part.of_rows(rows.x) for part in self.alone])
        return fit_sparse_process(rows, self.points, linear, self.evidence, moves)

    def _parts(self, points: Array) -> tuple[Part, ...]:
        """With inducing points at these places, which share the process of all features out with random waves."""
        # Where every row was worth an inducing point, further ones will be elsewhere; where few were, these say all.
        n, places, variance = len(self.points), self.places, self.evidence.joint_share
        unseen = max((1 - n / places) * n / len(self.rows.x), 1 - MAX_SHARE) if places else 1.0
        waves = RandomWaves.draw(points.shape[1], (places - len(points)) // 2, np.array([variance * unseen]))
        return *self.alone, InducingPoints(points, np.array([variance * (1 - unseen)])), waves

    def _change(self, x: Array, other: Array) -> float:
        """Variance of a function's difference between rows."""
        lines = sum(np.square(part.of_rows(x) - part.of_rows(other)).sum(1) for part in self.alone)
        distance = np.sqrt(np.square(x - other).sum(1))
        unit = float(np.mean(np.square(self.evidence.signal)))
        return unit * float(np.mean(lines + 2 * self.evidence.joint_share * (1 - matern52_of(distance))))


def draft_memory(rows: Rows, memory_features: int, may_grow: bool, evidence: Evidence | None = None) -> Draft:
    """How features matter to a memory of so many features, by different rows, standardised, or as `evidence` has it.

    Inducing points that miss more than the noise hides are more, if the memory `may_grow`.
    """
    d = rows.x.shape[1]
    places = max(memory_features - d - 1, 0)  # for all but the trend
    effects = MainEffects.fit(rows.x, rows.weight, n_cosines(d, places))
    evidence = maximise_evidence(rows, effects) if evidence is None else evidence
    trend = Trend(evidence.slope * evidence.lengthscale)
    effects = effects.rescaled(evidence.effects, evidence.lengthscale)
    places -= effects.n_features
    x = rows.x / evidence.lengthscale
    points = choose_points(x, int(MAX_SHARE * places), rows.x)
    if may_grow and len(points) == int(MAX_SHARE * places) and _missed(points, x, evidence) > _MISSED_MORE:
        places += larger(memory_features) - memory_features
        points = choose_points(x, int(MAX_SHARE * places), rows.x)
    return Draft(rows, evidence, (trend, effects) if effects.n_features else (trend,), points, places)


def fit_without_memory(rows: Rows) -> Fitted:
    """Length-scales alone, by different rows, standardised, for networks without a memory or with learned features."""
    evidence = maximise_evidence(rows, MainEffects.fit(rows.x, rows.weight, 0))
    ratio = np.array([evidence.ratio])
    return Fitted(
        evidence.lengthscale, (), None, ratio, Missed.before_rows(), np.zeros(len(rows.x)), lambda x, other: 0.0
    )


def _missed(points: Array, x: Array, evidence: Evidence) -> float:
    """Variance that inducing points miss of a function, on average of rows, in units of the noise's."""
    _, missed = InducingPoints(points, np.array([evidence.joint_share])).to("cpu")(torch.from_numpy(x).unsqueeze(0))
    return float(torch.as_tensor(missed).mean()) * evidence.ratio**2


def _relative_noise(noise: NoiseProfile | None, x: Array) -> Array:
    """Variance of the noise at rows, relative to its mean, (n,)."""
    return np.ones(len(x)) if noise is None else np.exp(2 * noise.log_std(x))


def _features(parts: tuple[Part, ...]) -> Features:
    """Features of an array of rows, and the variance that these miss, (n, d) -> (n, f) and (n,)."""
    prepared = [part.to("cpu") for part in parts]

    def of_block(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        made, missed = zip(*(part(rows.unsqueeze(0)) for part in prepared), strict=True)
        return torch.cat(made, dim=-1)[0], (sum(missed) + torch.zeros(1, len(rows)))[0]

    def features(x: Array) -> tuple[Array, Array]:
        made, missed = zip(*in_threads(of_block, torch.from_numpy(x).split(PART_ROWS)), strict=True)
        return torch.cat(made).numpy(), torch.cat(missed).numpy()

    return features
