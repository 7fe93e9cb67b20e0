"""Basis: what an adaptation makes of rows for the conjugate memory, on a device."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from skcmanp.adaptation.base import Part
from skcmanp.adaptation.inducing import InducingPoints
from skcmanp.adaptation.missed import MAX_WEIGHT_RATIO, Missed
from skcmanp.adaptation.noise import NoiseProfile
from skcmanp.adaptation.trend import PRIOR_CONSTANT, PRIOR_SLOPE, Trend
from skcmanp.adaptation.waves import RandomWaves
from skcmanp.replay import Replayed

# Signal-to-noise ratio where nothing is known of it: any will do.
UNKNOWN_RATIO = 1e3


@dataclasses.dataclass(frozen=True, eq=False)
class Basis:
    """What turns rows into features of the conjugate memory, on a device."""

    parts: tuple[Part, ...]
    noise_profile: NoiseProfile | None  # none is the same everywhere
    ratio: Tensor  # signal-to-noise ratio, (1,) or (B,)
    missed: Missed
    n_features: int
    n_columns: int  # of rows; a further one is the variance of what is unknown of them

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
        ratio = UNKNOWN_RATIO * one if ratio is None else ratio.double()
        return cls(parts, None, ratio, Missed.before_rows().to(device), n_features, n_columns)

    def features(self, x: Tensor, beside: Sequence[Tensor] = ()) -> tuple[Tensor, ...]:
        """Features, and the variance that these miss of a process of variance one, (B, N, d) -> (B, N, F), (B, N).

        Columns that are to stand `beside` them, (B, N, any), follow.
        """
        if x.shape[-2] != 1:
            return self._made(x, *beside)
        psi, missed = self._of_row(x)
        return (torch.cat([psi, *beside], dim=-1) if beside else psi), missed

    @functools.cached_property
    def _of_row(self) -> Replayed:
        return Replayed(self._made, keeps=True)  # a row is often predicted before it is read

    def _made(self, x: Tensor, *beside: Tensor) -> tuple[Tensor, Tensor]:
        x, unknown = self.columns(x), self.unknown(x)
        made, missed = zip(*(part(x) for part in self.parts), strict=True)
        batch = torch.broadcast_shapes(*(part.shape[:-2] for part in made))
        spare = self.n_features - sum(part.shape[-1] for part in made)  # where there is room for half a wave
        rows = made[0].shape[-2]
        made = (*made, made[0].new_zeros(*batch, rows, spare), *beside)
        psi = torch.cat([part.expand(*batch, -1, -1) for part in made], dim=-1)
        return psi, psi.new_zeros(*batch, rows) + unknown + sum(missed)

    def columns(self, x: Tensor) -> Tensor:
        """What is known of rows, (B, N, d or d + 1) -> (B, N, d)."""
        return x[..., : self.n_columns]

    def unknown(self, x: Tensor) -> Tensor:
        """Variance of what is unknown of rows, of a process of variance one, (B, N, d or d + 1) -> (B, N)."""
        return x[..., self.n_columns :].double().sum(-1)

    def scale(self, x: Tensor, missed: Tensor) -> Tensor:
        """Standard deviation of the process of whose variance so much is `missed` at rows, (B, N) -> (B, N, t or 1)."""
        return self.missed.at(missed, self.unknown(x))

    def weight(self, missed: Tensor) -> Tensor:
        """Of rows that are read. What features miss acts as noise there, but by a bounded factor, (..., N)."""
        ratio = self.ratio.clamp(max=MAX_WEIGHT_RATIO).unsqueeze(-1)
        return 1 / (1 + ratio.square() * missed)

    def read_weight(self, squares: Tensor) -> Tensor:
        """Sum of the weights of rows, given their features' sums of squares, (B, F) -> (B,): that of a constant."""
        constant = self.parts[0].n_features - 1  # the trend's
        return squares[..., constant] / PRIOR_CONSTANT**2

    def noise(self, x: Tensor) -> Tensor:
        """Variance of the noise relative to its mean, (..., N, d) -> (..., N)."""
        if self.noise_profile is None:
            return torch.ones_like(x[..., 0], dtype=torch.float64)
        return self.noise_profile.variance(self.columns(x))

    def missed_covariance(self, x: Tensor) -> Tensor:
        """Covariance between rows of what the features miss of a process of variance one, (B, N, d) -> (B, N, N)."""
        x = self.columns(x)
        none = torch.zeros(*x.shape[:-1], x.shape[-2], dtype=torch.float64, device=x.device)
        return none + sum(part.missed_covariance(x) for part in self.parts)
