"""StreamState: what is remembered of a stream that moves on, and what it says of rows."""

from __future__ import annotations

import json
import weakref
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from scipy.stats import norm

from skcmanp.frames import Kind
from skcmanp.learner import Learner
from skcmanp.mixture.breaks import BLOCK, BreakSignal
from skcmanp.mixture.conformal import ConformalWidths
from skcmanp.mixture.errors import RareErrors, SerialCorrelation, TypicalErrors
from skcmanp.mixture.experts import NAMES, Experts, Forecasts
from skcmanp.mixture.limits import Limits
from skcmanp.mixture.scale import LogScale
from skcmanp.mixture.serial import Arrays, from_arrays, to_arrays
from skcmanp.mixture.weights import Weights
from skcmanp.seal import check_seal, seal, unsealed
from skcmanp.state.context import ContextState
from skcmanp.validation import Rows

Array = NDArray[np.float64]

_FORMAT = "skcmanp.stream.3"

_N_SPREADS = 4  # features of the corrections of standard deviations, beside those of rows

# Corrections differ little from row to row, and outliers would decide between them.
_TEMPER = 0.1
_ERRORS = 500.0  # half-life of the errors that experts are measured by
# Densities of experts count as those of this share of the rows that are independent: experts err alike, and one that
# was lucky for some days would soon be trusted alone.
_TRUST, _CORRELATION = 0.5, 2000.0
_RARE = 500.0  # half-life of rare errors
# Targets that are farther off are learned as if they were not: a faulty reading, unless a break is declared.
_FARTHEST = 10.0  # standard deviations
_USUAL = 5.0  # pseudo-rows with errors as usual
_QUIET = 300  # first rows of a stream, or after a break, of which little is known yet
_AGAIN = 150  # rows after a break before another one is declared: errors then are not as usual


@dataclass(frozen=True, eq=False)
class Prediction:
    """What is said of m rows."""

    forecasts: Forecasts
    mean: Array  # (m,)
    raw: Array  # standard deviation as the experts have it, (m,)
    candidates: Array  # as corrected, (4, m)
    scaled: Array  # what the mixture of these is, (m,)
    typical: Array  # as it is but for rare errors, (m,)
    std: Array  # (m,)
    features: tuple[Array, ...]  # of the corrections


