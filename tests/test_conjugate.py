import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import multivariate_t
from skcmanp.effects import N_KNOTS, Effects
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct

from skcmanp.nn.conjugate import MAX_RATIO, ConjugateMemory, Sums
from skcmanp.nn.features import LearnedFeatures, MaternFeatures, Noise


def make(n_regressions=1, n_features=24, dim_x=2, dim_y=1, kernel="learned"):
    torch.manual_seed(0)
    features = LearnedFeatures(dim_x, n_features, (0.5, 5.0)) if kernel == "learned" else MaternFeatures(n_features)
    return ConjugateMemory(features, dim_y, n_regressions, ratio=(3.0, 100.0)).double()


def rows(n, dim_x=2, dim_y=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3, n, dim_x, generator=generator).double()
    return x, torch.sin(2 * x).sum(-1, keepdim=True) + 0.1 * torch.randn(3, n, dim_y, generator=generator)


def basis(memory, n_points=0, ratio=2.0):
    return memory.basis(rows(n_points, seed=7)[0], torch.full((3,), ratio))


def predict(memory, x, y, x_target, log_weight=None, n_points=0):
    with torch.no_grad():
        count = torch.full((len(y),), float(x.shape[1]) if log_weight is None else log_weight.exp().sum().item())
        b = basis(memory, n_points)
        posterior = memory.posterior(memory.read(x, y, b, log_weight), count, b)
        return memory.mixture(memory.parts(x_target, posterior, b), posterior)


def weighted_features(memory, x, k=0):
    with torch.no_grad():
        return memory.features(x, basis(memory))[0] * memory.log_tau[k].exp()


