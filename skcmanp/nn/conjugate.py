"""The conjugate memory: Bayesian linear regression on features of x.

Softmax attention from fixed queries sees a context through soft bins. A linear
model with Gaussian weights sees it exactly, and its sufficient statistics are
plain sums over rows, so they are as additive as the attention's.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from skcmanp.adaptation import Basis
from skcmanp.nn.covariances import Covariances
from skcmanp.nn.features import LearnedFeatures
from skcmanp.products import gram

# The signal-to-noise ratio may be this many times what was fitted to the first rows. Where features cannot follow a
# function, ever more rows would make ever larger weights likely, which are right between the rows and wild beyond them.
MAX_GROWTH = 4.0

# Local standard deviations, and those of the noise with what is missed, are told relative to the mixture's, or the
# noise's, within a factor of exp of this.
_LOG_LOCAL = 3.0

# Corrections of means are multiples of std, which far from all rows is large and says little of the mean. They are
# believed in full where the noise has at least one in so many parts of the variance, and then ever less; until std is
# larger than that of all targets by this factor, where the memory knows nothing at all: by what the first rows show,
# for beyond them it knows trends.
_BELIEVED = 3.0
_LOST = 1.5

# Rows whose features are made at once: those of more leave the cache.
READ_ROWS = 512


class Sums(NamedTuple):
    """What the memory has seen of a context; sums over rows with weights w, float64."""

    a: Tensor  # sum w psi psi^T, (B, F, F)
    b: Tensor  # sum w psi y, (B, F, dy)
    c: Tensor  # sum w y^2, (B, dy)
    d: Tensor  # sum w psi y^2, (B, F, dy)


@dataclass(frozen=True, eq=False)
class Posterior:
    """The K regressions given a context, and how likely each is."""

    white: Tensor  # posterior means of the weights, and then of those of a regression on y^2, in the basis of the
    # covariances' root, (B, K, F, 2 dy)
    covariances: Covariances  # of the weights, relative to the noise
    noise: Tensor  # expected noise variance, (B, K, dy)
    probability: Tensor  # of each regression, (B, K, dy)

    @property
    def coefficients(self) -> Tensor:
        """Posterior means of the weights, (B, K, F, dy)."""
        return self.covariances.combinations(self.white).chunk(2, dim=-1)[0]

    @functools.cached_property
    def of_features(self) -> Tensor:
        """What turns features into the means of all K, and into the squares, side by side, (B, F, (K + 1) dy)."""
        return self._beside(self.covariances.combinations(self.white))

    @functools.cached_property
    def of_white(self) -> Tensor:
        """The same for features in the basis of the root, if all regressions share it."""
        return self._beside(self.white)

    def _beside(self, weights: Tensor) -> Tensor:
        means, squares = weights.chunk(2, dim=-1)
        mean_squares = (self.probability.unsqueeze(2) * squares).sum(1)
        return torch.cat([means.transpose(1, 2).flatten(2), mean_squares], dim=-1)


class Parts(NamedTuple):
    """What each of the K regressions says of rows."""

    means: Tensor  # (B, K, M, dy)
    white: Tensor  # features in the basis of the covariances' root, (B, G, M, F)
    signal: Tensor  # their variances, relative to the noise's, (B, K, M)
    noise: Tensor  # variance of the noise relative to its mean, (B or 1, M, 1)
    missed: Tensor  # variance of what the features miss, (B or 1, M, dy or 1)
    scale: Tensor  # standard deviation of the process that they miss, (B or 1, M, dy or 1)
    shown: Tensor  # missed, at the scale that the first rows show
    squares: Tensor  # the regression on y^2, (B, M, dy)


class ConjugateMemory(nn.Module):
    """K Bayesian linear regressions on the same features, which differ in the prior of their weights.

    With features psi(x), weights ~ N(0, sigma^2 diag(tau_k^2)) and sigma^2 ~
    InverseGamma(a, b_k), everything is closed form. Evidence decides between
    the regressions, and the prediction has the moments of their mixture.
    Bishop, "Pattern Recognition and Machine Learning" (2006), sections 2.3.6 and 3.5.

    Features are those of an adaptation to the first rows, whatever its parts
    are, or learned ones.

    Parameters
    ----------
    features : LearnedFeatures or int
        With ``prior(n)``, n choices of tau for a signal-to-noise ratio of one;
        or the number of features of adaptations, whose priors are one.
    dim_y : int
    n_ratios : int
        Number of different ratios.
    n_priors : int, default=1
        Number of different priors at each ratio; K is `n_ratios` times this.
    ratio : tuple of float, default=(0.5, 150)
        Smallest and largest initial ratio.
    """

    def __init__(
        self,
        features: LearnedFeatures | int,
        dim_y: int,
        n_ratios: int,
        n_priors: int = 1,
        ratio: tuple[float, float] = (0.5, 150.0),
    ) -> None:
        super().__init__()
        self.embed = None if isinstance(features, int) else features
        log_ratio = torch.linspace(math.log(ratio[0]), math.log(ratio[1]), n_ratios)
        log_prior = torch.zeros(1, features) if isinstance(features, int) else features.log_prior(n_priors)
        log_tau = log_prior + log_ratio.view(-1, 1, 1)  # (ratios, priors, F)
        self.log_tau = nn.Parameter(log_tau.flatten(0, 1))  # (K, F)
        # Signal and noise together have a variance of about one, give or take an order of magnitude.
        self.log_shape = nn.Parameter(torch.tensor(math.log(0.5)))  # of a - 1
        log_rate = math.log(0.5) - torch.log1p((2 * log_ratio).exp())
        self.log_rate = nn.Parameter(log_rate.repeat_interleave(n_priors))  # (K,)
        self.n_hints = (4 + 3 * n_ratios * n_priors) * dim_y + 1

    def features(self, x: Tensor, basis: Basis | None, beside: Sequence[Tensor] = ()) -> tuple[Tensor, ...]:
        """psi(x), and the variance that it misses of a process of variance one, (B, N, d) -> (B, N, F), (B, N).

        Columns that are to stand `beside` the features follow them.
        """
        if self.embed is not None:
            psi = self.embed(x.to(self.log_tau.dtype)).double()
            return torch.cat([psi, *beside], dim=-1), torch.zeros_like(psi[..., 0])
        assert basis is not None
        return basis.features(x, beside)

    def read(self, x: Tensor, y: Tensor, basis: Basis | None, log_weight: Tensor | None = None) -> Sums:
        """Sums of some rows, which all count alike, wherever noise is large or small.

        Less weight where it is large would be more efficient if it stayed where
        the first rows showed it. On streams, which move on, predictions are
        better without.

        Parameters
        ----------
        x : Tensor (B or 1, N, dx)
        y : Tensor (B, N, dy)
        basis : Basis, optional
            Of an adaptation; learned features need none.
        log_weight : Tensor (N,), optional
            Logarithm of the row weights.
        """
        return self.add_up(self.blocks(x, y, basis, log_weight), y)

    def blocks(self, x: Tensor, y: Tensor, basis: Basis | None, log_weight: Tensor | None = None) -> Iterator[Tensor]:
        """Rows as `add_up` takes them, in blocks; arguments are those of `read`.

        Features, targets and their squares are side by side, times the roots of
        the weights, (B, n, F + 2 t). Batch entries that share the features are
        one, with t targets.
        """
        y = _beside(y.double(), len(x))
        for start in range(0, max(x.shape[1], 1), READ_ROWS):
            rows = slice(start, start + READ_ROWS)
            block, missed = self.features(x[:, rows], basis, (y[:, rows], y[:, rows].square()))
            weight = torch.ones_like(missed) if basis is None else basis.weight(missed)
            if log_weight is not None:
                weight = weight * log_weight[rows].double().exp()
            yield block * weight.sqrt().unsqueeze(-1)

    def add_up(self, blocks: Iterable[Tensor], y: Tensor) -> Sums:
        """Sums of the rows of `blocks`, whose targets are y, (B, N, dy)."""
        moments, n_features = gram(blocks), self.log_tau.shape[-1]
        n_targets = (moments.shape[-1] - n_features) // 2
        a, b, d = moments[:, :n_features].split([n_features, n_targets, n_targets], dim=-1)
        c = moments.diagonal(dim1=1, dim2=2)[:, n_features : n_features + n_targets]
        if len(moments) < len(y):
            b, d = (t[0].unflatten(-1, (len(y), -1)).transpose(0, 1) for t in (b, d))  # (B, F, dy)
        return Sums(a, b, c.reshape(len(y), -1), d)

    def decompose(self, a: Tensor, count: Tensor, basis: Basis | None) -> Covariances:
        """What `posterior` needs of the features alone, and of the number of rows."""
        if basis is not None:
            # Without what was taken off rows that the features miss.
            count = basis.read_weight(a.diagonal(dim1=-2, dim2=-1))
        shares = self.embed is None  # the priors of adaptations' features are multiples of one
        make = Covariances.of_shared_features if shares else Covariances.of_separate_priors
        return make(a, self.log_tau.double(), count.double())

    def posterior(
        self, sums: Sums, count: Tensor, basis: Basis | None, covariances: Covariances | None = None
    ) -> Posterior:
        """The regressions given a context.

        Parameters
        ----------
        sums : Sums
            ``a`` may have one batch entry for all.
        count : Tensor (B,)
            Sum of the row weights.
        basis : Basis, optional
            Of an adaptation.
        covariances : Covariances, optional
            If these are known already; ``sums.a`` is not looked at then.
        """
        known = covariances
        if known is None:
            assert sums.a is not None
            known = self.decompose(sums.a, count, basis)
        moments = torch.cat([sums.b, sums.d], dim=-1).unsqueeze(1)  # (B, 1, F, 2 dy)
        white = (moments.mT @ known.root).mT  # (B, G, F, 2 dy)
        shrunk = known.times(white)  # (B, K, F, 2 dy)
        explained, _ = (white * shrunk).sum(-2).chunk(2, dim=-1)  # (B, K, dy)
        unexplained = (sums.c.unsqueeze(1) - explained).clamp(min=0.0)  # (B, K, dy)

        prior_shape, prior_rate = 1 + self.log_shape.double().exp(), self.log_rate.double().exp().view(1, -1, 1)
        shape = prior_shape + 0.5 * known.weight.view(-1, 1, 1)  # (B, 1, 1)
        rate = prior_rate + 0.5 * unexplained  # (B, K, dy)
        evidence = prior_shape * prior_rate.log() - shape * rate.log() - 0.5 * known.log_determinant
        if basis is not None:
            log_ratio = self.log_tau.mean(1).double()  # (K,)
            largest = (MAX_GROWTH * basis.ratio.double()).log().unsqueeze(-1)  # (B or 1, 1)
            largest = torch.maximum(largest, log_ratio.min())
            evidence = evidence.masked_fill((log_ratio > largest).unsqueeze(-1), -math.inf)
        return Posterior(shrunk, known, rate / (shape - 1), evidence.softmax(1))

    def parts(self, x: Tensor, posterior: Posterior, basis: Basis | None, dtype: torch.dtype = torch.float64) -> Parts:
        """What each regression says of rows, (B or 1, M, dx).

        `dtype` is that of the products that variances need, which are most of
        the work. In float32 they are known to a millionth of the noise's
        variance and of their own.
        """
        features, missed = self.features(x, basis)
        noise = scale = shown = torch.ones_like(missed).unsqueeze(-1)
        if basis is not None:
            noise, scale = basis.noise(x).unsqueeze(-1), _of_targets(basis.scale(x, missed), posterior)
            shown = _of_targets(basis.missed.scale.expand(1, 1, -1), posterior)
        missed, shown = (size.square() * missed.unsqueeze(-1) for size in (scale, shown))
        n_regressions, dim_y = posterior.noise.shape[1:]
        root = posterior.covariances.root
        if posterior.covariances.n_rows:  # then queries are few, and weights of the features themselves cost more
            white = features.unsqueeze(1) @ root
            told = white.squeeze(1) @ posterior.of_white
        else:
            white = features.to(dtype).unsqueeze(1) @ root.to(dtype)
            told = features @ posterior.of_features  # (B, M, (K + 1) dy)
        means = told[..., :-dim_y].unflatten(-1, (n_regressions, dim_y)).transpose(1, 2)  # (B, K, M, dy)
        signal = posterior.covariances.variances(white).double()
        return Parts(means, white, signal, noise, missed, scale, shown, told[..., -dim_y:])

    def mixture(self, parts: Parts, posterior: Posterior) -> tuple[Normal, Tensor]:
        """The mixture's mean and standard deviation, and what a network may want to know beside them.

        That is of its parts, of the noise and the variance that the features
        miss, and of the targets' local variance as their squares tell it. The
        last of them are for its head alone: which part of a correction of the
        means is to be believed.

        Normal of (B, M, dy), and hints (B, M, n_hints).
        """
        means, missed = parts.means, parts.missed.unsqueeze(1)  # (B, K, M, dy), (B, 1, M, dy or 1)
        relative = parts.noise.unsqueeze(1) + parts.signal.unsqueeze(-1)  # (B, K, M, 1)
        variances = relative * posterior.noise.unsqueeze(2) + missed  # (B, K, M, dy)
        probability = posterior.probability.unsqueeze(2)  # (B, K, 1, dy)
        mean = (probability * means).sum(1)  # (B, M, dy)
        spread = means - mean.unsqueeze(1)
        std = (probability * (variances + spread.square())).sum(1).sqrt()  # (B, M, dy)
        least = std.square() * math.exp(-2 * _LOG_LOCAL)
        local = torch.maximum(parts.squares - mean.square(), least).log() / 2 - std.log()
        details = [
            spread / std.unsqueeze(1),
            (0.5 * variances.log() - std.log().unsqueeze(1)),
            probability.expand_as(means),
        ]
        mean_noise = (posterior.probability * posterior.noise).sum(1).unsqueeze(1)  # (B, 1, dy)
        noise = (parts.noise + parts.missed / mean_noise).log().mean(-1, keepdim=True)
        believed = torch.ones_like(std)
        if self.embed is None:
            shown = std.square() + parts.shown - parts.missed
            believed = _BELIEVED * parts.noise * mean_noise / std.square() + (shown / _LOST**2).square()
            believed = believed.clamp(max=1.0)
        hints = torch.cat(
            [
                mean,
                std.log(),
                *(part.permute(0, 2, 1, 3).flatten(2) for part in details),
                local.clamp(max=_LOG_LOCAL),
                noise.clamp(max=_LOG_LOCAL),
                believed,
            ],
            dim=-1,
        )
        return Normal(mean, std, validate_args=False), hints

    def function_share(self, parts: Parts, posterior: Posterior) -> Tensor:
        """Share of the mixture's variance that is the function's: all but the expected noise, (B, M, dy)."""
        probability = posterior.probability.unsqueeze(2)  # (B, K, 1, dy)
        spread = parts.means - (probability * parts.means).sum(1, keepdim=True)  # (B, K, M, dy)
        signal = parts.signal.unsqueeze(-1) * posterior.noise.unsqueeze(2)
        function = (probability * (signal + spread.square())).sum(1) + parts.missed  # (B, M, dy)
        noise = (posterior.probability * posterior.noise).sum(1).unsqueeze(1) * parts.noise
        return function / (function + noise)

    def covariance(self, x: Tensor, parts: Parts, posterior: Posterior, basis: Basis | None) -> Tensor:
        """The mixture's covariance of the targets of several rows, noise included, (B, M, dx) -> (B, dy, M, M).

        Its diagonal holds the squares of the standard deviations of `mixture`.
        """
        means, probability = parts.means, posterior.probability  # (B, K, M, dy), (B, K, dy)
        spread = means - (probability.unsqueeze(2) * means).sum(1, keepdim=True)
        total = torch.einsum("bkd,bkmd,bknd->bdmn", probability, spread, spread)
        if basis is not None:
            scale = parts.scale.mT.unsqueeze(-1)  # (B or 1, dy or 1, M, 1)
            total = total + scale * basis.missed_covariance(x).unsqueeze(1) * scale.mT
        weight = (probability * posterior.noise)[..., None, None]  # (B, K, dy, 1, 1)
        # One by one: K matrices of all pairs of rows would be large.
        for k in range(means.shape[1]):
            white = parts.white[:, k % parts.white.shape[1]]
            shrinkage = posterior.covariances.shrinkage[:, k % posterior.covariances.shrinkage.shape[1]].unsqueeze(1)
            total = total + weight[:, k] * ((shrinkage * white) @ white.mT).unsqueeze(1)
        variance = self.mixture(parts, posterior)[0].variance.mT  # (B, dy, M)
        total.diagonal(dim1=2, dim2=3).copy_(variance)
        return total


def _beside(y: Tensor, n_batch: int) -> Tensor:
    """Targets of all batch entries side by side, if these are more than `n_batch`, (B, N, dy) -> (1, N, B dy)."""
    return y.transpose(0, 1).flatten(1).unsqueeze(0) if n_batch < len(y) else y


def _of_targets(scale: Tensor, posterior: Posterior) -> Tensor:
    """Scales of all targets, (1, M, t), as the posterior has these, (B, M, dy); one for all stays, (.., M, 1)."""
    n_batch, _, dim_y = posterior.noise.shape
    if scale.shape[-1] == 1:
        return scale
    scale = scale[0].unflatten(-1, (-1, dim_y)).transpose(0, 1)  # (groups of targets, M, dy)
    return scale.repeat_interleave(n_batch // len(scale), dim=0)
