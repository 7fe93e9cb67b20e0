from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import multivariate_t
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct

from skcmanp.adaptation import Basis
from skcmanp.adaptation.missed import MAX_WEIGHT_RATIO, Missed
from skcmanp.adaptation.noise import NoiseProfile
from skcmanp.adaptation.ranks import N_KNOTS
from skcmanp.nn.conjugate import ConjugateMemory, Sums
from skcmanp.nn.features import LearnedFeatures


def make(n_regressions=1, n_features=24, dim_x=2, dim_y=1, kernel="learned"):
    torch.manual_seed(0)
    features = LearnedFeatures(dim_x, n_features, (0.5, 5.0)) if kernel == "learned" else n_features
    return ConjugateMemory(features, dim_y, n_regressions, ratio=(3.0, 100.0)).double()


def rows(n, dim_x=2, dim_y=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3, n, dim_x, generator=generator).double()
    return x, torch.sin(2 * x).sum(-1, keepdim=True) + 0.1 * torch.randn(3, n, dim_y, generator=generator)


def basis(memory, n_points=0, ratio=2.0, **changes):
    """None for learned features."""
    if memory.embed is not None:
        return None
    n_features = memory.log_tau.shape[1]
    return replace(Basis.of_points(rows(n_points, seed=7)[0], torch.full((3,), ratio), n_features), **changes)


def of_scale(scale):
    return Missed(scale, scale, torch.ones(2).double())


def predict(memory, x, y, x_target, log_weight=None, **of_basis):
    with torch.no_grad():
        count = torch.full((len(y),), float(x.shape[1]) if log_weight is None else log_weight.exp().sum().item())
        b = basis(memory, **of_basis)
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


def test_corrections_of_means_are_believed_as_far_as_the_noise_explains_the_variance():
    """Beyond the rows they move means by less and less, until nothing is known at all."""
    memory, (x, y) = make(n_regressions=3, kernel="matern52"), rows(200)
    y = x[..., :1] + 0.1 * y
    far = torch.tensor([0.0, 10.0, 1000.0]).double().view(1, 3, 1).expand(3, 3, x.shape[-1])
    with torch.no_grad():
        b = basis(memory)
        posterior = memory.posterior(memory.read(x, y, b), torch.full((3,), 200.0), b)
        parts = memory.parts(far, posterior, b)
        distribution, hints = memory.mixture(parts, posterior)
        noise_share = 1 - memory.function_share(parts, posterior)
    believed = hints[..., -1:]
    torch.testing.assert_close(believed, (3 * noise_share + (distribution.stddev / 1.5) ** 4).clamp(max=1))
    near, beyond, lost = believed[..., 0].T
    assert (near > 2 * beyond).all()
    assert (lost == 1).all()


@pytest.mark.parametrize("kernel", ["learned", "matern52"])
def test_every_regression_is_what_it_would_be_alone(kernel):
    memory, (x, y), (x_target, _) = make(n_regressions=4, kernel=kernel), rows(40), rows(5, seed=1)
    b, count = basis(memory, 15, ratio=100.0), torch.full((3,), 40.0)  # so none is ruled out
    with torch.no_grad():
        sums = memory.read(x, y, b)
        posterior = memory.posterior(sums, count, b)
        parts, (psi, _) = memory.parts(x_target, posterior, b), memory.features(x_target, b)
    assert posterior.covariances.root.shape[1] == (1 if kernel == "matern52" else 4)
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
        # What the features miss makes rows count less.
        n = 40 if b is None else b.read_weight(sums.a.diagonal(dim1=-2, dim2=-1))
        evidence[:, k] = shape * rate[k].log() - (shape + n / 2) * (rate[k] + fit).log() - 0.5 * determinant
    torch.testing.assert_close(posterior.probability[..., 0], evidence.double().softmax(1), rtol=1e-5, atol=1e-8)


def varying_noise():
    knots, ranks = torch.rand(2, 2, N_KNOTS).double().sort(-1).values
    points, weights = torch.randn(4, 2).double(), torch.randn(4).double()
    return NoiseProfile(points, torch.ones(2).double(), weights, knots, ranks, torch.randn(2, 3).double())


def test_where_noise_is_large_predictions_are_less_sure():
    memory, (x, y), (x_target, _) = make(kernel="matern52"), rows(50), rows(7, seed=1)
    noise = varying_noise()
    told, quiet = basis(memory, 15, noise_profile=noise), basis(memory, 15)
    with torch.no_grad():
        sums = memory.read(x, y, told)
        for one, other in zip(sums, memory.read(x, y, quiet), strict=True):
            assert torch.equal(one, other)
        posterior = memory.posterior(sums, torch.full((3,), 50.0), told)
        varying, constant = (memory.parts(x_target, posterior, b) for b in (told, quiet))
        (first, _), (second, _) = (memory.mixture(parts, posterior) for parts in (varying, constant))
    torch.testing.assert_close(varying.noise.squeeze(-1), noise.variance(x_target))
    torch.testing.assert_close(constant.noise, torch.ones_like(constant.noise))
    assert torch.equal(first.mean, second.mean)
    mean_noise = (posterior.probability * posterior.noise).sum(1, True)
    torch.testing.assert_close(
        first.variance - second.variance, (noise.variance(x_target) - 1).unsqueeze(-1) * mean_noise
    )


