"""CMANPConfig: the architecture of a network."""

from __future__ import annotations

import dataclasses
from typing import Any

from skcmanp.fields import check_fields

_RANGES = {
    **dict.fromkeys(("fourier_features", "joint_rank"), "[0, inf)"),
    "memory_features": "[0, 8192]",  # its square is the size of the state
    **dict.fromkeys(("fourier_scales", "max_count", "input_limit"), "(0, inf)"),
    "embed_depth": "[2, inf)",
    "min_std": "(0, 1)",
}


@dataclasses.dataclass(frozen=True)
class CMANPConfig:
    """Architecture of a `CMANP`. The defaults are the paper's GP configuration.

    Parameters
    ----------
    dim_x, dim_y : int, default=1
        Number of features and of targets of a row. Narrower inputs are padded
        with zeros, so `dim_x` is the largest number of features.
    dim : int, default=64
        Width of tokens and latents.
    n_heads : int, default=4
    dim_feedforward : int, default=128
    n_blocks : int, default=6
        Number of constant memory attention blocks.
    n_block_latents, n_input_latents : int, default=128
        The paper's L_B and L_I.
    embed_depth : int, default=4
        Linear layers in the embedders of rows and queries.
    fourier_features : int, default=0
        Learned Fourier features of x as further inputs of both embedders, and
        their products with y as inputs of the row embedder. 0 is the paper's.
    fourier_scales : tuple of float, default=(0.3, 6.0)
        Standard deviation of the smoothest and of the wiggliest initial
        frequency, in radians per unit of standardised x.
    linear_readout : bool, default=False
        Whether the mean has a part that is linear in the features of x, with
        coefficients read off the latents. Attention alone is slow to learn
        products of a query with what the context says about it.
    count_input : bool, default=False
        Whether latents and queries know the effective number of rows, without
        which softmax attention cannot tell 10 rows from 10 copies of them.
    max_count : float, default=1000.0
        Number of rows from which on the count input stays the same: the
        largest context of meta-training.
    input_limit : float or None, default=None
        Inputs beyond this absolute value are compressed logarithmically, but
        for a conjugate memory whose features are not learned.
    min_std : float, default=1e-3
        Smallest predictive standard deviation, in units of the scaled target.
    memory_features : int, default=0
        Features of the conjugate memory: Bayesian linear regressions whose
        prediction the network then corrects. 0 is none, the paper's.
    memory_kernel : {"learned", "matern52"}, default="learned"
        Learned features, or those that an adaptation to the first rows makes:
        a trend, main effects, and a Matern-5/2 process at inducing points.
    memory_regressions : int, default=8
        Number of these regressions that differ in the signal-to-noise ratio.
    memory_priors : int, default=1
        With learned features: number of those that differ in the initial
        length-scale, at each signal-to-noise ratio.
    memory_fusion : {"correct", "gate"}, default="correct"
        How the blocks and the conjugate memory predict together: the blocks
        are told what the memory says, and correct it; or both predict alone,
        and a gate that knows both mixes them.
    joint_rank : int, default=0
        Rank of the learned part of the correlations between targets, the
        not-diagonal head of the paper's CMANP-AND. With 0, they are the
        conjugate memory's, or none.
    relevance : bool, default=False
        Whether the network expects features in units of their length-scales;
        `CMANPRegressor` then fits these to the first data.

    Examples
    --------
    >>> from skcmanp import CMANP, CMANPConfig
    >>> sum(p.numel() for p in CMANP(CMANPConfig()).parameters())
    1338306
    """

    dim_x: int = 1
    dim_y: int = 1
    dim: int = 64
    n_heads: int = 4
    dim_feedforward: int = 128
    n_blocks: int = 6
    n_block_latents: int = 128
    n_input_latents: int = 128
    embed_depth: int = 4
    fourier_features: int = 0
    fourier_scales: tuple[float, float] = (0.3, 6.0)
    linear_readout: bool = False
    count_input: bool = False
    max_count: float = 1000.0
    input_limit: float | None = None
    min_std: float = 1e-3
    memory_features: int = 0
    memory_kernel: str = "learned"
    memory_regressions: int = 8
    memory_priors: int = 1
    memory_fusion: str = "correct"
    joint_rank: int = 0
    relevance: bool = False

    def __post_init__(self) -> None:
        check_fields(self, _RANGES)
        if self.dim % self.n_heads:
            raise ValueError(f"dim={self.dim} must be a multiple of n_heads={self.n_heads}.")
        if self.memory_kernel not in ("learned", "matern52"):
            raise ValueError(f"memory_kernel={self.memory_kernel!r} must be 'learned' or 'matern52'.")
        if self.memory_fusion not in ("correct", "gate"):
            raise ValueError(f"memory_fusion={self.memory_fusion!r} must be 'correct' or 'gate'.")
        if self.memory_features and self.memory_features < 2 * self.dim_x + 4:
            raise ValueError(
                f"memory_features={self.memory_features} must be at least 2 * dim_x + 4 = {2 * self.dim_x + 4}, or 0 "
                "for a network without a conjugate memory."
            )

    @property
    def statistics_shape(self) -> tuple[int, int, int]:
        """Shape (heads of all blocks, L_B, head dim) of the statistics of a context."""
        return (self.n_blocks * self.n_heads, self.n_block_latents, self.dim // self.n_heads)

    @property
    def fewest_parameters(self) -> int:
        """Less than the number of parameters, but not by orders of magnitude: what a file must have, at the least."""
        width, n_regressions = self.dim_x + self.fourier_features, 0
        if self.memory_features:
            n_regressions = self.memory_regressions * (self.memory_priors if self.memory_kernel == "learned" else 1)
        blocks = self.n_blocks * (self.dim + self.dim_feedforward + self.n_block_latents)
        inputs = width * (self.dim_y if self.fourier_features else 1)
        outputs = self.dim_y * (1 + n_regressions + self.joint_rank)
        tokens = blocks + self.embed_depth * self.dim + self.n_input_latents + inputs + outputs
        readout = self.n_input_latents * self.dim * width * self.dim_y if self.linear_readout else 0
        return self.dim * tokens + readout + n_regressions * self.memory_features

    @property
    def adapted_features(self) -> int:
        """Features of the conjugate memory that an adaptation makes: all, or none if they are learned."""
        return self.memory_features if self.memory_kernel == "matern52" else 0

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CMANPConfig:
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"Unknown CMANPConfig keys {unknown}; the known ones are {sorted(known)}.")
        scales = values.get("fourier_scales")
        return cls(**({**values, "fourier_scales": tuple(scales)} if isinstance(scales, list) else values))