@pytest.mark.parametrize("n", [0, 1, 5, 200])
def test_one_regression_is_a_gaussian_process_of_unknown_noise(n):
    memory, (x, y), (x_target, _) = make(), rows(n), rows(7, seed=1)
    distribution, _ = predict(memory, x, y, x_target)
    psi, psi_target = weighted_features(memory, x), weighted_features(memory, x_target)
    shape, rate = 1 + memory.log_shape.exp().item(), memory.log_rate.exp().item()
    for i in range(3):
        if n == 0:
            mean, covariance, fit = np.zeros(7), (psi_target[i] @ psi_target[i].T).numpy(), 0.0
        else:
            process = GaussianProcessRegressor(DotProduct(0.0, "fixed"), alpha=1.0, optimizer=None)
            process.fit(psi[i].numpy(), y[i, :, 0].numpy())
            mean, covariance = process.predict(psi_target[i].numpy(), return_cov=True)
            fit = process.y_train_ @ process.alpha_
        noise = (rate + 0.5 * fit) / (shape + 0.5 * n - 1)
        np.testing.assert_allclose(distribution.mean[i, :, 0], mean, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(distribution.variance[i, :, 0], noise * (1 + covariance.diagonal()), rtol=1e-6)


def test_evidence_decides_between_regressions():
    memory, (x, y) = make(n_regressions=3), rows(30)
    with torch.no_grad():
        posterior = memory.posterior(memory.read(x, y, basis(memory)), torch.full((3,), 30.0), basis(memory))
        shape, rate = 1 + memory.log_shape.exp().item(), memory.log_rate.exp()
    log_density = np.empty((3, 3))
    for i in range(3):
        for k in range(3):
            psi = weighted_features(memory, x[i], k).numpy()
            scale = rate[k].item() / shape * (np.eye(30) + psi @ psi.T)
            log_density[i, k] = multivariate_t(shape=scale, df=2 * shape).logpdf(y[i, :, 0].numpy())
    np.testing.assert_allclose(posterior.probability[..., 0], softmax(log_density, axis=1), rtol=1e-6)


def test_the_mixture_has_its_moments_and_hints_describe_its_parts():
    memory, (x, y), (x_target, _) = make(n_regressions=3), rows(6), rows(5, seed=1)
    with torch.no_grad():
        posterior = memory.posterior(memory.read(x, y, basis(memory)), torch.full((3,), 6.0), basis(memory))
        distribution, hints = memory.mixture(memory.parts(x_target, posterior, basis(memory)), posterior)
    assert hints.shape == (3, 5, memory.n_hints)
    mean, log_std = hints[..., :1], hints[..., 1:2]
    spread, log_ratio, probability = hints[..., 2:11].unflatten(-1, (3, 3)).unbind(-2)
    means, stds = mean + spread * log_std.exp(), (log_ratio + log_std).exp()
    torch.testing.assert_close((probability * means).sum(-1, keepdim=True), distribution.mean)
    second = (probability * (stds**2 + means**2)).sum(-1, keepdim=True)
    torch.testing.assert_close((second - distribution.mean**2).sqrt(), distribution.stddev)


@pytest.mark.parametrize("kernel", ["learned", "matern52"])
def test_every_regression_is_what_it_would_be_alone(kernel):
    memory, (x, y), (x_target, _) = make(n_regressions=4, kernel=kernel), rows(40), rows(5, seed=1)
    b, count = basis(memory, 15 if kernel == "matern52" else 0), torch.full((3,), 40.0)
    b = b._replace(ratio=torch.full((3,), 100.0))  # so none is ruled out
    with torch.no_grad():
        sums = memory.read(x, y, b)
        posterior = memory.posterior(sums, count, b)
        parts, (psi, _) = memory.parts(x_target, posterior, b), memory.features(x_target, b)
    assert posterior.root.shape[1] == (1 if kernel == "matern52" else 4)
    shape, rate, evidence = 1 + memory.log_shape.exp().item(), memory.log_rate.exp().detach(), torch.empty(3, 4)
    for k in range(4):
        prior = torch.diag_embed(memory.log_tau[k].detach().exp().square())
        covariance = torch.linalg.inv(sums.a + torch.linalg.inv(prior))
        coefficients = covariance @ sums.b
        torch.testing.assert_close(posterior.coefficients[:, k], coefficients, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(parts.means[:, k], psi @ coefficients, rtol=1e-6, atol=1e-8)
        signal = (psi @ covariance @ psi.mT).diagonal(dim1=1, dim2=2)
        torch.testing.assert_close(parts.signal[:, k], signal, rtol=1e-6, atol=1e-8)
        fit = 0.5 * (sums.c - (sums.b * coefficients).sum(1))[:, 0]
        determinant = torch.linalg.slogdet(torch.eye(24) + prior @ sums.a).logabsdet
        evidence[:, k] = shape * rate[k].log() - (shape + 20) * (rate[k] + fit).log() - 0.5 * determinant
    torch.testing.assert_close(posterior.probability[..., 0], evidence.double().softmax(1), rtol=1e-5, atol=1e-8)


def test_where_noise_is_large_predictions_are_less_sure():
    memory, (x, y), (x_target, _) = make(), rows(50), rows(7, seed=1)
    noise = Noise(torch.randn(3, 4, 2), torch.ones(3, 2), torch.randn(3, 4), torch.randn(3, 2, 3))
    effects = Effects(*torch.rand(2, 3, 2, N_KNOTS).sort(-1).values, torch.zeros(3, 2, 0))
    told, quiet = basis(memory)._replace(noise=noise, effects=effects), basis(memory)
    with torch.no_grad():
        sums = memory.read(x, y, told)
        for one, other in zip(sums, memory.read(x, y, quiet), strict=True):
            assert torch.equal(one, other)
        posterior = memory.posterior(sums, torch.full((3,), 50.0), told)
        varying, constant = (memory.parts(x_target, posterior, b) for b in (told, quiet))
        (first, _), (second, _) = (memory.mixture(parts, posterior) for parts in (varying, constant))
    torch.testing.assert_close(varying.noise.squeeze(-1), noise.variance(x_target, effects))
    torch.testing.assert_close(constant.noise, torch.ones_like(constant.noise))
    assert torch.equal(first.mean, second.mean)
    excess = (noise.variance(x_target, effects) - 1).unsqueeze(-1) * (posterior.probability * posterior.noise).sum(
        1, True
    )
    torch.testing.assert_close(first.variance - second.variance, excess)


@pytest.mark.parametrize(("ratio", "n_possible"), [(1e3, 8), (3.0, 3), (2.0, 2), (1e-3, 1)])
def test_signal_to_noise_is_at_most_a_multiple_of_what_was_fitted(ratio, n_possible):
    """Ratios are 3.0, 4.9, 8.2, 13.5 and so on, and the smallest is always possible."""
    memory, (x, y) = make(n_regressions=8, kernel="matern52"), rows(20)
    b = basis(memory, 15)._replace(ratio=torch.full((3,), ratio))
    with torch.no_grad():
        probability = memory.posterior(memory.read(x, y, b), torch.full((3,), 20.0), b).probability[..., 0]
    assert (probability[:, :n_possible] > 0).all()
    assert (probability[:, n_possible:] == 0).all()
    torch.testing.assert_close(probability.sum(1), torch.ones(3, dtype=torch.float64))


def test_without_points_no_ratio_is_ruled_out():
    memory, (x, y) = make(n_regressions=8, kernel="matern52"), rows(20)
    b = basis(memory)._replace(ratio=torch.full((3,), 1e-3))
    with torch.no_grad():
        probability = memory.posterior(memory.read(x, y, b), torch.full((3,), 20.0), b).probability
    assert (probability > 0).all()


def test_targets_share_the_features_and_nothing_else():
    memory, (x, y) = make(n_regressions=2, dim_y=2), rows(10, dim_y=2)
    (x_target, _) = rows(4, seed=1)
    both, _ = predict(memory, x, y, x_target)
    changed, _ = predict(memory, x, torch.stack([y[..., 0], -7 * y[..., 1]], -1), x_target)
    torch.testing.assert_close(both.mean[..., 0], changed.mean[..., 0])
    assert not torch.allclose(both.stddev[..., 1], changed.stddev[..., 1])


def test_weights_are_repetitions():
    memory, (x, y), (x_target, _) = make(n_regressions=2), rows(5), rows(4, seed=1)
    weights = torch.tensor([1, 3, 2, 1, 4])
    weighted, _ = predict(memory, x, y, x_target, weights.double().log())
    repeated, _ = predict(memory, x.repeat_interleave(weights, 1), y.repeat_interleave(weights, 1), x_target)
    torch.testing.assert_close(weighted.mean, repeated.mean)
    torch.testing.assert_close(weighted.stddev, repeated.stddev)


def test_features_of_one_batch_entry_serve_all_targets():
    memory, (x, y) = make(n_regressions=2), rows(10)
    x = x[:1].expand(3, -1, -1)
    b = basis(memory)
    one = b._replace(points=b.points[:1], factor=b.factor[:1], ratio=b.ratio[:1], share=b.share[:1])
    sums, shared = memory.read(x, y, b), memory.read(x[:1], y, one)
    assert shared.a.shape[0] == 1
    torch.testing.assert_close(shared.a[0], sums.a[2])
    torch.testing.assert_close(shared.b, sums.b)


def test_what_the_features_miss_is_noise_of_its_rows():
    memory = ConjugateMemory(MaternFeatures(23), 1, 1, ratio=(100.0, 100.0)).double()
    (x, y), (x_target, _) = rows(30), rows(5, seed=1)
    distribution, hints = predict(memory, x, y, x_target, n_points=20)
    b, tau = basis(memory, 20), memory.log_tau[0].exp().detach()
    for i in range(3):
        (psi, extra), (psi_target, extra_target) = memory.features(x, b), memory.features(x_target, b)
        assert extra_target.max() > 0.05
        assert extra.max() < MAX_RATIO**2
        process = GaussianProcessRegressor(DotProduct(0.0, "fixed"), alpha=1 + extra[i, :, 0].numpy(), optimizer=None)
        process.fit((psi[i] * tau).numpy(), y[i, :, 0].numpy())
        mean, covariance = process.predict((psi_target[i] * tau).numpy(), return_cov=True)
        shape, rate = 1 + memory.log_shape.exp().item(), memory.log_rate.exp().item()
        noise = (rate + 0.5 * process.y_train_ @ process.alpha_) / (shape + 15 - 1)
        np.testing.assert_allclose(distribution.mean[i, :, 0].detach(), mean, rtol=1e-5, atol=1e-7)
        variance = noise * (1 + extra_target[i, :, 0].numpy() + covariance.diagonal())
        np.testing.assert_allclose(distribution.variance[i, :, 0].detach(), variance, rtol=1e-5)
        np.testing.assert_allclose(hints[i, :, -1], extra_target[i, :, 0].log1p(), rtol=1e-6)


def test_hints_tell_where_targets_scatter():
    memory, (x, _) = make(n_regressions=2, kernel="matern52", n_features=103), rows(2000)
    generator = torch.Generator().manual_seed(5)
    y = torch.randn(3, 2000, 1, generator=generator).double() * (x[..., :1] > 0).double().mul(3).add(0.3)
    x_target = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]).double().expand(3, -1, -1)
    _, hints = predict(memory, x, y, x_target)
    quiet, loud = (hints[..., 1] + hints[..., -2]).exp().T
    assert (loud / quiet > 3).all()


