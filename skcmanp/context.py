"""ContextState: what a fitted estimator remembers of the rows that it has read.

Its size does not depend on their number. States are immutable; every
operation returns a new one.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from skcmanp.scaling import Scaling

Array = NDArray[np.float64]

DOUBLE = float(np.finfo(np.float64).eps)


def smallest_remainder(eps: float) -> float:
    """The share of all that was ever read that must be left at a query after rows are forgotten.

    Rounding errors are relative to what was read and accuracy to what is left,
    so this keeps half of the digits of a network that rounds to `eps`.
    """
    return math.sqrt(eps)


_FORMAT = "skcmanp.context.1"


@dataclass(frozen=True, eq=False)
class RunningSoftmax:
    """Sufficient statistics of softmax attention from fixed queries, float64.

    With logits z, weights w and values v of the rows read so far::

        m: reference logit            s = sum w exp(z - m)
        o = sum w exp(z - m) v        peak: s as if nothing had been forgotten

    They form a commutative monoid under `combine`, with `empty` as identity.
    Shapes: m, s, peak (t, H, L); o (t, H, L, E).
    """

    m: Array
    s: Array
    o: Array
    peak: Array

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> RunningSoftmax:
        """The statistics of no rows; `shape` is o's."""
        zeros = np.zeros(shape[:-1])
        return cls(np.full(shape[:-1], -np.inf), zeros, np.zeros(shape), zeros)

    def combine(self, other: RunningSoftmax) -> RunningSoftmax:
        """The statistics of the rows of both."""
        m, a, b = self._common_reference(other)
        o = self.o * a[..., None]
        o += other.o * b[..., None]
        return RunningSoftmax(m, self.s * a + other.s * b, o, self.peak * a + other.peak * b)

    def subtract(self, other: RunningSoftmax, eps: float = DOUBLE) -> RunningSoftmax:
        """The statistics of the rows that are not in `other`, known to a precision of `eps`.

        Raises
        ------
        ValueError
            If less is left than can be known accurately.
        """
        m, a, b = self._common_reference(other)
        s = self.s * a - other.s * b
        peak = self.peak * a
        if (s < smallest_remainder(eps) * peak).any():
            raise ValueError(
                "Too little would be left of the context to be accurate: either rows are forgotten that "
                "were never read (or with more weight), or nearly everything is. Fit the remaining rows anew."
            )
        return RunningSoftmax(m, s, self.o * a[..., None] - other.o * b[..., None], peak)

    def matches(self, other: RunningSoftmax, eps: float = DOUBLE) -> bool:
        """Whether both are statistics of the same rows, up to rounding."""
        _, a, b = self._common_reference(other)
        difference = np.abs(self.s * a - other.s * b)
        return bool((difference <= smallest_remainder(eps) * self.peak * a).all())

    def decay(self, gamma: float) -> RunningSoftmax:
        """All weights multiplied by `gamma` > 0; exact, and never underflows."""
        return replace(self, m=self.m + math.log(gamma))

    def output(self) -> Array:
        """Attention output, (t, H, L, E); zero where nothing was read."""
        s = np.where(self.s > 0, self.s, 1.0)
        return self.o / s[..., None]

    def _common_reference(self, other: RunningSoftmax) -> tuple[Array, Array, Array]:
        m = np.maximum(self.m, other.m)
        finite = np.where(np.isneginf(m), 0.0, m)
        return m, np.exp(self.m - finite), np.exp(other.m - finite)


