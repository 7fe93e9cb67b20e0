"""Neural processes on a stream: one that reads it all, and one that is adapted anew to recent rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skcmanp.checkpoints import get_network
from skcmanp.devices import DTYPES, resolve_device
from skcmanp.learner import Learner
from skcmanp.mixture.limits import Reach
from skcmanp.mixture.linear import discounts
from skcmanp.predictor import Predictor
from skcmanp.state.context import ContextState
from skcmanp.validation import Rows

Array = NDArray[np.float64]

# Rows wait until they are this share of those that were read, as latents and posterior cost as much for one row as for
# many; they wait no longer than so many rows.
_SHARE, _MOST = 0.04, 500
# A network sees values no farther beyond those that it is adapted to: ranges of these.
_BEYOND = 10.0


@dataclass(frozen=True, eq=False)
class StreamReading:
    """What a `CMANPRegressor` remembers of a stream, and the rows that wait to be read.

    Columns that had one value in all rows that it is adapted to keep that value:
    nothing is known of what others mean, until it is adapted anew.

    Parameters
    ----------
    state : ContextState
    reach : Reach
        Of the rows that it is adapted to.
    X : ndarray (n, d)
        Features of the rows that wait.
    y : ndarray (n, 1)
    half_life : float, default=inf
        In rows, after which a row counts half.
    """

    state: ContextState
    reach: Reach
    X: Array
    y: Array
    half_life: float = np.inf

    @classmethod
    def begin(cls, learner: Learner, rows: Rows) -> StreamReading:
        """Of the first rows of a stream, which goes on to be adapted to."""
        return cls(learner.begin(rows), Reach.of(rows.X), rows.X[:0], rows.y[:0])

    @classmethod
    def adapted(cls, learner: Learner, rows: Rows, half_life: float) -> StreamReading:
        """Adapted to these rows."""
        return cls(learner.fit(rows), Reach.of(rows.X), rows.X[:0], rows.y[:0], half_life)

    def predict(self, learner: Learner, X: Array) -> tuple[Array, Array]:
        """Mean and standard deviation, (m, d) -> (m,), (m,)."""
        device = resolve_device(learner.device, or_cpu=True)
        network = get_network(learner.checkpoint, device, DTYPES[learner.dtype], self.state.adaptation)
        seen = self.reach.clipped(X, learner.kinds, _BEYOND)
        mean, std = Predictor(network, self.state, learner.chunk_size, None).predict(seen)
        return mean[:, 0], std[:, 0]

    def learned(self, learner: Learner, rows: Rows) -> StreamReading:
        """With further rows."""
        X, y = np.concatenate([self.X, rows.X]), np.concatenate([self.y, rows.y])
        if len(y) < min(_SHARE * self.state.n_rows, _MOST):
            return replace(self, X=X, y=y)
        reach = self.reach
        if self.state.first_rows is not None:  # then it is going to be adapted to these, too
            reach = reach.extended(X)
        X = reach.clipped(X, learner.kinds, _BEYOND)
        if np.isinf(self.half_life):
            state = learner.partial_fit(self.state, Rows(X, y))
        else:
            faded = self.state.decay(float(np.exp2(-len(y) / self.half_life)))
            state = learner.partial_fit(faded, Rows(X, y, discounts(len(y), self.half_life)))
        return replace(self, state=state, reach=reach, X=X[:0], y=y[:0])