@pytest.mark.parametrize("kernel", ["learned", "matern52"])
@pytest.mark.parametrize("case", ["duplicates", "collinear", "constant", "huge", "damaged"])
def test_the_posterior_always_exists(case, kernel):
    memory, (x, y), (x_target, _) = make(n_regressions=3, kernel=kernel), rows(50), rows(4, seed=1)
    if case == "duplicates":
        x = x[:, :1].expand(-1, 50, -1)
    elif case == "collinear":
        x = x[..., :1].expand(-1, -1, 2)
    elif case == "constant":
        x, y = torch.ones_like(x), torch.ones_like(y)
    with torch.no_grad():
        sums, count = memory.read(x, y, basis(memory)), torch.full((3,), 50.0)
        if case == "huge":
            sums, count = Sums(*(1e9 * t for t in sums)), 1e9 * count
        elif case == "damaged":  # as rounding leaves it after subtractions
            sums = sums._replace(a=sums.a - 1e-6 * torch.eye(24) * sums.a.diagonal(dim1=1, dim2=2).amax())
        posterior = memory.posterior(sums, count, basis(memory))
        distribution, hints = memory.mixture(memory.parts(x_target, posterior, basis(memory)), posterior)
    assert torch.isfinite(distribution.mean).all()
    assert (distribution.stddev > 0).all()
    assert torch.isfinite(hints).all()


def test_uncertainty_shrinks_with_rows_and_grows_away_from_them():
    memory, (x, y) = make(n_regressions=4, kernel="matern52", n_features=103), rows(400)
    near, far = torch.zeros(3, 1, 2).double(), torch.full((3, 1, 2), 30.0).double()
    few, many = predict(memory, x[:, :10], y[:, :10], near)[0], predict(memory, x, y, near)[0]
    assert (many.stddev < few.stddev).all()
    assert (predict(memory, x, y, far)[0].stddev > 2 * many.stddev).all()
