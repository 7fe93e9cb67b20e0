"""CMANP: rows -> statistics -> latents -> predictive distribution."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Normal

from skcmanp.nn.attention import (
    FeedForward,
    KeyValue,
    MultiHeadAttention,
    Statistics,
    merge_heads,
    read_statistics,
    split_heads,
)
from skcmanp.nn.cmab import CMAB
from skcmanp.nn.conjugate import ConjugateMemory, LearnedFeatures, MaternFeatures, Posterior, Sums
from skcmanp.nn.embedding import FourierFeatures, RowEmbedder, bounded, mlp
from skcmanp.nn.heads import GaussianHead, LinearReadout


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
        Inputs beyond this absolute value are compressed logarithmically.
    min_std : float, default=1e-3
        Smallest predictive standard deviation, in units of the scaled target.
    memory_features : int, default=0
        Features of the conjugate memory: Bayesian linear regressions whose
        prediction the network then corrects. 0 is none, the paper's.
    memory_kernel : {"learned", "matern52"}, default="learned"
        Learned features, or random ones of a Matern-5/2 process, for inputs in
        units of their length-scales.
    memory_regressions : int, default=8
        Number of these regressions; they differ in signal to noise.
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
    relevance: bool = False

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            minimum = 0 if field.name in ("fourier_features", "memory_features") else 1
            if field.type == "int" and (isinstance(value, bool) or not isinstance(value, int) or value < minimum):
                raise ValueError(f"{field.name}={value!r} must be an integer of at least {minimum}.")
        if self.dim % self.n_heads:
            raise ValueError(f"dim={self.dim} must be a multiple of n_heads={self.n_heads}.")
        if self.embed_depth < 2:
            raise ValueError(f"embed_depth={self.embed_depth} must be at least 2.")
        if self.memory_kernel not in ("learned", "matern52"):
            raise ValueError(f"memory_kernel={self.memory_kernel!r} must be 'learned' or 'matern52'.")
        if self.memory_features and self.memory_features < 2 * self.dim_x + 4:
            raise ValueError(
                f"memory_features={self.memory_features} must be 0 or at least 2 * dim_x + 4 = {2 * self.dim_x + 4}."
            )
        if self.memory_features and self.memory_kernel == "matern52" and (self.memory_features - self.dim_x) % 2 == 0:
            raise ValueError(
                f"memory_features={self.memory_features} must be dim_x + 1 = {self.dim_x + 1} and an even number."
            )

    @property
    def statistics_shape(self) -> tuple[int, int, int]:
        """Shape (heads of all blocks, L_B, head dim) of the statistics of a context."""
        return (self.n_blocks * self.n_heads, self.n_block_latents, self.dim // self.n_heads)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CMANPConfig:
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"Unknown CMANPConfig keys {unknown}; the known ones are {sorted(known)}.")
        scales = values.get("fourier_scales")
        return cls(**(values if scales is None else {**values, "fourier_scales": tuple(scales)}))


class RowProjection(NamedTuple):
    """What reading rows needs of all blocks together: one projection, fixed queries."""

    weight: Tensor  # (2 * n_blocks * D, D): the keys of all blocks, then the values
    bias: Tensor  # (2 * n_blocks * D,)
    queries: Tensor  # (n_blocks * H, L_B, E)


class RowStatistics(NamedTuple):
    """All that is kept of a chunk of rows."""

    softmax: Statistics
    sums: Sums | None  # of the conjugate memory


class Memory(NamedTuple):
    """All that queries need of a context."""

    keys_values: list[KeyValue]  # of every block's latents, for its decoder
    coefficients: Tensor | None  # of the linear readout, (B, F, dy)
    posterior: Posterior | None  # of the conjugate memory


class Decoder(nn.Module):
    """One query layer: attends to the latents of one block."""

    def __init__(self, dim: int, n_heads: int, dim_feedforward: int) -> None:
        super().__init__()
        self.cross = MultiHeadAttention(dim, n_heads)
        self.feedforward = FeedForward(dim, dim_feedforward)

    def forward(self, h: Tensor, kv: KeyValue) -> Tensor:
        h = h + self.cross(h, kv)
        return h + self.feedforward(h)


def _rebuild(config: CMANPConfig, weights: dict[str, Tensor], training: bool) -> CMANP:
    model = CMANP(config).to(weights["input_latents"].dtype)
    model.load_state_dict(weights)
    return model.train(training)


class CMANP(nn.Module):
    """Constant Memory Attentive Neural Process with a Gaussian head.

    A neural process reads a context of rows and predicts the targets of other
    rows. Everything that it remembers of the context are statistics of fixed
    size, additive over rows [1]_, so the three steps are separate methods:
    `read` (rows to statistics), `latents_memory` (statistics to the decoder's
    keys and values) and `query` (features to predictive distribution).
    `forward` chains them, for training.

    Parameters
    ----------
    config : CMANPConfig

    References
    ----------
    .. [1] Feng et al., "Memory Efficient Neural Processes via Constant Memory
       Attention Block", arXiv 2305.14567, sections 3.1 and 3.2.

    Examples
    --------
    >>> import torch
    >>> from skcmanp import CMANP, CMANPConfig
    >>> model = CMANP(CMANPConfig(dim=16, n_blocks=1, n_block_latents=4, n_input_latents=4))
    >>> x, y, x_target = torch.randn(2, 10, 1), torch.randn(2, 10, 1), torch.randn(2, 5, 1)
    >>> model(x, y, x_target).mean.shape
    torch.Size([2, 5, 1])
    """

    def __init__(self, config: CMANPConfig) -> None:
        super().__init__()
        c = self.config = config
        self.features = FourierFeatures(c.dim_x, c.fourier_features, c.fourier_scales)
        self.embed_row = RowEmbedder(
            self.features.dim_out, c.dim_y, c.dim, c.embed_depth, products=c.fourier_features > 0
        )
        self.memory: ConjugateMemory | None = None
        if c.memory_features:
            if c.memory_kernel == "learned":
                learned = LearnedFeatures(c.dim_x, c.memory_features, c.fourier_scales)
                self.memory = ConjugateMemory(learned, c.dim_y, c.memory_regressions)
            else:
                # Their signal has unit variance, so that a larger ratio would mean noise below a hundredth.
                waves = MaternFeatures(c.dim_x, c.memory_features)
                self.memory = ConjugateMemory(waves, c.dim_y, c.memory_regressions, ratio=(0.5, 150.0))
                # They suit all functions as they are, and gradients through the memory are its largest cost.
                self.memory.requires_grad_(False)
        n_hints = 0 if self.memory is None else self.memory.n_hints
        self.embed_query = mlp(self.features.dim_out + n_hints, c.dim, c.dim, c.embed_depth)
        self.norm_row = nn.LayerNorm(c.dim)
        self.embed_count = mlp(2, c.dim, c.dim, 2) if c.count_input else None
        self.input_latents = nn.Parameter(torch.randn(c.n_input_latents, c.dim) * 0.5)
        blocks = nn.ModuleList(CMAB(c.dim, c.n_heads, c.dim_feedforward, c.n_block_latents) for _ in range(c.n_blocks))
        decoders = nn.ModuleList(Decoder(c.dim, c.n_heads, c.dim_feedforward) for _ in range(c.n_blocks))
        self.blocks = cast(Sequence[CMAB], blocks)
        self.decoders = cast(Sequence[Decoder], decoders)
        self.readout: LinearReadout | None = None
        if c.linear_readout:
            self.readout = LinearReadout(c.n_input_latents, c.dim, self.features.dim_out, c.dim_y)
        self.head = GaussianHead(c.dim, c.dim_y, c.min_std, corrects=self.memory is not None)

    def __sklearn_clone__(self) -> CMANP:
        """Let estimators that share a network keep sharing it when cloned."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle on the CPU, so that a pickle made beside a GPU loads without one."""
        weights = {name: weight.detach().cpu() for name, weight in self.state_dict().items()}
        return _rebuild, (self.config, weights, self.training)

    def __deepcopy__(self, memo: dict[int, Any]) -> CMANP:
        """Copy on the same device, which pickling would not."""
        twin = _rebuild(self.config, self.state_dict(), self.training)
        return twin.to(self.input_latents.device)

    # ------------------------------------------------------------------ rows -> statistics

    def row_projection(self) -> RowProjection:
        """Keys, values and queries of all blocks as one fused projection."""
        weights = [block.key_value.weight.chunk(2) for block in self.blocks]
        biases = [block.key_value.bias.chunk(2) for block in self.blocks]
        return RowProjection(
            weight=torch.cat([k for k, _ in weights] + [v for _, v in weights]),
            bias=torch.cat([k for k, _ in biases] + [v for _, v in biases]),
            queries=torch.cat([block.queries() for block in self.blocks]),
        )

    def rows_keys_values(self, x: Tensor, y: Tensor, projection: RowProjection) -> tuple[Tensor, Tensor]:
        """Keys and values of bounded rows for the heads of all blocks, (B, N, dx) -> (B, H, N, E) each."""
        features = self.features(x).expand(len(y), -1, -1)  # (B, N, F)
        tokens = self.norm_row(self.embed_row(features, y))  # (B, N, D)
        kv = F.linear(tokens, projection.weight, projection.bias)  # (B, N, 2 * n_blocks * D)
        n_heads = self.config.n_blocks * self.config.n_heads
        k, v = split_heads(kv, 2 * n_heads).chunk(2, dim=1)  # (B, H, N, E) each, H over all blocks
        return k, v

    def read(self, x: Tensor, y: Tensor, projection: RowProjection, log_weight: Tensor | None = None) -> RowStatistics:
        """Statistics of a chunk of rows, for all blocks in one pass.

        Parameters
        ----------
        x : Tensor (B or 1, N, dx)
        y : Tensor (B, N, dy)
        projection : RowProjection
        log_weight : Tensor (N,), optional
            Logarithm of the row weights.
        """
        x, y = self.bound(x), self.bound(y)
        k, v = self.rows_keys_values(x, y, projection)
        queries = projection.queries.expand(len(k), -1, -1, -1)
        softmax = read_statistics(queries, k, v, log_weight)
        return RowStatistics(softmax, None if self.memory is None else self.memory.read(x, y, log_weight))

    def attend(self, x: Tensor, y: Tensor, projection: RowProjection) -> Tensor:
        """Attention output of all blocks over bounded rows, with autograd, (B, H, L_B, E)."""
        k, v = self.rows_keys_values(x, y, projection)
        queries = projection.queries.expand(len(x), -1, -1, -1)
        if not x.shape[1]:
            return torch.zeros_like(queries)
        return F.scaled_dot_product_attention(queries, k, v)

    def bound(self, values: Tensor) -> Tensor:
        """Values as the network sees them: compressed beyond `input_limit`."""
        return bounded(values, self.config.input_limit)

    # ------------------------------------------------------------------ statistics -> latents

    def count_embedding(self, count: Tensor) -> Tensor | float:
        """Embedding of the effective number of rows, (B,) -> (B, 1, D); 0 without `count_input`."""
        if self.embed_count is None:
            return 0.0
        count = count.clamp(max=self.config.max_count)
        return self.embed_count(torch.stack([count.log1p() / 4, (1 + count).rsqrt()], dim=-1)).unsqueeze(1)

    def latents_memory(self, attended: Tensor, sums: Sums | None, count: Tensor) -> Memory:
        """The latents of all blocks and the memory's posterior, as queries need them.

        Parameters
        ----------
        attended : Tensor (B, H, L_B, E)
            Attention output over the rows, heads of all blocks.
        sums : Sums or None
            Of the conjugate memory, if there is one.
        count : Tensor (B,)
            Sum of the row weights.
        """
        per_block = attended.unflatten(1, (self.config.n_blocks, -1))  # (B, blocks, heads, L_B, E)
        latents = (self.input_latents + self.count_embedding(count)).expand(len(attended), -1, -1)
        keys_values = []
        for i, (block, decoder) in enumerate(zip(self.blocks, self.decoders, strict=True)):
            latents = block(merge_heads(per_block[:, i]), latents)  # (B, L_I, D)
            keys_values.append(decoder.cross.keys_values(latents))
        return Memory(
            keys_values,
            coefficients=None if self.readout is None else self.readout(latents),
            posterior=None if self.memory is None or sums is None else self.memory.posterior(sums, count),
        )

    # ------------------------------------------------------------------ latents -> predictions

    def query(self, x: Tensor, memory: Memory, count: Tensor) -> Normal:
        """Predictive distribution of the targets of rows `x`, (B, M, dx) -> (B, M, dy)."""
        x = self.bound(x)
        features = self.features(x)  # (B, M, F)
        inputs, start = features, None
        if self.memory is not None and memory.posterior is not None:
            start, hints = self.memory.query(x, memory.posterior)
            inputs = torch.cat([features, hints], dim=-1)
        h = self.embed_query(inputs) + self.count_embedding(count)  # (B, M, D)
        for decoder, kv in zip(self.decoders, memory.keys_values, strict=True):
            h = decoder(h, kv)
        offset = None if memory.coefficients is None else features @ memory.coefficients
        return self.head(h, offset, start)

    def forward(self, x: Tensor, y: Tensor, x_target: Tensor) -> Normal:
        """Predictive distribution of `x_target` given the context rows (x, y).

        Parameters
        ----------
        x : Tensor (B, N, dx)
            Context features; N may be 0.
        y : Tensor (B, N, dy)
        x_target : Tensor (B, M, dx)

        Returns
        -------
        torch.distributions.Normal
            With mean and std of shape (B, M, dy).
        """
        count = x.new_full((len(x),), float(x.shape[1]))
        x, y = self.bound(x), self.bound(y)
        attended = self.attend(x, y, self.row_projection())  # (B, H, L_B, E)
        sums = None if self.memory is None else self.memory.read(x, y)
        return self.query(x_target, self.latents_memory(attended, sums, count), count)
