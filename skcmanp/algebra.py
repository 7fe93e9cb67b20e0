"""What can be done with what an estimator has read: forget rows, merge states, decay."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from skcmanp.checkpoints import Checkpoint, check_table, resolve_checkpoint
from skcmanp.devices import DTYPES
from skcmanp.state.context import ContextState
from skcmanp.validation import restored_on_error

if TYPE_CHECKING:
    from skcmanp.frames import Kind
    from skcmanp.inference import Network
    from skcmanp.learner import Learner
    from skcmanp.validation import Rows


class AlgebraMixin:
    """Operations on `context_`, for estimators that validate rows and know how to learn them."""

    checkpoint: str
    memory_features: int | None
    dtype: str
    context_: ContextState
    checkpoint_: Checkpoint
    n_features_in_: int
    feature_names_in_: NDArray

    if TYPE_CHECKING:

        def _validate_rows(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None) -> tuple[Rows, bool]: ...

        def _learner(self, y_is_1d: bool, kinds: tuple[Kind, ...]) -> Learner: ...

        def _network(self, state: ContextState | None = None) -> Network: ...

    def forget(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Remove rows that were read earlier, as if they never had been.

        What the first data fixed stays, features of some of its rows included.

        Parameters
        ----------
        X, y, sample_weight
            As they were read, in any chunks; after `decay`, with decayed weights.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If more is forgotten than was read, or what is left could not be of
            any rows, as when some are forgotten twice; or if it is too little,
            beside all that was ever read, to be accurate: refit then. A float64
            network can forget far more than a float32 one.
        """
        check_is_fitted(self)
        with restored_on_error(self):
            rows, _ = self._validate_rows(X, y, sample_weight)
            summary = self._learner(self.context_.y_is_1d, self.context_.kinds).summary(self.context_, rows)
            self.context_ = self.context_.subtract(summary, eps=torch.finfo(DTYPES[self.dtype]).eps)
            return self

    def merge(self, other: AlgebraMixin | ContextState, *others: AlgebraMixin | ContextState) -> Self:
        """Absorb what others have read; all of them, or none if one cannot be merged.

        Parameters
        ----------
        other, *others : CMANPRegressor or ContextState
            Of the same checkpoint, columns, shape of y and adaptation. An unfitted
            estimator first adopts what the first of them is, its names of
            features included; if it is the only one, then also the first rows
            of its stream, which goes on as it would have.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the checkpoints, columns, shapes or adaptations differ. Where only
            one has names of features, it is a warning.
        """
        states = [_state(each) for each in (other, *others)]
        with restored_on_error(self):
            if not hasattr(self, "context_"):
                self._adopt(states.pop(0))
            if states:
                self.context_ = self.context_.merge(*states)
            return self

    def decay(self, gamma: float) -> Self:
        """Multiply the weight of everything read so far.

        Parameters
        ----------
        gamma : float
            From 0, which empties the context but keeps what the first rows fixed,
            to 1.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If gamma is not a number between 0 and 1.
        """
        check_is_fitted(self)
        if not (isinstance(gamma, int | float | np.number) and 0 <= gamma <= 1):
            raise ValueError(f"gamma={gamma!r} must be a number between 0 and 1.")
        with restored_on_error(self):
            self.context_ = self.context_.decay(float(gamma))
            return self

    def _adopt(self, state: ContextState) -> None:
        """Become, unfitted, an estimator that has read what `state` has."""
        state.check_possible()
        self.checkpoint_ = resolve_checkpoint(self.checkpoint, state.kinds, self.memory_features)
        state.check_checkpoint(self.checkpoint_.name, self.checkpoint_.identity)
        wanted = state.adaptation.memory_features
        if self.memory_features is not None and wanted > self.memory_features:
            raise ValueError(
                f"The context has a memory of {wanted} features, more than memory_features={self.memory_features}; "
                "leave memory_features=None."
            )
        network = self._network(state)
        check_table(self.checkpoint_, network.config, state.n_features, state.n_outputs)
        network.check_state(state)
        self.n_features_in_ = state.n_features
        if state.feature_names is not None:
            self.feature_names_in_ = np.array(state.feature_names, dtype=object)
        goes_on = self._learner(state.y_is_1d, state.kinds).adapts_to_rows
        self.context_ = state if goes_on else replace(state, first_rows=None)


def _state(source: AlgebraMixin | ContextState) -> ContextState:
    """What an estimator, or a state itself, has read."""
    if isinstance(source, ContextState):
        return source
    if not isinstance(source, AlgebraMixin):
        raise TypeError(f"other must be a CMANPRegressor or a ContextState, not {type(source).__name__}.")
    check_is_fitted(source)
    return source.context_
