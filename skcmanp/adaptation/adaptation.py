"""Adaptation: all that the first rows fix."""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from skcmanp.adaptation.base import Array, Frozen, Part, check_pieces
from skcmanp.adaptation.basis import UNKNOWN_RATIO, Basis
from skcmanp.adaptation.categories import Categories
from skcmanp.adaptation.columns import row_chunks
from skcmanp.adaptation.encoding import Encoding
from skcmanp.adaptation.evidence import default_lengthscale
from skcmanp.adaptation.fitting import Draft, Validation, draft_memory, fit_without_memory, larger
from skcmanp.adaptation.inducing import InducingPoints
from skcmanp.adaptation.inputs import Inputs, Selection
from skcmanp.adaptation.main_effects import MainEffects
from skcmanp.adaptation.missed import FOLDS, Missed
from skcmanp.adaptation.noise import NoiseProfile
from skcmanp.adaptation.ridge import Ridge
from skcmanp.adaptation.rows import MAX_ROWS, Rows, fold_of, sample_rows, split_rows
from skcmanp.adaptation.targets import Targets
from skcmanp.adaptation.trees import MAX_ROWS as TREE_ROWS
from skcmanp.adaptation.trees import MIN_ROWS, Trees, rough_predictions
from skcmanp.adaptation.trend import PRIOR_SLOPE, Trend
from skcmanp.adaptation.warp import choose_warp
from skcmanp.adaptation.waves import RandomWaves
from skcmanp.frames import Kind
from skcmanp.threads import libraries_on_one_thread

_SAMPLE_ROWS = 65_536

# Numbers in the sample of rows, at most: of wide tables fewer rows are looked at.
_SAMPLE_NUMBERS = 4_000_000

# Rows by which it is decided whether trees help.
_TEST_ROWS = 4096

# Log-likelihood in nats that trees must gain: per row, and in all, as chance can feign some. What is farther from that
# by so much a row is clear without knowing how the noise varies. And how much larger the mean squared error of few of
# them may be alone.
_GAIN_OF_ROW, _GAIN = 0.01, 2.0
_CLEAR = 0.1
_MUCH_WORSE = 2.0

# A further part is a module of its own, and one more of these.
PARTS: tuple[type[Part], ...] = (Trend, MainEffects, InducingPoints, RandomWaves)
_INPUTS: tuple[type[Frozen], ...] = (Encoding, Selection, Categories, Trees, Ridge)
FROZEN: tuple[type[Frozen], ...] = (*_INPUTS, Targets, *PARTS, Missed, NoiseProfile)