@pytest.mark.parametrize(("ratio", "n_possible"), [(1e3, 8), (3.0, 3), (2.0, 2), (1e-3, 1)])
def test_signal_to_noise_is_at_most_a_multiple_of_what_was_fitted(ratio, n_possible):
    """Ratios are 3.0, 4.9, 8.2, 13.5 and so on, and the smallest is always possible."""
    memory, (x, y) = make(n_regressions=8, kernel="matern52"), rows(20)
    b = basis(memory, 15, ratio=ratio)
    with torch.no_grad():
        probability = memory.posterior(memory.read(x, y, b), torch.full((3,), 20.0), b).probability[..., 0]
    assert (probability[:, :n_possible] > 0).all()
    assert (probability[:, n_possible:] == 0).all()
    torch.testing.assert_close(probability.sum(1), torch.ones(3, dtype=torch.float64))


def test_without_adaptations_no_ratio_is_ruled_out():
    memory, (x, y) = make(n_regressions=8), rows(20)
    with torch.no_grad():
        probability = memory.posterior(memory.read(x, y, None), torch.full((3,), 20.0), None).probability
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
    memory, (x, y) = make(n_regressions=2, kernel="matern52"), rows(10)
    x, points = x[:1].expand(3, -1, -1), rows(9, seed=7)[0][:1]
    one = Basis.of_points(points, torch.ones(1), 24)
    whole = Basis.of_points(points.expand(3, -1, -1), torch.ones(3), 24)
    sums, shared = memory.read(x, y, whole), memory.read(x[:1], y, one)
    assert shared.a.shape[0] == 1
    torch.testing.assert_close(shared.a[0], sums.a[2])
    torch.testing.assert_close(shared.b, sums.b)


@pytest.mark.parametrize("dim_y", [1, 2])
def test_what_the_features_miss_is_noise_of_its_rows(dim_y):
    """By a bounded factor where they are read; elsewhere on a scale of its own, in units of the targets."""
    memory = ConjugateMemory(23, dim_y, 1, ratio=(100.0, 100.0)).double()
    (x, y), (x_target, _) = rows(30), rows(5, seed=1)
    y = torch.cat([y, -3 * y[..., :1]], -1)[..., :dim_y]
    scale = torch.tensor([0.3, 2.0]).double()[:dim_y]
    distribution, hints = predict(memory, x, y, x_target, n_points=20, ratio=1000.0, missed=of_scale(scale))
    b, tau = basis(memory, 20, ratio=1000.0), memory.log_tau[0].exp().detach()
    (psi, missed), (psi_target, missed_target) = b.features(x), b.features(x_target)
    assert missed_target.max() > 0.05
    alpha = 1 / b.weight(missed)
    assert 2 < alpha.max() < 1 + MAX_WEIGHT_RATIO**2
    shape, rate = 1 + memory.log_shape.exp().item(), memory.log_rate.exp().item()
    for i in range(3):
        noises = []
        for j in range(dim_y):
            process = GaussianProcessRegressor(DotProduct(0.0, "fixed"), alpha=alpha[i].numpy(), optimizer=None)
            process.fit((psi[i] * tau).numpy(), y[i, :, j].numpy())
            mean, covariance = process.predict((psi_target[i] * tau).numpy(), return_cov=True)
            effective = (1 / alpha[i]).sum().item()
            noise = (rate + 0.5 * process.y_train_ @ process.alpha_) / (shape + effective / 2 - 1)
            np.testing.assert_allclose(distribution.mean[i, :, j].detach(), mean, rtol=1e-5, atol=1e-7)
            variance = noise * (1 + covariance.diagonal()) + scale[j].item() ** 2 * missed_target[i].numpy()
            np.testing.assert_allclose(distribution.variance[i, :, j].detach(), variance, rtol=1e-5)
            noises.append(np.log1p(scale[j].item() ** 2 * missed_target[i].numpy() / noise))
        np.testing.assert_allclose(hints[i, :, -1 - dim_y], np.mean(noises, axis=0).clip(max=3), rtol=1e-6)


def test_more_rows_do_not_make_what_is_missed_less():
    """It is not noise that is estimated, but what the features cannot follow."""
    memory, (x, y), far = make(kernel="matern52"), rows(200), torch.full((3, 1, 2), 30.0).double()
    points = {"n_points": 21, "missed": of_scale(torch.tensor([0.7]).double())}
    few, many = (predict(memory, x[:, :n], y[:, :n], far, **points)[0].variance for n in (20, 200))
    assert (few > 0.49).all()
    assert (many > 0.49).all()


