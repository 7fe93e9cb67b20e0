"""Learning from rows: what the first of them fix, and the statistics of all."""

from __future__ import annotations

from dataclasses import dataclass, replace

from numpy.typing import ArrayLike

from skcmanp.adaptation import Adaptation
from skcmanp.adaptation.first_rows import FirstRows
from skcmanp.checkpoints import Checkpoint, get_network
from skcmanp.devices import DTYPES, resolve_device
from skcmanp.frames import Kind
from skcmanp.inference import Network
from skcmanp.nn.config import CMANPConfig
from skcmanp.parallel import Reader
from skcmanp.state.context import ContextState
from skcmanp.state.summary import Summary
from skcmanp.validation import Rows

# Parameters of the estimator that say how to learn.
LEARNING = (
    "memory_features",
    "standardize",
    "adapt",
    "x_bounds",
    "y_bounds",
    "chunk_size",
    "device",
    "dtype",
    "n_jobs",
    "verbose",
)


@dataclass(frozen=True)
class Learner:
    """Everything that learning needs besides rows: a checkpoint, what the table is, and the estimator's parameters.

    States go in and come out.
    """

    checkpoint: Checkpoint
    feature_names: tuple[str, ...] | None
    kinds: tuple[Kind, ...]
    y_is_1d: bool
    memory_features: int | None = None
    standardize: bool = True
    adapt: bool | str = "auto"
    x_bounds: ArrayLike | None = None
    y_bounds: ArrayLike | None = None
    chunk_size: int = 8192
    device: str = "auto"
    dtype: str = "float64"
    n_jobs: int | None = None
    verbose: int = 0
    trees: bool = True  # whether these, and warps of targets, may be among what rows fix

    def fit(self, rows: Rows) -> ContextState:
        """The state adapted to all rows, after reading them."""
        return self._read(self._adapted_to(rows, self.trees), rows)

    def partial_fit(self, state: ContextState, rows: Rows) -> ContextState:
        """The state after reading further rows; those of a stream that is still adapted to are kept, and adapted to."""
        if state.first_rows is None:
            return self._read(state, rows)
        first_rows, rest = state.first_rows.extended(rows)
        if first_rows.n_fitted == state.first_rows.n_fitted:
            return self._read(replace(state, kinds=self.kinds), rows, first_rows)
        return self._read_stream(first_rows, rest)

    def begin(self, rows: Rows) -> ContextState:
        """The state after reading the first rows of a stream, adapted to as many as their number says."""
        if not self.adapts_to_rows:
            return self.fit(rows)
        return self._read_stream(*FirstRows.none(rows.X.shape[1], rows.y.shape[1]).extended(rows))

    def summary(self, state: ContextState, rows: Rows) -> Summary:
        """Statistics of rows as the state's adaptation has them read."""
        device, dtype = resolve_device(self.device), DTYPES[self.dtype]
        reader = Reader(self.checkpoint, device, dtype, state.adaptation, self.chunk_size)
        return reader.read_parallel(rows.X, rows.y, rows.weight, self.n_jobs, bool(self.verbose))

    def _network(self, adaptation: Adaptation | None = None) -> Network:
        return get_network(self.checkpoint, resolve_device(self.device), DTYPES[self.dtype], adaptation)

    @property
    def adapts_to_rows(self) -> bool:
        """Whether the first rows fix anything that is not declared."""
        return self.adapt is True or (self.standardize and (self.x_bounds is None or self.y_bounds is None))

    def _read(self, state: ContextState, rows: Rows, first_rows: FirstRows | None = None) -> ContextState:
        """The state after reading rows, `first_rows` of the stream kept."""
        summary = self.summary(state, rows)
        after = state.absorb(summary, first_rows)
        self._network(state.adaptation).follow(state, after, summary)
        return after

    def _read_stream(self, first_rows: FirstRows, rest: Rows) -> ContextState:
        """The state of a stream, from its first row on."""
        adapted = self._adapted_to(first_rows.fitted, self.trees and first_rows.are_enough)
        if first_rows.are_enough:
            return self._read(self._read(adapted, first_rows.rows), rest)
        return self._read(adapted, first_rows.rows, first_rows)

    def _adapted_to(self, rows: Rows, trees: bool) -> ContextState:
        """The state of no rows, with what these fix."""
        config = self._network().config
        adaptation = Adaptation.fit(
            rows.X,
            rows.y,
            rows.weight,
            kinds=self.kinds,
            standardize=self.standardize,
            x_bounds=self.x_bounds,
            y_bounds=self.y_bounds,
            how=self._how(config),
            memory_features=config.adapted_features,
            may_grow=self.memory_features is None,
            max_columns=config.dim_x,
            trees=trees,
        )
        return ContextState(
            self.checkpoint.name,
            self.checkpoint.identity,
            adaptation,
            self._network(adaptation).empty_summary(rows.y.shape[1]),
            self.feature_names,
            self.kinds,
            self.y_is_1d,
        )

    def _how(self, config: CMANPConfig) -> str:
        """How much `Adaptation.fit` is to fix."""
        if not config.relevance:
            if self.adapt is True:
                raise ValueError(
                    f"adapt=True: checkpoint {self.checkpoint.name!r} was not trained on features in units of their "
                    "length-scales; leave adapt='auto', or choose another checkpoint."
                )
            return "none"
        undeclared = self.standardize and self.x_bounds is None and self.y_bounds is None
        return "fit" if (undeclared if self.adapt == "auto" else self.adapt) else "default"
