"""The peers and the optima that the package is measured against are what they claim to be."""

import dataclasses

import numpy as np
import pytest
import torch
from _blocks import by_blocks
from peers import PEERS
from peers.oracle import integrated_optimum, true_optimum
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern

from skcmanp import CMANP, CMANPConfig, TrainingOptions, meta_train
from skcmanp.nn.calibration import sharpen
from skcmanp.tasks import GPTasks
from skcmanp.tasks.base import TaskBatch
from skcmanp.training import joint_log_likelihood, log_likelihood, predict_jointly, task_generator

CONFIG = CMANPConfig(dim=16, n_heads=2, dim_feedforward=16, n_blocks=2, n_block_latents=6, n_input_latents=5)


def make(name):
    torch.manual_seed(0)
    peer = PEERS[name](CONFIG).double().eval()
    sharpen(peer)
    return peer


def rows(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, n, 1, generator=generator).double()


@pytest.mark.parametrize("name", PEERS)
def test_predictions_depend_on_the_context_but_not_on_its_order(name):
    peer, x, y, x_target = make(name), rows(9), rows(9, 1), rows(7, 2)
    distribution, order = peer(x, y, x_target), torch.randperm(9)
    shuffled = peer(x[:, order], y[:, order], x_target)
    assert (distribution.mean - peer(x, y + 1, x_target).mean).abs().max() > 1e-4
    difference = (distribution.mean - shuffled.mean).abs().max()
    assert difference > 1e-6 if name == "cached-tnp" else difference < 1e-10


@pytest.mark.parametrize("name", PEERS)
def test_targets_are_predicted_independently_unless_jointly(name):
    peer, x, y, x_target, y_target = make(name), rows(9), rows(9, 1), rows(7, 2), rows(7, 3)
    distribution = peer(x, y, x_target)
    likelihood = log_likelihood(distribution, y_target)
    assert likelihood.shape == (2,)
    alone = torch.stack([log_likelihood(peer(x, y, x_target[:, [i]]), y_target[:, [i]]) for i in range(7)]).mean(0)
    assert torch.allclose(likelihood, alone) != name.endswith("-nd")
    if name.endswith("-nd"):
        eigenvalues = torch.linalg.eigvalsh(distribution.covariance_matrix)
        assert (eigenvalues > 0).all()
        assert torch.allclose(distribution.covariance_matrix.diagonal(dim1=1, dim2=2), distribution.variance)


@pytest.mark.parametrize("name", ["cnp", "cached-tnp"])
def test_updates_are_what_reading_everything_gives(name):
    peer, x, y, x_target = make(name), rows(9), rows(9, 1), rows(7, 2)
    memory = peer.condition(x[:, :6], y[:, :6])
    for i in range(6, 9):
        memory = peer.update(memory, x[:, i : i + 1], y[:, i : i + 1])
    torch.testing.assert_close(peer.query(x_target, memory).mean, peer(x, y, x_target).mean)


@pytest.mark.parametrize("name", PEERS)
def test_peers_learn_in_the_packages_loop(name):
    torch.manual_seed(0)
    options = TrainingOptions(steps=60, batch_size=8, warmup=5, evaluate_every=30, n_evaluation=8)
    log = meta_train(PEERS[name](CONFIG), GPTasks(), options, progress=False)
    assert log[-1]["log_likelihood"] > -1.2
    assert log[-1]["log_likelihood"] > log[0]["log_likelihood"]


@pytest.mark.parametrize(("name", "kernel"), [("rbf", RBF), ("matern52", lambda ell: Matern(ell, nu=2.5))])
def test_the_true_optimum_is_scikit_learns_process(name, kernel):
    draw = GPTasks(name, noise=(0.05, 0.2)).draw(3, task_generator(0))
    optimum = true_optimum(draw)
    factor, scale = draw.kernel.terms[0][0], draw.kernel.scales[0]
    for i in range(3):
        x, y, x_target, y_target = (t[i].double().numpy() for t in draw.batch[:4])
        noise = draw.noise[i].item() ** 2
        process = GaussianProcessRegressor(
            ConstantKernel(scale[i].item() ** 2) * kernel(factor.lengthscale[i].item()),
            alpha=noise + GPTasks.jitter,
            optimizer=None,
        ).fit(x, y)
        mean, covariance = process.predict(x_target, return_cov=True)
        error = y_target[:, 0] - mean.ravel()
        covariance = covariance + (noise + GPTasks.jitter) * np.eye(len(error))
        variance = covariance.diagonal()
        per_point = -0.5 * np.mean(error**2 / variance + np.log(2 * np.pi * variance))
        assert optimum.per_point[i].item() == pytest.approx(per_point, rel=1e-6)
        _, log_determinant = np.linalg.slogdet(2 * np.pi * covariance)
        joint = -0.5 * (error @ np.linalg.solve(covariance, error) + log_determinant) / len(error)
        assert optimum.joint[i].item() == pytest.approx(joint, rel=1e-6)


def test_integrating_over_one_value_is_the_true_optimum():
    tasks = GPTasks("matern32", lengthscale=(0.3, 0.3), scale=(0.7, 0.7))
    draw = tasks.draw(4, task_generator(1))
    for integrated, true in zip(integrated_optimum(tasks, draw, 3, 2), true_optimum(draw), strict=True):
        torch.testing.assert_close(integrated, true, rtol=1e-6, atol=1e-8)


def test_knowing_the_hyperparameters_is_better_on_average():
    tasks, gaps = GPTasks(), []
    for step in range(20):
        draw = tasks.draw(8, task_generator(step))
        true, integrated = true_optimum(draw), integrated_optimum(tasks, draw)
        gaps.append([(a - b).mean().item() for a, b in zip(true, integrated, strict=True)])
        finer = integrated_optimum(tasks, draw, 50, 30)
        assert abs(finer.per_point.mean() - integrated.per_point.mean()) < 0.01
    assert (np.mean(gaps, 0) > 0).all()


@pytest.mark.parametrize("dim_y", [1, 2])
def test_blocks_know_the_targets_of_those_before(dim_y):
    torch.manual_seed(0)
    model = CMANP(dataclasses.replace(CONFIG, dim_y=dim_y, joint_rank=3)).double().eval()
    x, x_target = rows(9), rows(7, 2)
    y, y_target = torch.randn(2, 9, dim_y).double(), torch.randn(2, 7, dim_y).double()
    batch = TaskBatch(x, y, x_target, y_target)
    with torch.no_grad():
        marginals, joint = predict_jointly(model, *batch.inputs)
        torch.testing.assert_close(by_blocks(model, batch, 0), log_likelihood(marginals, y_target))
        torch.testing.assert_close(by_blocks(model, batch, 7), joint_log_likelihood(joint, y_target))
        by_five = 0
        for known, block in ((0, slice(0, 5)), (5, slice(5, 7))):
            context = (torch.cat([a, b[:, :known]], 1) for a, b in ((x, x_target), (y, y_target)))
            joint = predict_jointly(model, *context, x_target[:, block])[1]
            by_five = by_five + joint.log_prob(y_target[:, block].mT).sum(1)
        torch.testing.assert_close(by_blocks(model, batch, 5), by_five / 7)