def test_covariances_have_the_mixtures_variances_and_what_is_missed_together():
    memory, (x, y), (x_target, _) = make(n_regressions=3, kernel="matern52"), rows(30), rows(6, seed=1)
    b = basis(memory, 15, missed=Missed(*torch.tensor([[1.5], [3.0]]).double(), torch.tensor([0.01, 0.5]).double()))
    with torch.no_grad():
        posterior = memory.posterior(memory.read(x, y, b), torch.full((3,), 30.0), b)
        parts = memory.parts(x_target, posterior, b)
        covariance = memory.covariance(x_target, parts, posterior, b)
        one = replace(b, missed=of_scale(torch.full((1,), 1e-9).double()))
        without = memory.covariance(x_target, memory.parts(x_target, posterior, one), posterior, one)
    variance = memory.mixture(parts, posterior)[0].variance
    torch.testing.assert_close(covariance.diagonal(dim1=2, dim2=3), variance.mT)
    off = ~torch.eye(6, dtype=torch.bool)
    scale = b.scale(x_target, b.features(x_target)[1])
    assert 1.5 <= scale.min() < 2 < 2.5 < scale.max() <= 3
    expected = (scale * b.missed_covariance(x_target) * scale.mT).unsqueeze(1)
    torch.testing.assert_close((covariance - without)[..., off], expected[..., off])
    assert expected[..., off].abs().max() > 0.05
    assert torch.linalg.eigvalsh(covariance).min() > 0


def test_targets_far_from_zero_are_learned_as_they_are():
    """The memory's targets have no bounds, and no scale beside the evidence's."""
    memory = make(n_regressions=8, kernel="matern52", n_features=63)
    (x, y), (x_target, truth) = rows(400), rows(50, seed=1)
    x_target = x_target.clamp(-2, 2)
    truth = torch.sin(2 * x_target).sum(-1, keepdim=True)
    errors = []
    for level in (0.0, 100.0, -1000.0):
        mean = predict(memory, x, y + level, x_target, n_points=60, ratio=1e3)[0].mean
        errors.append((mean - level - truth).square().mean().sqrt())
    assert max(errors[1:]) < 1.5 * errors[0]


def test_hints_tell_where_targets_scatter():
    memory, (x, _) = make(n_regressions=2, kernel="matern52", n_features=103), rows(2000)
    generator = torch.Generator().manual_seed(5)
    y = torch.randn(3, 2000, 1, generator=generator).double() * (x[..., :1] > 0).double().mul(3).add(0.3)
    x_target = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]).double().expand(3, -1, -1)
    _, hints = predict(memory, x, y, x_target, ratio=100.0)
    quiet, loud = (hints[..., 1] + hints[..., -3]).exp().T
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
        b = basis(memory, 10)
        sums, count = memory.read(x, y, b), torch.full((3,), 50.0)
        if case == "huge":
            sums, count = Sums(*(1e9 * t for t in sums)), 1e9 * count
        elif case == "damaged":  # as rounding leaves it after subtractions
            sums = sums._replace(a=sums.a - 1e-6 * torch.eye(24) * sums.a.diagonal(dim1=1, dim2=2).amax())
        posterior = memory.posterior(sums, count, b)
        distribution, hints = memory.mixture(memory.parts(x_target, posterior, b), posterior)
    assert torch.isfinite(distribution.mean).all()
    assert (distribution.stddev > 0).all()
    assert torch.isfinite(hints).all()


@pytest.mark.parametrize("n_points", [0, 60])
def test_uncertainty_shrinks_with_rows_and_grows_away_from_them(n_points):
    memory, (x, y) = make(n_regressions=4, kernel="matern52", n_features=103), rows(400)
    near, far, farther = (torch.full((3, 1, 2), distance).double() for distance in (0.0, 30.0, 300.0))
    kwargs = {"n_points": n_points, "ratio": 100.0}
    few, many = (predict(memory, x[:, :n], y[:, :n], near, **kwargs)[0] for n in (10, 400))
    assert (many.stddev < few.stddev).all()
    away, beyond = (predict(memory, x, y, rows, **kwargs)[0] for rows in (far, farther))
    assert (away.stddev > 2 * many.stddev).all()
    assert (beyond.stddev > 2 * away.stddev).all()  # as lines are uncertain


@pytest.mark.parametrize("kernel", ["learned", "matern52"])
def test_the_functions_share_is_all_but_the_noise(kernel):
    """Before rows it is the prior's; ever less is left of it after many, but for what features miss."""
    memory = make(kernel=kernel)
    shares = []
    for n in (0, 30, 3000):
        (x, y), (x_target, _) = rows(n), rows(7, seed=1)
        with torch.no_grad():
            b = basis(memory, n_points=5)
            posterior = memory.posterior(memory.read(x, y, b), torch.full((3,), float(n)), b)
            parts = memory.parts(x_target, posterior, b)
            variance = memory.mixture(parts, posterior)[0].variance
            shares.append(memory.function_share(parts, posterior))
        noise = (1 - shares[-1]) * variance
        np.testing.assert_allclose(noise, posterior.noise[:, 0, None].expand_as(noise), rtol=1e-9)
    prior = weighted_features(memory, x_target).square().sum(-1, keepdim=True)
    if kernel == "learned":
        np.testing.assert_allclose(shares[0], prior / (1 + prior), rtol=1e-9)
        assert shares[2].max() < 0.1
    assert shares[2].mean() < shares[1].mean() < shares[0].mean()