@dataclass(frozen=True, eq=False, repr=False)
class StreamState:
    """The fixed-size memory of a fitted `CMANPStreamRegressor`.

    Means are mixed by how well they predicted, all measured with one standard
    deviation, that of the best expert's recent errors: with one for every row,
    those that are said to be certain would decide alone. The mixture's standard
    deviation is the experts', corrected in four ways: by a factor that follows
    fast, by one that is known well, by one that depends on what is predicted, and
    by one that depends on the features, too; these are mixed likewise. Then it
    goes half the way to the width that intervals need, and errors that are rare, but
    come again and again, add their variance.

    Parameters
    ----------
    experts : Experts
    weights : Weights
        Of experts.
    errors : TypicalErrors
        Of experts.
    correlation : SerialCorrelation
        Of the mixture's errors.
    rare : RareErrors
        Of the mixture.
    scales : tuple of LogScale
    scale_weights : Weights
    conformal : ConformalWidths
    kinds : tuple of Kind
        Of the table's columns, as far as known.
    limits : Limits
        Of the same.
    signal : BreakSignal
        Of the mixture's errors.
    """

    experts: Experts
    weights: Weights
    errors: TypicalErrors
    correlation: SerialCorrelation
    rare: RareErrors
    scales: tuple[LogScale, ...]
    scale_weights: Weights
    conformal: ConformalWidths
    kinds: tuple[Kind, ...]
    limits: Limits
    signal: BreakSignal

    @classmethod
    def begin(cls, learner: Learner, rows: Rows, start: int = 0) -> StreamState:
        """Of the first rows of a stream, or of a world that begins after so many."""
        experts = Experts.begin(learner, rows.head(BLOCK), start)
        p = experts.columns.of_regressions(rows.X[:1]).shape[1]
        scales = ((0, 100.0), (0, 2000.0), (_N_SPREADS, 2000.0), (_N_SPREADS + p, 2000.0))
        state = cls(
            experts,
            Weights.empty(len(NAMES)),
            TypicalErrors.empty(len(NAMES), _ERRORS),
            SerialCorrelation(_CORRELATION),
            RareErrors.of_first(_RARE, rows.y),
            tuple(LogScale.empty(*scale) for scale in scales),
            Weights.empty(len(scales)),
            ConformalWidths.normal(),
            learner.kinds,
            Limits.none(rows.X.shape[1]).learned(rows.X[:BLOCK], learner.kinds)[0],
            BreakSignal.none(),
        )
        for begin in range(BLOCK, len(rows.y), BLOCK):
            state = state.learned(learner, rows.after(begin).head(BLOCK))
        return state

    def predict(self, learner: Learner, X: Array) -> Prediction:
        """What is said of rows, (m, d)."""
        how, kept = (learner.device, learner.dtype, learner.kinds), _LAST.get(self)
        if kept is not None and kept[0] == how and np.array_equal(kept[1], X, equal_nan=True):
            return kept[2]
        rows = self.limits.clipped(X, learner.kinds)
        forecasts = self.experts.forecast(learner, rows)
        mean, raw, said = self._mixed(forecasts)
        features = (said[:, :0], said[:, :0], said, np.column_stack([said, self.experts.columns.of_regressions(rows)]))
        pairs = zip(self.scales, features, strict=True)
        candidates = raw * np.array([scale.factors(columns) for scale, columns in pairs])
        scaled = np.sqrt(self.scale_weights.values @ candidates**2)
        # Where tails are heavy or light, a normal distribution has either the right width or the largest likelihood.
        typical = scaled * self.conformal.stretch**0.5
        # Rare errors that add less than two thirds of that are tails, which would only make 90 % more than 90 %.
        std = np.sqrt(np.clip(1.5 * self.rare.variance, typical**2, typical**2 + self.rare.variance))
        prediction = Prediction(forecasts, mean, raw, candidates, scaled, typical, std, features)
        _LAST[self] = how, X.copy(), prediction
        return prediction

    def _mixed(self, forecasts: Forecasts) -> tuple[Array, Array, Array]:
        """Means (m,), standard deviations as the experts have it (m,), and features of their corrections (m, 4)."""
        weights = self.expert_weights
        mean = weights @ forecasts.mean
        raw = np.sqrt(weights @ (forecasts.std**2 + (forecasts.mean - mean) ** 2) + self._not_yet_seen)
        return mean, raw, np.column_stack([forecasts.spread, mean, weights @ np.log(forecasts.std)])

    def learned(self, learner: Learner, rows: Rows) -> StreamState:
        """With a chunk of rows, scored as it is predicted, all at once, before it is learned."""
        ring = self.experts.ring
        if ring.is_constant and not ring.learned(rows.X, rows.y).is_constant:  # nothing was known of how targets vary
            return self._begun_anew(learner, rows)
        said, y = self.predict(learner, rows.X), rows.y[:, 0]
        limits, X = self.limits.learned(rows.X, learner.kinds)
        rows = rows._replace(X=X)
        errors = y - said.mean
        farthest = _FARTHEST * np.maximum(said.typical, min(self.errors.least, np.abs(ring.y).max()))
        learned = rows._replace(y=np.clip(y, said.mean - farthest, said.mean + farthest)[:, None])
        may_break = self.experts.n_since_break >= (_AGAIN if self.experts.start else _QUIET)
        floor = _rounding(learned.y)
        signal = self.signal.learned(errors, said.typical, floor, may_break)
        if signal.value >= 1:
            return replace(self, limits=limits)._after_break(learner, rows, said.forecasts, signal.n_rows)
        correlation = self.correlation.learned(errors / said.typical)
        trust = _TRUST * correlation.independent_share
        weights, typical = _measured(self.weights, self.errors, said.forecasts.mean, y, trust, floor)
        state = StreamState(
            self.experts.learned(learner, learned, said.forecasts, rows.y),
            weights,
            typical,
            correlation,
            self.rare.learned(errors, said.scaled),
            self.scales,
            self.scale_weights.learned(_TEMPER * norm.logpdf(y, said.mean, said.candidates)),
            self.conformal.learned(errors / said.scaled),
            learner.kinds,
            limits,
            signal,
        )
        # Experts that learn fast would soon be corrected twice.
        return state._corrected(learner, rows, said, self.experts) if self.is_known else state

    def _corrected(self, learner: Learner, rows: Rows, said: Prediction, before: Experts) -> StreamState:
        """With corrections learned from the rows that weights were learned from, as weights are now."""
        mean, raw, spreads = self._mixed(said.forecasts)
        errors = (rows.y[:, 0] - mean) / raw
        scales = [scale.learned(columns, errors) for scale, columns in zip(self.scales, said.features, strict=True)]
        if not self.experts.are_adapted_as(before):  # then what is corrected changes, and what corrections look at
            _, now, spreads_now = self._mixed(self.experts.forecast(learner, rows.X))
            change, narrower = (spreads_now - spreads).mean(axis=0), max(0.0, float(np.log(raw / now).mean()))
            scales = [scale.moved(change, narrower) for scale in scales]
        return replace(self, scales=tuple(scales))

    def _begun_anew(self, learner: Learner, rows: Rows) -> StreamState:
        """With these rows and, if they are few, some before them, as the first ones."""
        before = self.experts.ring.last(max(BLOCK - len(rows.y), 0))
        known = Rows(np.concatenate([before.X, rows.X]), np.concatenate([before.y, rows.y]))
        return self.begin(learner, known, self.experts.n_seen - len(before.y))

    def _after_break(self, learner: Learner, rows: Rows, forecasts: Forecasts, n_rows: int) -> StreamState:
        """With the rows that complete a break, `n_rows` after it began: past scores are of another world.

        What experts that know the first half of these rows say of the second tells which to trust.
        """
        experts, means, y = self.experts.learned(learner, rows, forecasts, rows.y).restarted(n_rows)
        weights, typical = Weights.empty(len(NAMES)), TypicalErrors.empty(len(NAMES), _ERRORS)
        trust = _TRUST * self.correlation.independent_share
        weights, typical = _measured(weights, typical, means, y, trust, _rounding(y))
        return replace(
            self,
            experts=experts,
            weights=weights,
            errors=typical,
            rare=RareErrors.none(_RARE),
            scales=tuple(LogScale.empty(len(scale.mean), scale.half_life) for scale in self.scales),
            kinds=learner.kinds,
            signal=self.signal.reset(),
        )

    @property
    def is_known(self) -> bool:
        """Whether this world has shown enough rows."""
        return self.experts.n_since_break >= _QUIET

    @property
    def _not_yet_seen(self) -> float:
        """Variance by which a world may be noisier than its first rows: as if some had shown what is usual."""
        return _USUAL * self.signal.usual**2 / (self.experts.n_since_break + _USUAL)

    @property
    def expert_weights(self) -> Array:
        """Weights of the experts, (K,). At first some know next to nothing, and densities count as they are."""
        return self.weights.sharpened(1.0 if self.is_known else 1 / _TRUST)

    # ------------------------------------------------------------------ bytes

    def to_bytes(self) -> bytes:
        """Serialise, in the safetensors format, with a checksum of everything; no code runs when they are read.

        Trees are left out: they are fitted again, to the same rows, when bytes are read.
        """
        arrays: Arrays = {}
        told = json.dumps(to_arrays(self, "stream", arrays))
        return seal(safetensors.numpy.save(arrays, metadata={_FORMAT: unsealed(told)}), _FORMAT)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> StreamState:
        """Restore what `to_bytes` wrote.

        Parameters
        ----------
        data : bytes, bytearray, memoryview or another buffer

        Raises
        ------
        ValueError
            If the bytes are damaged or not a stream's memory.
        """
        data = data if isinstance(data, bytes) else memoryview(data).tobytes()
        try:
            told, arrays = json.loads(check_seal(data, _FORMAT)), safetensors.numpy.load(data)
            state: StreamState = from_arrays(cls, told, "stream", arrays)
            return replace(state, experts=state.experts.remade())
        except Exception as error:  # bytes of unknown origin may hold anything
            raise ValueError(
                f"The bytes are damaged or not a stream's memory written by StreamState.to_bytes: {error}"
            ) from error

    @property
    def change(self) -> float:
        """From 0, all is as expected, to 1, where a break is declared."""
        return self.signal.value

    @property
    def nbytes(self) -> int:
        """Size of all arrays in bytes; it does not grow with the number of rows."""
        return sum(_sizes(self))

    def __repr__(self) -> str:
        return f"StreamState(n_rows={self.experts.n_seen}, nbytes={self.nbytes})"


# Who predicts rows and then learns them need not forecast them twice.
_LAST: weakref.WeakKeyDictionary[StreamState, tuple[tuple, Array, Prediction]] = weakref.WeakKeyDictionary()


def _measured(
    weights: Weights, typical: TypicalErrors, means: Array, y: Array, trust: float, floor: float
) -> tuple[Weights, TypicalErrors]:
    """With what experts said of further rows, (J, n), and what came, (n,): measured by the best one's errors."""
    typical = typical.learned(y - means, floor)
    return weights.learned(trust * norm.logpdf(y, means, max(typical.least, floor))), typical


def _rounding(y: Array) -> float:
    """Errors of targets such as these that are smaller are of rounding."""
    return max(1e-9 * float(np.abs(y).max()), 1e-150)


def _sizes(piece: Any) -> Any:
    """Bytes of the arrays of dataclasses, nested."""
    if isinstance(piece, np.ndarray | ContextState):
        yield piece.nbytes
    elif isinstance(piece, tuple):
        for part in piece:
            yield from _sizes(part)
    elif is_dataclass(piece):
        for field in fields(piece):
            yield from _sizes(getattr(piece, field.name))
