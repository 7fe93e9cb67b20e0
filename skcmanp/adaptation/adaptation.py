"""Adaptation: all that the first rows fix."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from skcmanp.adaptation.base import Array, Frozen, Part
from skcmanp.adaptation.columns import FEW, Table, Targets, row_chunks
from skcmanp.adaptation.evidence import Evidence, default_lengthscale, maximise_evidence
from skcmanp.adaptation.inducing import InducingPoints, choose_points
from skcmanp.adaptation.main_effects import MainEffects, n_cosines
from skcmanp.adaptation.missed import FOLDS, MAX_WEIGHT_RATIO, missed_scale
from skcmanp.adaptation.noise import NoiseProfile
from skcmanp.adaptation.rows import Rows, sample_rows, split_rows
from skcmanp.adaptation.sparse_process import fit_sparse_process
from skcmanp.adaptation.trend import PRIOR_CONSTANT, PRIOR_SLOPE, Trend
from skcmanp.adaptation.waves import RandomWaves

# Inducing points carry at most this share of a function's variance: a stream goes on to where there are none.
MAX_SHARE = 0.97

# Signal-to-noise ratio where nothing is known of it: any will do.
UNKNOWN_RATIO = 1e3

_SAMPLE_ROWS = 65_536

# A further part is a module of its own, and one more of these.
PARTS: tuple[type[Part], ...] = (Trend, MainEffects, InducingPoints, RandomWaves)
FROZEN: tuple[type[Frozen], ...] = (Table, Targets, *PARTS, NoiseProfile)


@dataclasses.dataclass(frozen=True, eq=False)
class Basis:
    """What turns rows into features of the conjugate memory, on a device."""

    parts: tuple[Part, ...]
    noise_profile: NoiseProfile | None  # none is the same everywhere
    ratio: Tensor  # signal-to-noise ratio, (1,) or (B,)
    scale: Tensor  # standard deviation of the process that features miss, (t,) or (1,)
    n_features: int

    @classmethod
    def of_points(cls, points: Tensor, ratio: Tensor | None, n_features: int) -> Basis:
        """Of inducing points (B, p, d) and signal-to-noise ratios (B,), and else of what is sensible before rows are.

        Inducing points carry the share of the process that they have of the
        places, and those beyond that number are left out.
        """
        n_columns, device = points.shape[-1], points.device
        places = n_features - n_columns - 1
        points = points[:, :places].double()
        share = torch.full((len(points),), points.shape[1] / places, dtype=torch.float64, device=device)
        slope = torch.full((n_columns,), PRIOR_SLOPE, dtype=torch.float64, device=device)
        waves = RandomWaves.draw(n_columns, (places - points.shape[1]) // 2, np.ones(1)).to(device)
        parts = (Trend(slope), InducingPoints(points, share), RandomWaves(waves.frequency, 1 - share))
        one = torch.ones(1, dtype=torch.float64, device=device)
        return cls(parts, None, UNKNOWN_RATIO * one if ratio is None else ratio.double(), one, n_features)

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features, and the variance that these miss of a process of variance one, (B, N, d) -> (B, N, F), (B, N)."""
        made, missed = zip(*(part(x) for part in self.parts), strict=True)
        batch = torch.broadcast_shapes(*(part.shape[:-2] for part in made))
        spare = self.n_features - sum(part.shape[-1] for part in made)  # where there is room for half a wave
        rows = made[0].shape[-2]
        psi = torch.cat([*(p.expand(*batch, -1, -1) for p in made), made[0].new_zeros(*batch, rows, spare)], dim=-1)
        return psi, psi.new_zeros(*batch, rows) + sum(missed)

    def weight(self, missed: Tensor) -> Tensor:
        """Of rows that are read. What features miss acts as noise there, but by a bounded factor, (..., N)."""
        ratio = self.ratio.clamp(max=MAX_WEIGHT_RATIO).unsqueeze(-1)
        return 1 / (1 + ratio.square() * missed)

    def read_weight(self, a: Tensor) -> Tensor:
        """Sum of all weights of the rows that sums (B, F, F) are of, which is that of a constant feature, (B,)."""
        constant = self.parts[0].n_features - 1  # the trend's
        return a[..., constant, constant] / PRIOR_CONSTANT**2

    def noise(self, x: Tensor) -> Tensor:
        """Variance of the noise relative to its mean, (..., N, d) -> (..., N)."""
        if self.noise_profile is None:
            return torch.ones_like(x[..., 0], dtype=torch.float64)
        return self.noise_profile.variance(x)

    def missed_covariance(self, x: Tensor) -> Tensor:
        """Covariance between rows of what the features miss of a process of variance one, (B, N, d) -> (B, N, N)."""
        none = torch.zeros(*x.shape[:-1], x.shape[-2], dtype=torch.float64, device=x.device)
        return none + sum(part.missed_covariance(x) for part in self.parts)


