"""Covariances of the weights of K Bayesian linear regressions, and their update by a few rows."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from scipy.linalg import eigh
from torch import Tensor

# Where the mean square of a feature is larger than this, some rows are far beyond all others. That of lines is in the
# hundreds at most.
_FAR = 1000.0

# A row makes the variance of its own prediction smaller by this factor at most, where covariances are updated: as many
# units of the last place are lost.
MAX_GAIN = 100.0


class Covariances(NamedTuple):
    """Covariances of the regressions' weights relative to the noise, and what else their features alone decide.

    That of regression k is ``R (S - S U^T (1 + U S U^T)^-1 U S) R^T``, S the diagonal
    matrix of its shrinkage: rows that were read since the decomposition, U in
    the basis R, are taken into account as in Woodbury's identity, at a cost in
    proportion to their number. G is 1 if regressions share the root, and K if not.
    """

    root: Tensor  # R, (B, G, F, F)
    shrinkage: Tensor  # (B, K or 1, F)
    log_determinant: Tensor  # of the priors' covariances times the precisions, (B, K, 1)
    weight: Tensor  # sum of the weights of the rows that were read, (B,)
    rows: Tensor | None = None  # U, times roots of weights, (B, r, F); only with a shared root
    inverse: Tensor | None = None  # of the Cholesky factors of 1 + U S U^T, (B, K, r, r)

    @classmethod
    def of_shared_features(cls, a: Tensor, log_tau: Tensor, weight: Tensor) -> Covariances:
        """Given sums of products (B, F, F), and the priors' log standard deviations (K, F): multiples of one.

        One eigendecomposition serves all.
        """
        log_common = log_tau.mean(0)
        inverse_ratio = (-2 * (log_tau - log_common).mean(1, keepdim=True)).exp()  # (K, 1)
        tau = log_common.exp().unsqueeze(-1)
        eigenvalues, vectors = _eigen(tau * a * tau.mT, weight)
        precision = inverse_ratio + eigenvalues.clamp(min=0.0).unsqueeze(1)  # (B, K, F)
        log_determinant = (precision / inverse_ratio).log().sum(-1, keepdim=True)
        return cls((tau * vectors).unsqueeze(1), 1 / precision, log_determinant, weight)

    @classmethod
    def of_separate_priors(cls, a: Tensor, log_tau: Tensor, weight: Tensor) -> Covariances:
        """The same of any priors: with a factor each, which has a gradient wherever eigenvalues coincide, too."""
        tau = log_tau.exp()
        cholesky = _cholesky_of_one_plus(tau.unsqueeze(-1) * a.unsqueeze(1) * tau.unsqueeze(-2))  # (B, K, F, F)
        log_determinant = 2 * cholesky.diagonal(dim1=-2, dim2=-1).log().sum(-1, keepdim=True)
        root = torch.linalg.solve_triangular(cholesky, torch.diag_embed(tau), upper=False).mT
        return cls(root, torch.ones_like(root[:, :1, 0]), log_determinant, weight)

    @property
    def n_rows(self) -> int:
        """Number of rows that were read since the decomposition."""
        return 0 if self.rows is None else self.rows.shape[1]

    def updated(self, features: Tensor, weight: Tensor) -> Covariances | None:
        """After reading rows of these features, times the roots of their weights, (B, n, F), and their sum (B,).

        Regressions share the root. None if a row tells so much that too many
        digits would be lost, as the first rows do, and those far from all others.
        """
        new = features @ self.root[:, 0]  # (B, n, F)
        shrunk = new.unsqueeze(1) * self.shrinkage.unsqueeze(2)  # (B, K, n, F)
        block = _of_shared(shrunk, new.mT)  # (B, K, n, n)
        block.diagonal(dim1=-2, dim2=-1).add_(1.0)
        corner = self._taken(shrunk)  # (B, K, n, r)
        if corner is not None:
            block = block - corner @ corner.mT
        factor, failed = torch.linalg.cholesky_ex(block)
        if failed.any() or factor.diagonal(dim1=-2, dim2=-1).max() > MAX_GAIN**0.5:
            return None
        inverse = torch.linalg.solve_triangular(factor, torch.eye(block.shape[-1]).to(factor), upper=False)
        weight = self.weight + weight
        log_determinant = self.log_determinant + 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1, keepdim=True)
        if corner is None or self.rows is None or self.inverse is None:
            return self._replace(log_determinant=log_determinant, weight=weight, rows=new, inverse=inverse)
        n_old, n_new = self.n_rows, new.shape[1]
        whole = inverse.new_zeros(*inverse.shape[:2], n_old + n_new, n_old + n_new)
        whole[..., :n_old, :n_old] = self.inverse
        whole[..., n_old:, :n_old] = -inverse @ (corner @ self.inverse)
        whole[..., n_old:, n_old:] = inverse
        rows = torch.cat([self.rows, new], dim=1)
        return self._replace(log_determinant=log_determinant, weight=weight, rows=rows, inverse=whole)

    def times(self, moments: Tensor) -> Tensor:
        """The regressions' covariances times columns, both in the basis R, (B, G, F, n) -> (B, K, F, n)."""
        shrunk = self.shrinkage.unsqueeze(-1) * moments
        taken = self._taken(shrunk.mT)  # (B, K, n, r)
        if taken is None or self.rows is None or self.inverse is None:
            return shrunk
        return shrunk - self.shrinkage.unsqueeze(-1) * _of_shared(taken @ self.inverse, self.rows).mT

    def combinations(self, weights: Tensor) -> Tensor:
        """Weights of the features, given those in the basis R, (B, K, F, n) -> (B, K, F, n)."""
        if self.root.shape[1] > 1:
            return self.root @ weights
        return _of_shared(weights.mT, self.root.squeeze(1).mT).mT

    def variances(self, white: Tensor) -> Tensor:
        """Variances of combinations of the weights, in the basis R, (B, G, M, F) -> (B, K, M)."""
        if self.rows is not None:
            shrunk = white * self.shrinkage.unsqueeze(2)
            taken = self._taken(shrunk)
            assert taken is not None
            return (shrunk * white).sum(-1) - taken.square().sum(-1)
        shrinkage, squares = self.shrinkage.to(white.dtype), white.square()
        if white.shape[1] == 1:
            return (squares.squeeze(1) @ shrinkage.mT).mT
        return (squares * shrinkage.unsqueeze(2)).sum(-1)

    def _taken(self, shrunk: Tensor) -> Tensor | None:
        """Of shrunk rows of the basis R (B, K, M, F), what the rows read since take off, halfway, (B, K, M, r)."""
        if self.rows is None or self.inverse is None:
            return None
        return _of_shared(shrunk, self.rows.mT) @ self.inverse.mT


