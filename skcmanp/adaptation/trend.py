"""The trend: a constant, and a line in every feature, which go on beyond the first rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from skcmanp.adaptation.base import Part, Values

# Prior standard deviation of the constant, relative to the process's.
PRIOR_CONSTANT = 0.5

# That of slopes, in standard deviations of the feature, before anything is known.
PRIOR_SLOPE = 0.3

# Lines end at so many length-scales: a row farther off, of a sentinel value say, would leave the memory's sums no
# digits for all others.
_FARTHEST = 1e6


@dataclass(frozen=True, eq=False)
class Trend(Part):
    """A constant and d slopes.

    Parameters
    ----------
    slope : ndarray (d,)
        Prior standard deviations of the slopes, per unit of the feature.
    """

    name = "trend"
    shapes: ClassVar = {"slope": "d"}
    slope: Values

    @property
    def n_features(self) -> int:
        return len(self.slope) + 1

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | float]:
        line = self.slope * x.double().clamp(-_FARTHEST, _FARTHEST)
        return torch.cat([line, torch.full_like(line[..., :1], PRIOR_CONSTANT)], dim=-1), 0.0
