"""ContextState: what a fitted estimator remembers of the rows that it has read.

Its size does not depend on their number. States are immutable; every
operation returns a new one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import safetensors
import safetensors.numpy

from skcmanp.adaptation import Adaptation
from skcmanp.summary import DOUBLE, Summary

_FORMAT = "skcmanp.context.5"


@dataclass(frozen=True, eq=False, repr=False)
class ContextState:
    """The fixed-size memory of a fitted `CMANPRegressor`.

    Parameters
    ----------
    checkpoint : str
        Name of the checkpoint whose network read the rows.
    fingerprint : str
        SHA-256 of that checkpoint, and "-" and the size of its memory if it is
        not the checkpoint's own.
    scaling : Adaptation
        Centre and scale of features and targets.
    summary : Summary
        Statistics of the rows.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skcmanp import CMANPRegressor, ContextState
    >>> X, y = load_diabetes(return_X_y=True)
    >>> state = CMANPRegressor().fit(X, y).context_
    >>> state  # doctest: +ELLIPSIS
    ContextState(checkpoint='tabular', n_features=10, n_outputs=1, n_rows=442, weight=442, nbytes=...)
    >>> ContextState.from_bytes(state.to_bytes()).n_rows
    442
    """

    checkpoint: str
    fingerprint: str
    scaling: Adaptation
    summary: Summary

    @property
    def weight(self) -> float:
        """Sum of the row weights: the effective number of rows."""
        return self.summary.weight

    @property
    def n_rows(self) -> int:
        """Number of rows read and not forgotten."""
        return self.summary.n_rows

    @property
    def nbytes(self) -> int:
        """Size in bytes; it does not depend on the number of rows."""
        return sum(array.nbytes for array in self._arrays().values())

    def __repr__(self) -> str:
        return (
            f"ContextState(checkpoint={self.checkpoint!r}, n_features={self.scaling.n_features}, "
            f"n_outputs={self.scaling.n_targets}, n_rows={self.n_rows}, weight={self.weight:.6g}, "
            f"nbytes={self.nbytes})"
        )

    def absorb(self, summary: Summary) -> ContextState:
        """The state after reading rows with this summary."""
        return replace(self, summary=self.summary.combine(summary))

    def merge(self, other: ContextState) -> ContextState:
        """The state that has read the rows of both.

        Raises
        ------
        ValueError
            If the states belong to different checkpoints, numbers of features
            or targets, or scalings.
        """
        self.check_mergeable(other)
        return self.absorb(other.summary)

    def check_mergeable(self, other: ContextState) -> None:
        """Raise ValueError unless `other` has the same checkpoint and scaling."""
        other.check_checkpoint(self.checkpoint, self.fingerprint)
        if self.summary.softmax.s.shape != other.summary.softmax.s.shape or not self.scaling.equals(other.scaling):
            raise ValueError(
                "Cannot merge contexts with different scaling of X or y. Give both estimators the same `x_bounds` "
                "and `y_bounds`, or `standardize=False`, or start the shards as copies of one fitted estimator "
                "emptied by `decay(0)`."
            )

    def check_checkpoint(self, name: str, fingerprint: str) -> None:
        """Raise ValueError unless the context is of this checkpoint."""
        if self.fingerprint != fingerprint:
            raise ValueError(
                f"The context is of checkpoint {_label(self.checkpoint, self.fingerprint)}, not of "
                f"{_label(name, fingerprint)}; use the same `checkpoint` and `memory_features`."
            )

    def subtract(self, summary: Summary, eps: float = DOUBLE) -> ContextState:
        """The state as if rows with this summary had never been read; see `Summary.subtract`."""
        return replace(self, summary=self.summary.subtract(summary, eps))

    def decay(self, gamma: float) -> ContextState:
        """All weights multiplied by `gamma`, from 0 (an empty context) to 1."""
        return replace(self, summary=self.summary.decay(gamma))

    def _arrays(self) -> dict[str, np.ndarray]:
        scaling = {f"scaling.{name}": array for name, array in self.scaling.arrays().items()}
        return {**scaling, **self.summary.arrays()}

    def to_bytes(self) -> bytes:
        """Serialise, in the safetensors format."""
        header = {"checkpoint": self.checkpoint, "fingerprint": self.fingerprint}
        arrays = {name: np.ascontiguousarray(array) for name, array in self._arrays().items()}
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
            names = [name for name in arrays if name.startswith("scaling.")]
            scaling = Adaptation.from_arrays({name.removeprefix("scaling."): arrays[name] for name in names})
            return cls(**header, scaling=scaling, summary=Summary.from_arrays(arrays))
        except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError("The bytes are damaged or not a context written by ContextState.to_bytes.") from error


def _label(checkpoint: str, fingerprint: str) -> str:
    digest, _, memory_features = fingerprint.partition("-")
    return f"{checkpoint!r} ({digest[:12]}{memory_features and f', memory_features={memory_features}'})"