@dataclass(frozen=True, eq=False)
class ContextState:
    """The fixed-size memory of a fitted `CMANPRegressor`.

    Parameters
    ----------
    checkpoint : str
        Name of the checkpoint whose network read the rows.
    fingerprint : str
        SHA-256 of that checkpoint.
    scaling : Scaling
        Centre and scale of features and targets.
    softmax : RunningSoftmax
        Statistics of the rows.
    weight : float
        Sum of the row weights: the effective number of rows.
    n_rows : int
        Number of rows read and not forgotten.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skcmanp import CMANPRegressor, ContextState
    >>> X, y = load_diabetes(return_X_y=True)
    >>> state = CMANPRegressor().fit(X, y).context_
    >>> state.n_rows
    442
    >>> ContextState.from_bytes(state.to_bytes()).n_rows
    442
    """

    checkpoint: str
    fingerprint: str
    scaling: Scaling
    softmax: RunningSoftmax
    weight: float = 0.0
    n_rows: int = 0

    @property
    def nbytes(self) -> int:
        """Size in bytes; it does not depend on the number of rows."""
        parts = (*vars(self.scaling).values(), *vars(self.softmax).values())
        return sum(array.nbytes for array in parts) + 16

    def absorb(self, softmax: RunningSoftmax, weight: float, n_rows: int) -> ContextState:
        """The state after reading rows with these statistics."""
        return replace(
            self,
            softmax=self.softmax.combine(softmax),
            weight=self.weight + weight,
            n_rows=self.n_rows + n_rows,
        )

    def merge(self, other: ContextState) -> ContextState:
        """The state that has read the rows of both.

        Raises
        ------
        ValueError
            If the states belong to different checkpoints, numbers of features
            or targets, or scalings.
        """
        self.check_mergeable(other)
        return self.absorb(other.softmax, other.weight, other.n_rows)

    def check_mergeable(self, other: ContextState) -> None:
        """Raise ValueError unless `other` has the same checkpoint and scaling."""
        if self.fingerprint != other.fingerprint:
            raise ValueError(
                f"Cannot merge a context of checkpoint {other.checkpoint!r} ({other.fingerprint[:12]}) into one of "
                f"{self.checkpoint!r} ({self.fingerprint[:12]}); fit both with the same `checkpoint`."
            )
        if self.softmax.s.shape != other.softmax.s.shape or not self.scaling.equals(other.scaling):
            raise ValueError(
                "Cannot merge contexts with different scaling of X or y. Give both estimators the same `x_bounds` "
                "and `y_bounds`, or `standardize=False`, or start the shards as copies of one fitted estimator "
                "emptied by `decay(0)`."
            )

    def subtract(self, softmax: RunningSoftmax, weight: float, n_rows: int, eps: float = DOUBLE) -> ContextState:
        """The state as if rows with these statistics had never been read.

        `eps` is the relative precision of the network that read them.

        Raises
        ------
        ValueError
            If more is forgotten than was read, or too little left to be accurate.
        """
        left = self.weight - weight
        if n_rows > self.n_rows or left < -1e-9 * self.weight:
            raise ValueError(
                f"Cannot forget {n_rows} rows of weight {weight:g}: only {self.n_rows} rows of weight "
                f"{self.weight:g} are remembered."
            )
        if n_rows == self.n_rows and left <= 1e-9 * self.weight:
            if not self.softmax.matches(softmax, eps):
                raise ValueError(
                    f"Cannot forget these {n_rows} rows: they are not the {self.n_rows} that are remembered."
                )
            return self.decay(0.0)
        return replace(
            self, softmax=self.softmax.subtract(softmax, eps), weight=max(left, 0.0), n_rows=self.n_rows - n_rows
        )

    def decay(self, gamma: float) -> ContextState:
        """All weights multiplied by `gamma`, from 0 (an empty context) to 1."""
        if gamma == 0:
            empty = RunningSoftmax.empty(self.softmax.o.shape)
            return replace(self, softmax=empty, weight=0.0, n_rows=0)
        return replace(self, softmax=self.softmax.decay(gamma), weight=self.weight * gamma)

    def to_bytes(self) -> bytes:
        """Serialise, in the safetensors format."""
        arrays = {
            **{f"scaling.{name}": array for name, array in vars(self.scaling).items()},
            **{f"softmax.{name}": array for name, array in vars(self.softmax).items()},
            "weight": np.array([self.weight], dtype=np.float64),
            "n_rows": np.array([self.n_rows], dtype=np.int64),
        }
        header = {"checkpoint": self.checkpoint, "fingerprint": self.fingerprint}
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        return safetensors.numpy.save(arrays, metadata={_FORMAT: json.dumps(header)})

    @classmethod
    def from_bytes(cls, data: bytes) -> ContextState:
        """Restore what `to_bytes` wrote; predictions are bit-identical.

        Raises
        ------
        ValueError
            If the bytes are damaged or not a context.
        """
        try:
            size = int.from_bytes(data[:8], "little")
            header = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][_FORMAT])
            arrays = safetensors.numpy.load(data)
            parts: dict[str, dict[str, Array]] = {"scaling": {}, "softmax": {}}
            for key, array in arrays.items():
                part, _, name = key.partition(".")
                if name:
                    parts[part][name] = array
            return cls(
                **header,
                scaling=Scaling(**parts["scaling"]),
                softmax=RunningSoftmax(**parts["softmax"]),
                weight=float(arrays["weight"][0]),
                n_rows=int(arrays["n_rows"][0]),
            )
        except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError("The bytes are damaged or not a context written by ContextState.to_bytes.") from error
