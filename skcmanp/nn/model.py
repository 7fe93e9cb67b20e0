"""CMANP: rows -> statistics -> latents -> predictive distribution."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Normal

from skcmanp.adaptation import Basis
from skcmanp.nn.attention import KeyValue, Statistics, merge_heads, read_statistics, split_heads
from skcmanp.nn.cmab import CMAB, Decoder
from skcmanp.nn.config import CMANPConfig
from skcmanp.nn.conjugate import ConjugateMemory, Parts, Sums
from skcmanp.nn.covariances import Covariances
from skcmanp.nn.embedding import FourierFeatures, RowEmbedder, bounded, mlp
from skcmanp.nn.features import LearnedFeatures
from skcmanp.nn.heads import CorrelationHead, Gate, GaussianHead, LinearReadout
from skcmanp.nn.steps import Memory, Prediction, RowProjection, RowStatistics

# What the memory says counts as no more than this, so that its squares are finite in float32.
LARGEST_HINT = 1e9

# Up to so many rows it costs less to update the memory's sums and its posterior by them, one by one.
FEW_ROWS = 32


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
                self.memory = ConjugateMemory(learned, c.dim_y, c.memory_regressions, c.memory_priors)
            else:
                self.memory = ConjugateMemory(c.memory_features, c.dim_y, c.memory_regressions)
                # It suits all functions as it is, and gradients through the memory are its largest cost.
                self.memory.requires_grad_(False)
        n_hints = 0 if self.memory is None else self.memory.n_hints - c.dim_y  # without what is the head's
        has_gate = self.memory is not None and c.memory_fusion == "gate"
        self.gate = Gate(c.dim, c.dim_y, n_hints, c.min_std) if has_gate else None
        self.embed_query = mlp(self.features.dim_out + (0 if has_gate else n_hints), c.dim, c.dim, c.embed_depth)
        self.norm_row = nn.LayerNorm(c.dim)
        self.embed_count = mlp(2, c.dim, c.dim, 2) if c.count_input else None
        self.input_latents = nn.Parameter(torch.randn(c.n_input_latents, c.dim) * 0.5)
        blocks = nn.ModuleList(CMAB(c.dim, c.n_heads, c.dim_feedforward, c.n_block_latents) for _ in range(c.n_blocks))
        decoders = nn.ModuleList(Decoder(c.dim, c.n_heads, c.dim_feedforward) for _ in range(c.n_blocks))
        self.blocks = cast(Sequence[CMAB], blocks)
        self.decoders = cast(Sequence[Decoder], decoders)
        sizes = c.n_input_latents, c.dim, self.features.dim_out, c.dim_y
        self.readout = LinearReadout(*sizes) if c.linear_readout else None
        self.head = GaussianHead(c.dim, c.dim_y, c.min_std, corrects=self.memory is not None and not has_gate)
        self.correlations: CorrelationHead | None = None
        if c.joint_rank:
            self.correlations = CorrelationHead(c.dim, c.dim_y, c.joint_rank, corrects=self.memory is not None)

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

    def with_memory(self, n_features: int) -> CMANP:
        """A copy whose conjugate memory has another number of features, if these are not learned.

        The network knows the memory's predictions alone, so it can be trained
        beside a small one, whose regressions cost the cube of the number.

        Raises
        ------
        ValueError
            If there is no memory, or its features are learned.
        """
        config = dataclasses.replace(self.config, memory_features=n_features)
        if not self.config.adapted_features or not config.adapted_features:
            raise ValueError(
                "Only a memory of kernel 'matern52' can change its size: "
                f"memory_features={self.config.memory_features}, memory_kernel={self.config.memory_kernel!r}."
            )
        return self._twin(config, without="memory.")

    def with_joint_head(self, rank: int) -> CMANP:
        """A copy with a fresh not-diagonal head of this rank; its marginals are the same.

        A head that is trained alone, with ``TrainingOptions(trainable="correlations.")``,
        leaves them so.
        """
        return self._twin(dataclasses.replace(self.config, joint_rank=rank), without="correlations.")

    def _twin(self, config: CMANPConfig, without: str) -> CMANP:
        """A copy of another configuration, fresh where names start like this."""
        twin = CMANP(config).train(self.training)
        weights = {name: weight for name, weight in self.state_dict().items() if not name.startswith(without)}
        twin.load_state_dict({**twin.state_dict(), **weights})
        return twin.to(self.input_latents)

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
        """Keys and values of rows for the heads of all blocks, (B, N, d) -> (B, H, N, E) each."""
        x, y = self.bound_x(x), self.bound(y)  # (B or 1, N, dx), (B, N, dy)
        features = self.features(x).expand(len(y), -1, -1)  # (B, N, F)
        tokens = self.norm_row(self.embed_row(features, y))  # (B, N, D)
        kv = F.linear(tokens, projection.weight, projection.bias)  # (B, N, 2 * n_blocks * D)
        k, v = split_heads(kv, 2 * self.config.n_blocks * self.config.n_heads).chunk(2, dim=1)  # (B, H, N, E) each
        return k, v

    def bound(self, values: Tensor) -> Tensor:
        """Targets as the network sees them: compressed beyond `input_limit`, in its dtype."""
        return bounded(values, self.config.input_limit).to(self.input_latents.dtype)

    def bound_x(self, x: Tensor) -> Tensor:
        """Features as the network sees them; absent ones are zero, (B, N, d) -> (B, N, dx)."""
        return F.pad(self.bound(x), (0, self.config.dim_x - x.shape[-1]))

    def memory_x(self, x: Tensor) -> Tensor:
        """Features as the memory sees them: as they are, or as the network does, which learned its features."""
        return self.bound_x(x) if self.memory is not None and self.memory.embed is not None else x

    def read(
        self,
        x: Tensor,
        y: Tensor,
        projection: RowProjection,
        basis: Basis | None = None,
        log_weight: Tensor | None = None,
    ) -> RowStatistics:
        """Statistics of rows, for all blocks in one pass.

        Parameters
        ----------
        x : Tensor (B or 1, N, d)
            At most the network's number of features.
        y : Tensor (B, N, dy)
        projection : RowProjection
        basis : Basis, optional
            Of an adaptation, for the conjugate memory, if there is one.
        log_weight : Tensor (N,), optional
            Logarithm of the row weights.
        """
        known = x if basis is None else basis.columns(x)  # (B or 1, N, d)
        softmax = Statistics(*self.read_rows(known, y, log_weight, *projection))
        if self.memory is None:
            return RowStatistics(softmax, None, None)
        blocks = self.memory.blocks(self.memory_x(x), y, basis, log_weight)
        if x.shape[1] > FEW_ROWS:
            return RowStatistics(softmax, self.memory.add_up(blocks, y), None)
        return RowStatistics(softmax, None, torch.cat(list(blocks), dim=1))

    def read_rows(
        self, x: Tensor, y: Tensor, log_weight: Tensor | None, weight: Tensor, bias: Tensor, queries: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Attention's statistics of a block of rows; the last arguments are a `RowProjection`."""
        k, v = self.rows_keys_values(x, y, RowProjection(weight, bias, queries))
        return read_statistics(queries.expand(len(y), -1, -1, -1), k, v, log_weight)

    def attend(self, x: Tensor, y: Tensor, projection: RowProjection) -> Tensor:
        """Attention output of all blocks over rows, with autograd, (B, H, L_B, E)."""
        k, v = self.rows_keys_values(x, y, projection)
        queries = projection.queries.expand(len(x), -1, -1, -1)
        return F.scaled_dot_product_attention(queries, k, v) if x.shape[1] else torch.zeros_like(queries)

    # ------------------------------------------------------------------ statistics -> latents

    def count_embedding(self, count: Tensor) -> Tensor | float:
        """Embedding of the effective number of rows, (B,) -> (B, 1, D); 0 without `count_input`."""
        if self.embed_count is None:
            return 0.0
        count = count.clamp(max=self.config.max_count)
        return self.embed_count(torch.stack([count.log1p() / 4, (1 + count).rsqrt()], dim=-1)).unsqueeze(1)

    def latents(self, attended: Tensor, count: Tensor) -> tuple[Tensor, ...]:
        """Keys and values of every block's latents for its decoder, and coefficients of the readout, if any."""
        per_block = attended.unflatten(1, (self.config.n_blocks, -1)).unbind(1)  # (B, heads, L_B, E) each
        latents = (self.input_latents + self.count_embedding(count)).expand(len(attended), -1, -1)
        found: list[Tensor] = []
        for seen, block, decoder in zip(per_block, self.blocks, self.decoders, strict=True):
            latents = block(merge_heads(seen), latents)  # (B, L_I, D)
            found += decoder.cross.keys_values(latents)
        return *found, *([] if self.readout is None else [self.readout(latents)])

    def latents_memory(
        self,
        attended: Tensor,
        count: Tensor,
        sums: Sums | None = None,
        basis: Basis | None = None,
        covariances: Covariances | None = None,
    ) -> Memory:
        """The latents of all blocks and the memory's posterior, as queries need them.

        Parameters
        ----------
        attended : Tensor (B, H, L_B, E)
            Attention output over the rows, heads of all blocks.
        count : Tensor (B,)
            Sum of the row weights.
        sums, basis, covariances : optional
            As `ConjugateMemory.posterior` takes them.
        """
        posterior = None
        if self.memory is not None and sums is not None:
            posterior = self.memory.posterior(sums, count, basis, covariances)
        return Memory(self.latents(attended, count), posterior, basis)

    # ------------------------------------------------------------------ latents -> predictions

    def query(self, x: Tensor, memory: Memory, count: Tensor, hints: Tensor | None = None) -> Normal:
        """Predictive distribution of the targets of rows `x`, (B or 1, M, d) -> (B, M, dy).

        `hints` are what the conjugate memory says of them, see `remembered`, if
        that is known already, (B, M, n_hints).
        """
        dtype = torch.float64 if self.input_latents.dtype == torch.float64 else torch.float32
        return self._predict(x, memory, count, hints, dtype).marginals

    def remembered(self, x: Tensor, memory: Memory, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Parts]:
        """What the conjugate memory says of the targets of rows: hints (B, M, n_hints), and all of it.

        `dtype` is that of products, see `ConjugateMemory.parts`.
        """
        assert self.memory is not None
        assert memory.posterior is not None
        parts = self.memory.parts(self.memory_x(x), memory.posterior, memory.basis, dtype)
        return self.memory.mixture(parts, memory.posterior)[1], parts

    def _predict(
        self,
        x: Tensor,
        memory: Memory,
        count: Tensor,
        hints: Tensor | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> Prediction:
        known = x if memory.basis is None else memory.basis.columns(x)  # (B or 1, M, d)
        parts = None
        if hints is None and memory.posterior is not None:
            hints, parts = self.remembered(x, memory, dtype)
        mean, std, h = self.decode(known, count, hints, *memory.latents)
        return Prediction(Normal(mean, std, validate_args=False), h, parts)

    def decode(self, x: Tensor, count: Tensor, hints: Tensor | None, *latents: Tensor) -> tuple[Tensor, ...]:
        """Means, standard deviations (B, M, dy) and encodings (B, M, D) of rows, given hints and what `latents` are."""
        features = self.features(self.bound_x(x)).expand(len(count), -1, -1)  # (B, M, F)
        inputs, start, believed = features, None, None
        if hints is not None:
            mean, log_std, others, believed = hints.tensor_split([k * self.config.dim_y for k in (1, 2, -1)], -1)
            start = Normal(mean, log_std.exp(), validate_args=False)  # in the dtype of what is said
            hints = torch.cat([self.bound(mean), log_std, others], dim=-1).clamp(-LARGEST_HINT, LARGEST_HINT)
            if self.gate is None:
                inputs = torch.cat([features, hints.to(features.dtype)], dim=-1)
        h = self.embed_query(inputs) + self.count_embedding(count)  # (B, M, D)
        for i, decoder in enumerate(self.decoders):
            h = decoder(h, KeyValue(*latents[2 * i : 2 * i + 2]))
        offset = None if self.readout is None else features @ latents[-1]
        if self.gate is None or hints is None or start is None or believed is None:
            found = self.head(h, offset, start, believed)
        else:
            found = self.gate(h, self.head(h, offset), start, believed, hints)
        return found.mean, found.stddev, h

    def joint(
        self, x: Tensor, memory: Memory, count: Tensor, hints: Tensor | None = None, covariance: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mean and covariance of the targets of rows `x`, (B or 1, M, d) -> (B, M, dy), (B, dy, M, M) in float64.

        Correlations are the conjugate memory's, if there is one, corrected by
        the not-diagonal head, if there is one. Marginals are those of `query`.
        With `hints`, the memory's `covariance` (B, dy, M, M) is given, too.
        """
        marginals, h, parts = self._predict(x, memory, count, hints)
        std = marginals.stddev.double().mT  # (B, dy, M)
        correlation = None
        if parts is not None and self.memory is not None and memory.posterior is not None:
            covariance = self.memory.covariance(self.memory_x(x), parts, memory.posterior, memory.basis)
        if covariance is not None:
            scale = covariance.double().diagonal(dim1=2, dim2=3).rsqrt()
            correlation = scale.unsqueeze(-1) * covariance.double() * scale.unsqueeze(-2)
        if self.correlations is not None:
            correlation = self.correlations(h, correlation)
        if correlation is None:
            return marginals.mean, torch.diag_embed(std.square())
        return marginals.mean, std.unsqueeze(-1) * correlation * std.unsqueeze(-2)

    def forward(
        self,
        x: Tensor,
        y: Tensor,
        x_target: Tensor,
        points: Tensor | None = None,
        ratio: Tensor | None = None,
        hints: Tensor | None = None,
    ) -> Normal:
        """Predictive distribution of `x_target` given the context rows (x, y).

        Parameters
        ----------
        x : Tensor (B, N, dx)
            Context features; N may be 0.
        y : Tensor (B, N, dy)
        x_target : Tensor (B, M, dx)
        points : Tensor (B, p, dx), optional
            Inducing points of the conjugate memory, if its features are not
            learned; none by default.
        ratio : Tensor (B,), optional
            Signal-to-noise ratio; any by default.
        hints : Tensor (B, M, n_hints), optional
            What the memory says of the targets, if that is known already, see
            `remembered`; the context is then not read into it.

        Returns
        -------
        torch.distributions.Normal
            With mean and std of shape (B, M, dy).
        """
        return self.query(x_target, *self.condition(x, y, points, ratio, reads=hints is None), hints)

    def alone(self, x: Tensor, y: Tensor, x_target: Tensor) -> Normal:
        """What the blocks of a network with a gate predict without its memory; arguments are those of `forward`."""
        return self.query(x_target, *self.condition(x, y, reads=False))

    def condition(
        self, x: Tensor, y: Tensor, points: Tensor | None = None, ratio: Tensor | None = None, reads: bool = True
    ) -> tuple[Memory, Tensor]:
        """What `query` and `joint` need of context rows, with autograd: memory, and the number of rows (B,).

        Unless it `reads`, the conjugate memory, if there is one, stays empty.
        """
        count = x.new_full((len(x),), float(x.shape[1]))
        attended = self.attend(x, y, self.row_projection())  # (B, H, L_B, E)
        if self.memory is None or not reads:
            return self.latents_memory(attended, count), count
        basis = None
        if self.memory.embed is None:
            basis = Basis.of_points(x[:, :0] if points is None else points, ratio, self.config.memory_features)
        sums = self.memory.read(self.memory_x(x), y, basis)
        return self.latents_memory(attended, count, sums, basis), count
