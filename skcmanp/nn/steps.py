"""What the steps of a network hand to each other."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.distributions import Normal

from skcmanp.adaptation import Basis
from skcmanp.nn.attention import Statistics
from skcmanp.nn.conjugate import Parts, Posterior, Sums


class RowProjection(NamedTuple):
    """What reading rows needs of all blocks together: one projection, fixed queries."""

    weight: Tensor  # (2 * n_blocks * D, D): the keys of all blocks, then the values
    bias: Tensor  # (2 * n_blocks * D,)
    queries: Tensor  # (n_blocks * H, L_B, E)


class RowStatistics(NamedTuple):
    """All that is kept of rows."""

    softmax: Statistics
    sums: Sums | None  # of the conjugate memory, unless rows are few
    few: Tensor | None  # these as the memory adds them up, see `ConjugateMemory.blocks`, (B or 1, N, F + 2 t)


class Memory(NamedTuple):
    """All that queries need of a context."""

    latents: tuple[Tensor, ...]  # as decoders want them, see `CMANP.latents`
    posterior: Posterior | None  # of the conjugate memory
    basis: Basis | None  # of its features, if an adaptation makes them


class Prediction(NamedTuple):
    """What is found out about rows that are queried."""

    marginals: Normal  # (B, M, dy)
    h: Tensor  # their encodings, (B, M, D)
    parts: Parts | None  # of the conjugate memory
