"""Predictive heads: from queries' encodings, and the latents, to distributions over their targets."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Normal

from skcmanp.nn.embedding import mlp

# The factor by which a head may correct a memory's standard deviation, up or down, is at most exp of this.
MAX_LOG_CORRECTION = 3.0

# Learned factors carry at most this of the variance that a target gives to them. Without a bound, a few tasks in a
# hundred are predicted so surely and wrongly that they undo what all others gain.
MAX_LEARNED = 0.9


def _bounded_factor(raw: Tensor) -> Tensor:
    """What corrects a standard deviation."""
    return (MAX_LOG_CORRECTION * (raw / MAX_LOG_CORRECTION).tanh()).exp()


class GaussianHead(nn.Module):
    """Independent Gaussians, a mean and a standard deviation per target dimension.

    ``std = min_std + (1 - min_std) softplus(raw)``. `offset`, (B, M, dy), is added
    to the mean. Given a prediction to start from, it corrects that: the mean by
    multiples of its std, of which a part is `believed`, (B, M, dy), and the std
    by a bounded factor.

    Parameters
    ----------
    dim, dim_y : int
    min_std : float
    corrects : bool, default=False
        Whether it is going to be given predictions to start from; it then
        starts by changing nothing.
    """

    def __init__(self, dim: int, dim_y: int, min_std: float, corrects: bool = False) -> None:
        super().__init__()
        self.min_std = min_std
        self.norm = nn.LayerNorm(dim)
        self.linear = nn.Linear(dim, 2 * dim_y)
        if corrects:
            nn.init.zeros_(self.linear.weight)
            nn.init.zeros_(self.linear.bias)

    def forward(
        self,
        h: Tensor,
        offset: Tensor | None = None,
        start: Normal | None = None,
        believed: Tensor | None = None,
    ) -> Normal:
        with torch.autocast(h.device.type, enabled=False):  # bfloat16 would round means and stds too coarsely
            h = self.norm(h.to(self.linear.weight.dtype))
            mean, raw = self.linear(h).chunk(2, dim=-1)  # (B, M, dy) each
        if start is None:
            std = self.min_std + (1 - self.min_std) * F.softplus(raw)
        else:
            mean = start.mean + start.stddev * mean * (1.0 if believed is None else believed)
            std = self.min_std + start.stddev * _bounded_factor(raw)
        if offset is not None:
            mean = mean + offset
        return Normal(mean, std, validate_args=False)


class Gate(nn.Module):
    """Mixes two predictions of the same targets, the network's own and a memory's, and corrects the mixture.

    The share of each starts at that of its precision. The mixture's mean is
    then corrected by multiples of its std, of which a part is `believed`, and
    its std by a bounded factor; both start by changing nothing. Jacobs et al.,
    "Adaptive mixtures of local experts" (1991), have gates.

    Parameters
    ----------
    dim, dim_y : int
    n_hints : int
        Of what the memory says beside its prediction.
    min_std : float
    """

    def __init__(self, dim: int, dim_y: int, n_hints: int, min_std: float) -> None:
        super().__init__()
        self.min_std = min_std
        self.norm = nn.LayerNorm(dim)
        self.mix = mlp(dim + n_hints + 2 * dim_y, dim, 3 * dim_y, 3)
        for weights in self.mix[-1].parameters():
            nn.init.zeros_(weights)

    def forward(self, h: Tensor, own: Normal, given: Normal, believed: Tensor, hints: Tensor) -> Normal:
        """The mixture of Normals of (B, M, dy), given encodings (B, M, D) and hints (B, M, n_hints)."""
        difference, log_ratio = own.mean - given.mean, (given.stddev / own.stddev).log()  # (B, M, dy)
        distance = difference / (own.variance + given.variance).sqrt()
        with torch.autocast(h.device.type, enabled=False):
            h, *others = (part.to(self.norm.weight.dtype) for part in (h, hints, distance, log_ratio))
            logit, shift, raw = self.mix(torch.cat([self.norm(h), *others], dim=-1)).chunk(3, dim=-1)
        share = (2 * log_ratio + logit).sigmoid()
        variance = share * own.variance + (1 - share) * (given.variance + share * difference.square())
        std = variance.sqrt()
        mean = given.mean + share * difference + std * shift * believed
        # Both have a least std already.
        above = (std - self.min_std).clamp(min=1e-3 * self.min_std)
        std = self.min_std + above * _bounded_factor(raw)
        return Normal(mean, std, validate_args=False)


class CorrelationHead(nn.Module):
    """Correlations between targets: some to start from, and learned ones of low rank.

    Every target shares its variance out between the correlations that are
    given, R, a vector of factors u, and itself alone, so the correlations are
    ``g_i g_j R_ij + u_i . u_j`` beside a diagonal of ones. They are positive
    definite if R is, marginals stay what they are, and as shares and factors
    of a target are functions of its own encoding, the correlation of two does
    not depend on which others there are. A tenth of what is given to learned
    factors remains the target's own.

    Feng et al. (arXiv 2305.14567, section 3.3) have a network over all targets
    of a block here; then it does.

    Parameters
    ----------
    dim, dim_y : int
    rank : int
        Number of factors.
    corrects : bool
        Whether it is going to be given correlations to start from; it then
        starts by changing them little.
    """

    def __init__(self, dim: int, dim_y: int, rank: int, corrects: bool) -> None:
        super().__init__()
        self.rank, self.dim_y, n_shares = rank, dim_y, 3 if corrects else 2
        self.norm = nn.LayerNorm(dim)
        self.factors = mlp(dim, dim, dim_y * (rank + n_shares), 2)
        self.register_buffer("bias", torch.tensor([0.0, 0.0, 4.0])[:n_shares], persistent=False)

    def forward(self, h: Tensor, correlation: Tensor | None = None) -> Tensor:
        """Correlations given encodings (B, M, D), and those to start from, (B, dy, M, M) in float64."""
        with torch.autocast(h.device.type, enabled=False):
            out = self.factors(self.norm(h.to(self.norm.weight.dtype)))
        out = out.unflatten(-1, (self.dim_y, -1)).transpose(1, 2).double()  # (B, dy, M, rank + shares)
        # Roots of the shares of the variance: of the target alone, of learned factors, of given correlations.
        _, learned, *given = (
            (out[..., self.rank :] + self.bias).softmax(-1).sqrt().split(1, dim=-1)
        )  # (B, dy, M, 1) each
        u = MAX_LEARNED**0.5 * learned * F.normalize(out[..., : self.rank], dim=-1)
        total = u @ u.mT  # (B, dy, M, M)
        if correlation is not None:
            total = total + given[0] * correlation * given[0].mT
        total.diagonal(dim1=2, dim2=3).fill_(1.0)
        return total


class LinearReadout(nn.Module):
    """Coefficients of the features of x, from the latents, (B, L_I, D) -> (B, F, dy).

    The product of features and coefficients is a part of the mean. They start
    at zero.
    """

    def __init__(self, n_latents: int, dim: int, dim_features: int, dim_y: int) -> None:
        super().__init__()
        self.shape = (dim_features, dim_y)
        self.norm = nn.LayerNorm(dim)
        self.linear = nn.Linear(n_latents * dim, dim_features * dim_y)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, latents: Tensor) -> Tensor:
        return self.linear(self.norm(latents).flatten(1)).unflatten(1, self.shape)
