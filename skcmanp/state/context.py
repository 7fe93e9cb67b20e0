"""ContextState: what a fitted estimator remembers of the rows that it has read.

Its size does not depend on their number. States are immutable; every
operation returns a new one.
"""

from __future__ import annotations

import functools
import json
import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skcmanp.adaptation import Adaptation
from skcmanp.adaptation.first_rows import FirstRows
from skcmanp.frames import Kind
from skcmanp.layout import arrays_in, file_of
from skcmanp.seal import seal, split_header, unsealed
from skcmanp.state.softmax import DOUBLE
from skcmanp.state.summary import Summary

_FORMAT, _FORMAT_BEFORE = "skcmanp.context.9", "skcmanp.context.8"
# Rounding errors of the memory's sums grow with them; here they reach a hundredth of a predictive standard deviation.
MAX_TOTAL_WEIGHT = 1e11

_FLOAT, _INTEGER = np.dtype(np.float64), np.dtype(np.int64)

# The look-up of an enumeration's members takes several times as long.
_kind = functools.cache(Kind)

# Adaptations of at most so many bytes are kept for states to come.
_SHARED_BYTES = 2**23

_HEADER = ("checkpoint", "fingerprint", "feature_names", "kinds", "y_is_1d")


@dataclass(frozen=True, eq=False, repr=False)
class ContextState:
    """The fixed-size memory of a fitted `CMANPRegressor`, and what it is a memory of.

    Parameters
    ----------
    checkpoint : str
        Name of the checkpoint whose network read the rows.
    fingerprint : str
        SHA-256 of that checkpoint, and "-" and the size of its memory if it is
        not the checkpoint's own.
    adaptation : Adaptation
        What the first rows fixed.
    summary : Summary
        Statistics of the rows.
    feature_names : tuple of str, optional
        Names of the features, if X had any.
    kinds : tuple of Kind
        Of the columns of X.
    y_is_1d : bool, default=False
        Whether y had one dimension, so that predictions have one.
    first_rows : FirstRows, optional
        The rows themselves, while there are fewer than a thousand and they go
        on to be adapted to.

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
    adaptation: Adaptation
    summary: Summary
    feature_names: tuple[str, ...] | None = None
    kinds: tuple[Kind, ...] = ()
    y_is_1d: bool = False
    first_rows: FirstRows | None = None

    @property
    def weight(self) -> float:
        """Sum of the row weights: the effective number of rows."""
        return self.summary.weight

    @property
    def n_rows(self) -> int:
        """Number of rows read and not forgotten."""
        return self.summary.n_rows

    @property
    def n_features(self) -> int:
        """Number of features."""
        return self.adaptation.n_features

    @property
    def n_outputs(self) -> int:
        """Number of targets."""
        return self.adaptation.n_targets

    @property
    def nbytes(self) -> int:
        """Size in bytes; it does not depend on the number of rows, once the first ones are let go."""
        return sum(array.nbytes for array in self._arrays().values())

    def __repr__(self) -> str:
        return (
            f"ContextState(checkpoint={self.checkpoint!r}, n_features={self.n_features}, "
            f"n_outputs={self.n_outputs}, n_rows={self.n_rows}, weight={self.weight:.6g}, nbytes={self.nbytes})"
        )

    # ------------------------------------------------------------------ algebra

    def absorb(self, summary: Summary, first_rows: FirstRows | None = None) -> ContextState:
        """The state after reading rows with this summary, of which `first_rows` are kept.

        Raises
        ------
        ValueError
            If the rows weigh more in all than float64 can add up.
        """
        total = self.summary.combine(summary)
        _check_total(total.weight)
        return replace(self, summary=total, first_rows=first_rows)

    def merge(self, other: ContextState, *others: ContextState) -> ContextState:
        """The state that has read the rows of all; it is adapted to no further ones.

        Raises
        ------
        ValueError
            If the states belong to different checkpoints, columns, shapes of y
            or adaptations.
        """
        for state in (other, *others):
            self.check_mergeable(state)
        return self.absorb(functools.reduce(Summary.combine, (state.summary for state in (other, *others))))

    def check_mergeable(self, other: ContextState) -> None:
        """Raise ValueError unless `other` is of the same checkpoint, columns and adaptation.

        As in scikit-learn, names of features that only one of them has are a
        warning.
        """
        other.check_possible()
        other.check_checkpoint(self.checkpoint, self.fingerprint)
        _check_names(self.feature_names, other.feature_names)
        if self.n_features != other.n_features:
            raise ValueError(
                f"Cannot merge contexts of {self.n_features} and of {other.n_features} columns. Give both estimators "
                "the same ones."
            )
        if self.y_is_1d != other.y_is_1d:
            shapes = ["(n_samples,)" if state.y_is_1d else f"(n_samples, {state.n_outputs})" for state in (self, other)]
            raise ValueError(
                f"Cannot merge contexts of y of shape {shapes[0]} and of shape {shapes[1]}; give both estimators y of "
                "one shape, as y.ravel() or y.reshape(-1, 1)."
            )
        if not (self._shapes() == other._shapes() and self.adaptation.equals(other.adaptation)):
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
        return replace(self, summary=self.summary.subtract(summary, eps), first_rows=None)

    def decay(self, gamma: float) -> ContextState:
        """All weights multiplied by `gamma`, from 0 (an empty context) to 1."""
        first_rows = None if self.first_rows is None else self.first_rows.decayed(gamma)
        return replace(self, summary=self.summary.decay(gamma), first_rows=first_rows)

    # ------------------------------------------------------------------ bytes

    def to_bytes(self) -> bytes:
        """Serialise, in the safetensors format, with a checksum of everything.

        Before a stream's thousandth row, and unless something has frozen the
        adaptation, they hold the first rows.
        """
        header = json.dumps({name: getattr(self, name) for name in _HEADER})
        return seal(file_of(self._arrays(), {_FORMAT: unsealed(header)}), _FORMAT)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> ContextState:
        """Restore what `to_bytes` wrote; predictions are bit-identical.

        Those of an estimator that has just predicted between few rows may differ
        from its own by rounding: its posterior followed these rows, and that of
        what is restored is found anew.

        Parameters
        ----------
        data : bytes, bytearray, memoryview or another buffer

        Raises
        ------
        ValueError
            If the bytes are damaged or not a context.
        """
        data = data if isinstance(data, bytes) else memoryview(data).tobytes()
        try:
            return cls._from_bytes(data)
        except Exception as error:  # bytes of unknown origin may hold anything
            raise ValueError(
                f"The bytes are damaged or not a context written by ContextState.to_bytes: {str(error)[:500]}"
            ) from error

    @classmethod
    def _from_bytes(cls, data: bytes) -> ContextState:
        told, header = split_header(data, _FORMAT, _FORMAT_BEFORE)
        arrays = arrays_in(data, header)
        if (scale := arrays.pop("adaptation.missed", None)) is not None:  # one for all, in the format before
            missed = {"scale": scale, "beyond": scale, "limits": np.ones(2)}
            arrays |= {f"adaptation.missed.{name}": array for name, array in missed.items()}
        parts: dict[str, dict[str, NDArray]] = {"adaptation": {}, "first_rows": {}, "summary": {}}
        for name, array in arrays.items():
            part, _, field = name.partition(".")
            if part != "adaptation" and array.dtype != (dtype := _INTEGER if field == "n_rows" else _FLOAT):
                raise ValueError(f"{name} is not of dtype {dtype}, but {array.dtype}")
            parts[part][field] = array.copy() if part == "first_rows" else array
        fields, adapted = json.loads(told), parts["adaptation"]
        is_small = sum(array.nbytes for array in adapted.values()) <= _SHARED_BYTES
        restored = _restored_adaptation if is_small else _restored_adaptation.__wrapped__
        state = cls(
            **fields
            | {
                "feature_names": fields["feature_names"] and tuple(fields["feature_names"]),
                "kinds": tuple(map(_kind, fields["kinds"])),
            },
            adaptation=restored(tuple([(name, a.dtype, a.shape, a.tobytes()) for name, a in adapted.items()])),
            summary=Summary.from_arrays(parts["summary"]),
            first_rows=FirstRows(**parts["first_rows"]) if parts["first_rows"] else None,
        )
        state._check_beside_adaptation()
        return state

    def check_possible(self) -> None:
        """Raise ValueError unless rows could have led to this state: damage must not spread by merging."""
        self.adaptation.check_possible()
        self._check_beside_adaptation()

    def _check_beside_adaptation(self) -> None:
        self.summary.check_possible()
        _check_total(self.weight)
        names, sums = self.feature_names, self.summary.sums.b
        if not (isinstance(self.checkpoint, str) and isinstance(self.fingerprint, str)):
            raise ValueError("Its checkpoint has no name or no fingerprint.")
        if not (names is None or (len(names) == self.n_features and all(isinstance(name, str) for name in names))):
            raise ValueError(f"{names!r} are not the names of {self.n_features} features.")
        adapted = self.adaptation.inputs.encoding.kinds.tolist()  # columns without values then may have some since
        if len(self.kinds) != len(adapted) or any(
            b not in (a, Kind.UNKNOWN) for a, b in zip(self.kinds, adapted, strict=True)
        ):
            raise ValueError(f"{self.kinds!r} are not the kinds of its columns.")
        if not isinstance(self.y_is_1d, bool) or self.y_is_1d > (self.n_outputs == 1):
            raise ValueError(f"y_is_1d={self.y_is_1d!r} is not of {self.n_outputs} targets.")
        if len(sums) * sums.shape[2] != self.n_outputs:
            raise ValueError(f"The statistics are not of {self.n_outputs} targets.")
        if self.first_rows is not None:
            self.first_rows.check_possible()
            shapes = self.first_rows.X.shape, self.first_rows.y.shape
            if shapes != ((self.n_rows, self.n_features), (self.n_rows, self.n_outputs)):
                raise ValueError("The first rows are not those that were read.")

    def _arrays(self) -> dict[str, NDArray]:
        parts = {"adaptation": self.adaptation.arrays(), "summary": self.summary.arrays()}
        if self.first_rows is not None:
            parts["first_rows"] = vars(self.first_rows)
        return {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: array.shape for name, array in self.summary.arrays().items()}


@functools.lru_cache(maxsize=16)
def _restored_adaptation(content: tuple[tuple[str, np.dtype, tuple[int, ...], bytes], ...]) -> Adaptation:
    """Of named arrays, with their dtypes, shapes and bytes. Those of states that are alike are one.

    So it is checked once, and what a network makes of it is there when a stream's state is restored again. Nobody can
    write to its arrays.
    """
    arrays = {name: np.frombuffer(data, dtype).reshape(shape) for name, dtype, shape, data in content}
    adaptation = Adaptation.from_arrays(arrays)
    adaptation.check_possible()
    return adaptation


def _check_total(weight: float) -> None:
    """Raise ValueError if rows weigh more than float64 can add up."""
    if weight > MAX_TOTAL_WEIGHT:
        raise ValueError(
            f"All rows read weigh {weight:g} in all, and of more than {MAX_TOTAL_WEIGHT:g} rounding errors show; "
            "divide all sample weights by a constant, or decay what has been read."
        )


def _check_names(names: tuple[str, ...] | None, others: tuple[str, ...] | None) -> None:
    """Raise ValueError unless columns are the same and in the same order; warn if one has no names."""
    if names == others:
        return
    if names is None or others is None:
        warnings.warn(
            "Only one of the merged contexts has feature names: columns are taken to be the same, in the same order.",
            stacklevel=4,
        )
        return
    here, there = ([name for name in a if name not in b] for a, b in ((names, others), (others, names)))
    if here or there:
        what = f"columns: {_listed(here)} here and {_listed(there)} in the other"
    else:
        moved = [pair for pair in zip(names, others, strict=True) if pair[0] != pair[1]]
        what = f"orders of columns: {_listed([a for a, _ in moved])} here and {_listed([b for _, b in moved])} there"
    raise ValueError(
        f"Cannot merge contexts of different {what}. Give both estimators the same columns in the same order, "
        "as X[reg.feature_names_in_]."
    )


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:5])) or "none"
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _label(checkpoint: str, fingerprint: str) -> str:
    digest, _, memory_features = fingerprint.partition("-")
    return f"{checkpoint!r} ({digest[:12]}{memory_features and f', memory_features={memory_features}'})"
