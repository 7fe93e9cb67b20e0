"""Covariances that are updated by rows are those that are found of all rows."""

import pytest
import torch

from skcmanp.nn.covariances import Covariances, _cholesky_of_one_plus

F, K = 12, 3
LOG_TAU = torch.linspace(-0.5, 2.0, K).double().unsqueeze(1).expand(K, F)


def features(n, seed=0):
    return torch.randn(1, n, F, generator=torch.Generator().manual_seed(seed)).double()


def found(rows):
    return Covariances.of_shared_features(rows.mT @ rows, LOG_TAU, torch.tensor([float(rows.shape[1])]).double())


def dense(covariances):
    """Of all regressions, (K, F, F)."""
    identity = torch.eye(F).double().view(1, 1, F, F)
    return covariances.combinations(covariances.times(covariances.root.mT @ identity))[0]


@pytest.mark.parametrize("chunks", [(1,), (1, 1, 1), (5, 1, 4), (20,)])
def test_updated_covariances_are_those_of_all_rows(chunks):
    rows = features(40)
    updated, expected = found(rows), found(torch.cat([rows, *(features(n, 1 + n) for n in chunks)], dim=1))
    for n in chunks:
        updated = updated.updated(features(n, 1 + n), torch.tensor([float(n)]))
    assert updated.n_rows == sum(chunks)
    torch.testing.assert_close(dense(updated), dense(expected), rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(updated.log_determinant, expected.log_determinant, rtol=1e-12, atol=0)
    assert torch.equal(updated.weight, expected.weight)
    target = features(7, 99).unsqueeze(1)
    variances, others = (each.variances(target @ each.root) for each in (updated, expected))
    torch.testing.assert_close(variances, others, rtol=1e-10, atol=1e-14)


def test_covariances_are_inverses():
    rows = features(40)
    precision = (rows.mT @ rows) + torch.diag_embed((-2 * LOG_TAU).exp())  # (K, F, F)
    torch.testing.assert_close(dense(found(rows)), torch.linalg.inv(precision))
    determinant = torch.linalg.slogdet(precision).logabsdet + 2 * LOG_TAU.sum(1)
    torch.testing.assert_close(found(rows).log_determinant[0, :, 0], determinant)


@pytest.mark.parametrize("size", [1e4, 1e6, 1e9])
@pytest.mark.parametrize("column", [0, 5, F - 1])
@pytest.mark.parametrize("n_far", [1, 3])
def test_rows_far_beyond_all_others_leave_them_their_digits(size, column, n_far):
    rows = features(40)
    rows[:, :n_far, column] = size
    # With a diagonal of one the matrix has a Cholesky factor that is precise, whatever the largest entry was.
    precision = (rows.mT @ rows) + torch.diag_embed((-2 * LOG_TAU).exp())  # (K, F, F)
    scale = precision.diagonal(dim1=1, dim2=2).rsqrt()
    factor = torch.linalg.cholesky(scale.unsqueeze(1) * precision * scale.unsqueeze(2))
    expected = scale.unsqueeze(1) * torch.cholesky_inverse(factor) * scale.unsqueeze(2)
    determinant = 2 * (factor.diagonal(dim1=1, dim2=2).log() - scale.log()).sum(1) + 2 * LOG_TAU.sum(1)
    updated = found(rows[:, :-4]).updated(rows[:, -4:], torch.tensor([4.0]))
    for covariances in (found(rows), updated):
        relative = dense(covariances) / scale.unsqueeze(1) / scale.unsqueeze(2)
        torch.testing.assert_close(relative, expected / scale.unsqueeze(1) / scale.unsqueeze(2), rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(covariances.log_determinant[0, :, 0], determinant, rtol=1e-10, atol=0)


def test_priors_of_any_kind_have_the_same_covariances_where_they_are_alike():
    rows = features(40)
    separate = Covariances.of_separate_priors(rows.mT @ rows, LOG_TAU, torch.ones(1))
    covariance = separate.root @ separate.root.mT  # shrinkage is one
    torch.testing.assert_close(covariance[0], dense(found(rows)))
    torch.testing.assert_close(separate.log_determinant, found(rows).log_determinant)
    target = features(7, 99).unsqueeze(1)
    shared = found(rows)
    torch.testing.assert_close(separate.variances(target @ separate.root), shared.variances(target @ shared.root))


def test_a_row_that_tells_too_much_is_left_to_a_decomposition():
    few = found(features(2))
    assert few.updated(1e3 * features(1, 5), torch.ones(1)) is None
    assert few.updated(1e-3 * features(1, 5), torch.ones(1)) is not None


def test_matrices_that_no_rows_have_do_not_keep_it_busy_for_ever():
    good = torch.eye(3, dtype=torch.float64)
    factor = _cholesky_of_one_plus(torch.stack([good, good * torch.nan]))
    assert factor[1].isnan().all()
    assert factor[0].isfinite().all()