@dataclasses.dataclass(frozen=True, eq=False)
class Adaptation:
    """All that the first rows fix: what rows are to the network, and what its conjugate memory is made of.

    Parameters
    ----------
    inputs : Inputs
        From a table's columns to d features.
    targets : Targets
        Centre and scale of t targets.
    parts : tuple of Part, default=()
        Of the conjugate memory's features; none for networks that learned theirs.
    noise : NoiseProfile, default=None
        None is the same everywhere.
    ratio : ndarray (1,), optional
        Signal-to-noise ratio; that of which nothing is known by default.
    missed : Missed, optional
        Standard deviation of the process that features miss; 1 by default.

    Examples
    --------
    >>> import numpy as np
    >>> from skcmanp.adaptation import Adaptation
    >>> X, noise = np.random.default_rng(0).uniform(size=(2, 200, 3))
    >>> y = np.sin(6 * X).sum(axis=1, keepdims=True) + noise[:, :1]
    >>> adaptation = Adaptation.fit(X, y, how="fit", memory_features=128)
    >>> [part.name for part in adaptation.parts]
    ['trend', 'main_effects', 'inducing_points', 'random_waves']
    """

    inputs: Inputs
    targets: Targets
    parts: tuple[Part, ...] = ()
    noise: NoiseProfile | None = None
    ratio: Array = dataclasses.field(default_factory=lambda: np.full(1, UNKNOWN_RATIO))
    missed: Missed = dataclasses.field(default_factory=Missed.before_rows)

    @classmethod
    def fit(
        cls,
        X: NDArray,
        y: NDArray,
        weight: Array | None = None,
        *,
        kinds: Sequence[Kind] | None = None,
        standardize: bool = True,
        x_bounds: ArrayLike | None = None,
        y_bounds: ArrayLike | None = None,
        how: str = "none",
        memory_features: int = 0,
        may_grow: bool = False,
        max_columns: int = 32,
        trees: bool = True,
    ) -> Adaptation:
        """Fix everything by rows, some of which may weigh nothing.

        Parameters
        ----------
        X : ndarray (n, c)
            As `skcmanp.frames` reads tables; or a sparse matrix.
        y : ndarray (n, t)
        weight : ndarray (n,), optional
        kinds : sequence of Kind, optional
            Of the columns; all are numbers by default.
        standardize : bool, default=True
            Use moments where no bounds are given.
        x_bounds, y_bounds : pair, optional
            Low and high, numbers or arrays of the number of columns.
        how : {"none", "default", "fit"}, default="none"
            Beside centre and scale fix nothing, or what is sensible before
            anything is known, or what the rows say.
        memory_features : int, default=0
            Number of features of the conjugate memory. With none, as for networks
            that learned theirs, only length-scales are fixed beside.
        may_grow : bool, default=False
            Whether the memory may have half as many features more, where a function
            is almost without noise and these follow it more closely.
        max_columns : int, default=32
            Features that the network sees, at most.
        trees : bool, default=True
            Whether boosted trees, and a warp of the targets that such trees
            choose, may be among what is fixed.

        Raises
        ------
        ValueError
            If bounds are not a pair of finite numbers with low < high.
        """
        encoding = Encoding.fit(X, weight, kinds, x_bounds, standardize)
        if how == "fit" and (x_bounds is not None or not standardize):
            encoding = encoding.near(X, weight)
        targets = Targets.fit_moments(y, weight, y_bounds, standardize)
        as_it_is = not encoding.is_category.any() and len(encoding.centre) <= max_columns
        if how != "fit" and as_it_is:
            return cls._before_rows(Inputs.of_numbers(encoding), targets, how, memory_features)
        chunks = row_chunks(X, y, weight, _SAMPLE_ROWS)
        n_rows = int(np.clip(_SAMPLE_NUMBERS // len(encoding.centre), MAX_ROWS, TREE_ROWS))
        rows = sample_rows(((encoding(a), targets.scaled(b), w) for a, b, w in chunks), n_rows)
        # Several threads are slower than one on most matrices here, and what they fix must not depend on their number.
        with libraries_on_one_thread():
            if trees and how == "fit" and standardize and y_bounds is None:
                as_they_are = targets.original(rows.y)
                targets = targets.warped_by(choose_warp(rows, as_they_are), y, weight)
                rows = rows._replace(y=targets.scaled(as_they_are))
            inputs = Inputs.fit(encoding, rows, max_columns)
            if how != "fit":
                return cls._before_rows(inputs, targets, how, memory_features)
            # Without a memory nothing could say whether they help.
            with_trees = trees and memory_features > 0 and inputs.n_features + y.shape[1] <= max_columns
            return cls._by_rows(inputs, targets, rows, memory_features, may_grow, with_trees)

    @classmethod
    def _before_rows(cls, inputs: Inputs, targets: Targets, how: str, memory_features: int) -> Adaptation:
        """Nothing more, or a trend, and waves for everything else."""
        if how == "none":
            return cls(inputs, targets)
        d = inputs.n_features
        lengthscale = np.full(d, default_lengthscale(d))
        inputs = inputs.stretched(lengthscale)
        if not memory_features:
            return cls(inputs, targets)
        waves = RandomWaves.draw(d, (memory_features - d - 1) // 2, np.ones(1))
        return cls(inputs, targets, (Trend(PRIOR_SLOPE * lengthscale), waves))

    @classmethod
    def _by_rows(
        cls, inputs: Inputs, targets: Targets, rows: Rows, memory_features: int, may_grow: bool, with_trees: bool
    ) -> Adaptation:
        """What different rows, encoded, say."""
        few, validation = rows.take(slice(MAX_ROWS)), None
        if not memory_features:
            fitted = fit_without_memory(_seen(inputs, few))
        else:
            draft = draft_memory(_seen(inputs, few), memory_features, may_grow)
            if with_trees and len(rows.x) >= MIN_ROWS:
                inputs, draft, validation = _with_trees(inputs, draft, rows, memory_features, may_grow)
            fitted = draft.finished(validation)
            if inputs.trees is not None and validation is not None:
                scale = draft.tested(validation, fitted.noise).scale
                fitted = fitted._replace(missed=fitted.missed.of_scale(scale))
        missed = fitted.missed
        inputs = inputs.stretched(fitted.lengthscale).with_unknown(few, fitted.change, fitted.squares, missed.scale)
        return cls(inputs, targets, fitted.parts, fitted.noise, fitted.ratio, missed)

    # ------------------------------------------------------------------ in use

    @property
    def n_features(self) -> int:
        """Number of columns of the data."""
        return len(self.inputs.encoding.kinds)

    @property
    def n_targets(self) -> int:
        """Number of targets."""
        return len(self.targets.centre)

    @property
    def memory_features(self) -> int:
        """Number of features of the conjugate memory that it makes."""
        return sum(part.n_features for part in self.parts)

    def size_of_memory(self, memory_features: int) -> int:
        """Features of the conjugate memory that it is read into: a network's own, or more if it has grown."""
        return memory_features if self.memory_features <= memory_features else larger(memory_features)

    @property
    def lengthscale(self) -> Array:
        """One unit of every feature that is a column of the table, in the column's own units, (d,); NaN of others."""
        return self.inputs.lengthscale

    def scale_x(self, X: NDArray, y: Array | None = None) -> Array:
        """Features in the network's units, (n, d); of rows that are read, with their scaled targets (n, t).

        Where something is unknown of a row, there is one more column: its
        variance, relative to that of the process that features miss.
        """
        seen, unknown = self.inputs(X, y)
        return np.column_stack([seen, unknown]) if unknown.any() else seen

    def scale_y(self, y: NDArray) -> Array:
        """Targets in the network's units, (n, t)."""
        return self.targets.scaled(y)

    def basis(self, n_features: int, device: torch.device | str = "cpu") -> Basis:
        """What makes so many features of the conjugate memory, on a device."""
        noise = None if self.noise is None else self.noise.to(device)
        parts = tuple(part.to(device) for part in self.parts)
        ratio = torch.tensor(self.ratio, device=device)
        return Basis(parts, noise, ratio, self.missed.to(device), n_features, self.inputs.n_features)

    # ------------------------------------------------------------------ frozen

    def arrays(self) -> dict[str, NDArray]:
        """Everything as named arrays, for serialisation."""
        named = {f"{piece.name}.{name}": array for piece in self._frozen() for name, array in piece.arrays().items()}
        return {**named, "ratio": self.ratio}

    def _frozen(self) -> list[Frozen]:
        return [*self.inputs.pieces(), *self._beside_inputs()]

    def _beside_inputs(self) -> list[Frozen]:
        """All but what rows pass through."""
        return [self.targets, *self.parts, self.missed, *([] if self.noise is None else [self.noise])]

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray]) -> Adaptation:
        """What `arrays` gave; of other names, it is a KeyError, TypeError or ValueError."""
        own: defaultdict[str, dict[str, NDArray]] = defaultdict(dict)
        for name, array in arrays.items():
            piece, _, field = name.rpartition(".")
            own[piece][field] = array
        of_none = own.pop("", {})
        if of_none.keys() != {"ratio"}:
            raise ValueError(f"the arrays of no piece are {list(of_none)}, and not the ratio")
        found: dict[str, Any] = {kind.name: kind.from_arrays(own[kind.name]) for kind in FROZEN if kind.name in own}
        if len(found) < len(own):
            raise ValueError(f"nothing is known of arrays of {', '.join(map(repr, own.keys() - found.keys()))}")
        inputs = Inputs(**{kind.name: found[kind.name] for kind in _INPUTS if kind.name in found})
        parts = tuple([found[kind.name] for kind in PARTS if kind.name in found])
        targets, missed, noise = found["targets"], found["missed"], found.get("noise")
        return cls(inputs, targets, parts, noise, of_none["ratio"], missed)

    def equals(self, other: Adaptation) -> bool:
        """Whether both are exactly alike."""
        mine, theirs = self.arrays(), other.arrays()
        return mine.keys() == theirs.keys() and all(np.array_equal(mine[name], theirs[name]) for name in mine)

    def check_possible(self) -> None:
        """Raise ValueError unless rows could have led to this: finite, of one width, and with positive scales."""
        try:
            beside = ((piece, self.inputs.n_features) for piece in self._beside_inputs())
            check_pieces(itertools.chain(self.inputs.sized_pieces(), beside))
            self.inputs.check_together(self.n_targets)
        except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"What the first rows fixed cannot be: {error}") from error
        if not (self.n_features and self.n_targets):
            raise ValueError("There are no features, or no targets.")
        if self.missed.scale.shape not in ((1,), (self.n_targets,)):
            raise ValueError(f"What is missed is not that of {self.n_targets} targets.")
        if not (self.ratio.shape == (1,) and self.ratio.dtype == np.float64 and 0 < self.ratio[0] <= Frozen.largest):
            raise ValueError("The signal-to-noise ratio is not one positive and finite number.")