def _eigen(a: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and vectors of sums over rows of such a weight, (B, F, F) -> (B, F) and (B, F, F).

    Of most algorithms, all have errors in proportion to the largest eigenvalue, and
    one faulty reading would decide how precise the others are. Those of QR
    iteration are close to being in proportion to each, if the largest come first;
    of such matrices see Barlow and Demmel, "Computing accurate eigensystems of
    scaled diagonally dominant matrices" (1990). It takes several times as long.
    """
    squares = a.diagonal(dim1=1, dim2=2)
    if len(a) > 1 or not (squares > _FAR * weight.amax()).any():
        return torch.linalg.eigh(a)
    order = squares[0].argsort(descending=True, stable=True)
    graded = a[0][order][:, order].cpu().numpy()
    eigenvalues, found = (torch.from_numpy(part).to(a.device) for part in eigh(graded, lower=True, driver="ev"))
    vectors = torch.empty_like(a[0])
    vectors[order] = found
    return eigenvalues.unsqueeze(0), vectors.unsqueeze(0)


def _of_shared(a: Tensor, b: Tensor) -> Tensor:
    """The product of all K matrices (B, K, n, F) with one, (B, F, m), which is not copied for each."""
    return (a.flatten(1, 2) @ b).unflatten(1, a.shape[1:3])


def _cholesky_of_one_plus(a: Tensor) -> Tensor:
    """Factor of 1 + a for a positive semidefinite up to rounding, (..., F, F); NaN for others.

    In exact arithmetic no jitter is needed. Rounding errors are relative to the
    size of a, and so is the jitter, which grows in the rare cases that the
    first is too small, as after subtractions.
    """
    n_features = a.shape[-1]
    identity = torch.eye(n_features, dtype=a.dtype, device=a.device)
    size = a.diagonal(dim1=-2, dim2=-1).abs().amax(-1)[..., None, None]
    relative = 4 * n_features * torch.finfo(a.dtype).eps
    while True:
        factor, failed = torch.linalg.cholesky_ex(a + (1 + relative * size) * identity)
        if not failed.any():
            return factor
        if relative > 1:
            return factor.masked_fill((failed > 0)[..., None, None], math.nan)
        relative *= 100