@dataclasses.dataclass(frozen=True, eq=False)
class Adaptation:
    """All that the first rows fix: what rows are to the network, and what its conjugate memory is made of.

    Parameters
    ----------
    table : Table
        Centre and scale of d features.
    targets : Targets
        Centre and scale of t targets.
    parts : tuple of Part, default=()
        Of the conjugate memory's features; none for networks that learned theirs.
    noise : NoiseProfile, default=None
        None is the same everywhere.
    ratio : ndarray (1,), optional
        Signal-to-noise ratio; that of which nothing is known by default.
    missed : ndarray (t,) or (1,), optional
        Standard deviation of the process that features miss, in units of the
        scaled targets; 1 by default.

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

    table: Table
    targets: Targets
    parts: tuple[Part, ...] = ()
    noise: NoiseProfile | None = None
    ratio: Array = dataclasses.field(default_factory=lambda: np.full(1, UNKNOWN_RATIO))
    missed: Array = dataclasses.field(default_factory=lambda: np.ones(1))

    @classmethod
    def fit(
        cls,
        X: NDArray,
        y: NDArray,
        weight: Array | None = None,
        *,
        standardize: bool = True,
        x_bounds: ArrayLike | None = None,
        y_bounds: ArrayLike | None = None,
        how: str = "none",
        memory_features: int = 0,
    ) -> Adaptation:
        """Fix everything by rows, some of which may weigh nothing.

        Parameters
        ----------
        X : ndarray (n, d)
        y : ndarray (n, t)
        weight : ndarray (n,), optional
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

        Raises
        ------
        ValueError
            If bounds are not a pair of finite numbers with low < high.
        """
        table = Table.fit("x_bounds", X, weight, x_bounds, standardize)
        targets = Targets.fit("y_bounds", y, weight, y_bounds, standardize, FEW)
        if how == "none":
            return cls(table, targets)
        if how == "default":
            return cls._before_rows(table, targets, memory_features)
        chunks = row_chunks(X, y, weight, _SAMPLE_ROWS)
        rows = sample_rows((table.scaled(a), targets.scaled(b), w) for a, b, w in chunks)
        # Several threads are slower than one on matrices as small as these, and what they fix must not depend on their
        # number.
        with threadpool_limits(1, user_api="blas"):
            return cls._by_rows(table, targets, rows, memory_features)

    @classmethod
    def _before_rows(cls, table: Table, targets: Targets, memory_features: int) -> Adaptation:
        """A trend, and waves for everything else."""
        d = len(table.centre)
        lengthscale = np.full(d, default_lengthscale(d))
        if not memory_features:
            return cls(table.stretched(lengthscale), targets)
        waves = RandomWaves.draw(d, (memory_features - d - 1) // 2, np.ones(1))
        return cls(table.stretched(lengthscale), targets, (Trend(PRIOR_SLOPE * lengthscale), waves))

    @classmethod
    def _by_rows(cls, table: Table, targets: Targets, rows: Rows, memory_features: int) -> Adaptation:
        """What different rows, standardised, say."""
        d = rows.x.shape[1]
        places = max(memory_features - d - 1, 0)  # for all but the trend
        effects = MainEffects.fit(rows.x, rows.weight, n_cosines(d, places))
        evidence = maximise_evidence(rows, effects)
        if not memory_features:  # a network without a memory, or one that learned its features
            return cls(table.stretched(evidence.lengthscale), targets)
        standard, rows = rows, rows._replace(x=rows.x / evidence.lengthscale)
        trend = Trend(evidence.slope * evidence.lengthscale)
        effects = effects.rescaled(evidence.effects, evidence.lengthscale)
        places -= effects.n_features

        points = choose_points(rows.x, int(MAX_SHARE * places), standard.x)
        linear = np.hstack([trend.of_rows(rows.x), effects.of_rows(rows.x)])
        points, noise = fit_sparse_process(rows, points, linear, evidence)
        alone = (trend, effects) if effects.n_features else (trend,)
        process = _Process(evidence, len(points), len(rows.x), places)
        missed = missed_scale(
            rows,
            split_rows(standard, FOLDS),
            lambda x: _features((*alone, *process.parts(choose_points(x, len(points), x * evidence.lengthscale)))),
            np.ones(len(rows.x)) if noise is None else np.exp(2 * noise.log_std(rows.x)),
            evidence.ratio,
            evidence.signal,
        )
        parts = (*alone, *process.parts(points))
        return cls(table.stretched(evidence.lengthscale), targets, parts, noise, np.array([evidence.ratio]), missed)

    # ------------------------------------------------------------------ in use

    @property
    def n_features(self) -> int:
        """Number of features of the data."""
        return len(self.table.centre)

    @property
    def n_targets(self) -> int:
        """Number of targets."""
        return len(self.targets.centre)

    def scale_x(self, X: NDArray) -> Array:
        """Features in the network's units, (n, d)."""
        return self.table.scaled(X)

    def scale_y(self, y: NDArray) -> Array:
        """Targets in the network's units, (n, t)."""
        return self.targets.scaled(y)

    def basis(self, n_features: int, device: torch.device | str = "cpu") -> Basis:
        """What makes so many features of the conjugate memory, on a device."""
        noise = None if self.noise is None else self.noise.to(device)
        ratio, missed = (torch.as_tensor(array, device=device) for array in (self.ratio, self.missed))
        return Basis(tuple(part.to(device) for part in self.parts), noise, ratio, missed, n_features)

    # ------------------------------------------------------------------ frozen

    def arrays(self) -> dict[str, NDArray]:
        """Everything as named arrays, for serialisation."""
        frozen = [self.table, self.targets, *self.parts, *([] if self.noise is None else [self.noise])]
        named = {f"{piece.name}.{name}": array for piece in frozen for name, array in piece.arrays().items()}
        return {**named, "ratio": self.ratio, "missed": self.missed}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray]) -> Adaptation:
        """What `arrays` gave."""
        found: dict[str, Any] = {}
        for kind in FROZEN:
            start = f"{kind.name}."
            own = {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
            if own:
                found[kind.name] = kind.from_arrays(own)
        return cls(
            found["table"],
            found["targets"],
            tuple(found[kind.name] for kind in PARTS if kind.name in found),
            found.get("noise"),
            arrays["ratio"],
            arrays["missed"],
        )

    def equals(self, other: Adaptation) -> bool:
        """Whether both are exactly alike."""
        mine, theirs = self.arrays(), other.arrays()
        return mine.keys() == theirs.keys() and all(np.array_equal(mine[name], theirs[name]) for name in mine)

    def check_possible(self) -> None:
        """Raise ValueError unless rows could have led to this: finite, of one width, and with positive scales."""
        if not all(np.isfinite(array).all() for array in self.arrays().values()):
            raise ValueError("What the first rows fixed is not finite.")
        for columns in (self.table, self.targets):
            if columns.centre.ndim != 1 or columns.centre.shape != columns.scale.shape or not columns.centre.size:
                raise ValueError("Centres and scales are not as many.")
        positive = (self.table.scale, self.targets.scale, self.ratio, self.missed)
        if not all((array > 0).all() for array in positive) or self.ratio.shape != (1,):
            raise ValueError("A scale of features or targets is not positive.")
        if self.missed.shape not in ((1,), (self.n_targets,)):
            raise ValueError(f"The scale of what is missed is not that of {self.n_targets} targets.")
        row = torch.zeros(1, 1, self.n_features, dtype=torch.float64)
        try:
            made = [part.to("cpu")(row)[0] for part in self.parts]
            noise = None if self.noise is None else self.noise.to("cpu").variance(row)
        except (IndexError, RuntimeError, TypeError) as error:
            raise ValueError(f"A part of what the first rows fixed is not of {self.n_features} features.") from error
        if not all(torch.isfinite(values).all() for values in made) or (noise is not None and not (noise > 0).all()):
            raise ValueError("What the first rows fixed cannot be.")


@dataclasses.dataclass(frozen=True)
class _Process:
    """How inducing points and random waves share the process of all features out."""

    evidence: Evidence
    n_points: int
    n_rows: int
    places: int

    def parts(self, points: Array) -> tuple[Part, Part]:
        """With inducing points at these places."""
        local = 1 - float(np.square(self.evidence.effects).sum())
        # Where every row was worth an inducing point, further ones will be elsewhere; where few were, these say all.
        unseen = (1 - self.n_points / self.places) * self.n_points / self.n_rows if self.places else 1.0
        unseen = max(unseen, 1 - MAX_SHARE)
        waves = RandomWaves.draw(points.shape[1], (self.places - self.n_points) // 2, np.array([local * unseen]))
        return InducingPoints(points, np.array([local * (1 - unseen)])), waves


def _features(parts: tuple[Part, ...]) -> Any:
    """Features of an array of rows, and the variance that these miss, (n, d) -> (n, f) and (n,)."""
    prepared = [part.to("cpu") for part in parts]

    def features(x: Array) -> tuple[Array, Array]:
        made, missed = zip(*(part(torch.from_numpy(x).unsqueeze(0)) for part in prepared), strict=True)
        return torch.cat(made, dim=-1)[0].numpy(), (sum(missed) + torch.zeros(1, len(x)))[0].numpy()

    return features