def _seen(inputs: Inputs, rows: Rows, are_read: bool = True) -> Rows:
    """What is seen of encoded rows that are read, or to be predicted."""
    return rows._replace(x=inputs.seen(rows.x, fold_of(rows.x, rows.y) if are_read else None)[0])


def _with_trees(
    plain: Inputs, draft: Draft, rows: Rows, memory_features: int, may_grow: bool
) -> tuple[Inputs, Draft, Validation]:
    """With trees, if rows that are left out are then predicted better, by what the others say.

    These predictions come, too, by such trees if they help: a memory can read
    off what rows are read with, which knows the targets of all folds but their
    own, that these are not theirs; but not of rows to predict.
    """
    some, few = rows.take(slice(_TEST_ROWS)), rows.take(slice(MAX_ROWS))
    left_out = split_rows(some, FOLDS) == 0
    kept, others = some.take(~left_out), some.take(left_out)
    again = plain.refitted(kept)
    numbers = again.numbers(some.x, fold_of(some.x, some.y))[0]
    without = draft.validated(_seen(again, kept), _seen(again, others, False))
    error = rough_predictions(numbers, some.y, some.weight, left_out) - others.y
    if np.mean(np.square(error)) > _MUCH_WORSE * without.errors.mean_square:
        return plain, draft, without
    again = again.with_trees(kept)
    other = draft_memory(_seen(again, few), memory_features, may_grow)
    by_trees = other.validated(_seen(again, kept), _seen(again, others, False))
    least = max(_GAIN_OF_ROW, _GAIN / len(others.x))
    for noise_varies in (False, True):
        before, after = (
            memory.tested(validation, memory.noise() if noise_varies else None)
            for memory, validation in ((draft, without), (other, by_trees))
        )
        gain = after.score - before.score
        if abs(gain - least) > _CLEAR:
            break
    if gain < least:
        return plain, draft, without
    inputs = plain.with_trees(rows)
    return inputs, draft_memory(_seen(inputs, few), memory_features, may_grow, other.evidence), by_trees
