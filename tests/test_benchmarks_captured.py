"""Runs side by side, captured or not, are those of `meta_train`."""

from concurrent.futures import ThreadPoolExecutor

import _captured
import _runs
import pytest
import torch
from _captured import draw, joint_log_likelihood, scores, train_captured
from _runs import Variant
from test_benchmarks_background import RECIPE
from torch.distributions import MultivariateNormal

from skcmanp.training import TrainingLog, task_generator
from skcmanp.training.loop import Objective

VARIANTS = [
    Variant("cmanp", "cmanp", {}, {"warmup": 3, "clip": 0.5}, initial="all"),
    Variant("lbanp", "lbanp"),
    Variant("head", "cmanp", {"joint_rank": 3}, {"steps": 3, "trainable": "correlations."}, start="cmanp"),
]
STEPS = 7


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch):
    monkeypatch.setattr(_captured, "CHUNK", 3)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def train_side_by_side(runs, device="cpu", **options):
    with ThreadPoolExecutor(1) as executor:
        train_captured(VARIANTS, RECIPE, STEPS, runs, executor, torch.device(device), **options)


def train_one_by_one(runs):
    for variant in VARIANTS:
        _runs.train(variant, RECIPE, STEPS, runs, evaluate_every=3)


def state(runs, variant):
    return torch.load(runs / variant.name / "state.pt", map_location="cpu", weights_only=True)


def assert_same_runs(found, expected, tolerance):
    for variant in VARIANTS:
        one, other = state(found, variant), state(expected, variant)
        assert one["step"] == other["step"]
        assert one["run"] == other["run"]
        # Adam makes a step of the whole rate of the smallest gradient, whose sign is a matter of rounding.
        weights, others = (torch.cat([w.flatten() for w in kept["model"].values()]) for kept in (one, other))
        assert (weights - others).norm() < tolerance * others.norm()
        logs = [TrainingLog.read(runs / variant.name / "log.jsonl") for runs in (found, expected)]
        for key in ("step", "learning_rate", "train_log_likelihood", "log_likelihood", "standard_error", "coverage_90"):
            assert logs[0].column(key) == pytest.approx(logs[1].column(key), abs=tolerance)


def test_runs_side_by_side_are_those_of_the_loop(tmp_path):
    train_side_by_side(tmp_path / "side")
    train_one_by_one(tmp_path / "one")
    assert_same_runs(tmp_path / "side", tmp_path / "one", tolerance=1e-3)
    assert "joint_log_likelihood" in TrainingLog.read(tmp_path / "side" / "head" / "log.jsonl")[-1]


def test_a_run_goes_on_with_either(tmp_path):
    train_one_by_one(tmp_path / "one")
    train_side_by_side(tmp_path / "both", seconds=0.0)
    assert state(tmp_path / "both", VARIANTS[0])["step"] == _captured.CHUNK
    assert not (tmp_path / "both" / "head").exists()
    train_one_by_one(tmp_path / "both")
    assert_same_runs(tmp_path / "both", tmp_path / "one", tolerance=1e-3)


def test_padding_changes_nothing():
    rows, n_context, weight = draw(RECIPE.tasks, 4, [5])
    variant = Variant("head", "cmanp", {"joint_rank": 3})
    model = _runs.untrained(variant, RECIPE)
    loss = -scores(model, rows[0], n_context[0], weight[0])[1:].mean()
    batch = RECIPE.tasks.sample(4, task_generator(5))
    torch.testing.assert_close(loss, Objective(model, "float32")(batch))


def test_the_joint_likelihood_is_that_of_a_normal_distribution_of_some():
    generator = torch.Generator().manual_seed(0)
    root, y, mean = (torch.randn(2, 6, k, generator=generator) for k in (6, 1, 1))
    covariance = (root @ root.mT + torch.eye(6)).double()
    kept = [1, 2, 5]
    weight = torch.zeros(6)
    weight[kept] = 1 / 3
    found = joint_log_likelihood(mean, covariance.unsqueeze(1), y, weight)
    some = MultivariateNormal(mean[:, kept, 0].double(), covariance[:, kept][:, :, kept])
    torch.testing.assert_close(found.double(), some.log_prob(y[:, kept, 0].double()).mean() / 3)


@pytest.mark.gpu
def test_captured_steps_are_those_of_the_loop(tmp_path):
    train_side_by_side(tmp_path / "side", "cuda")
    train_one_by_one(tmp_path / "one")
    assert_same_runs(tmp_path / "side", tmp_path / "one", tolerance=3e-3)
