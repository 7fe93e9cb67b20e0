"""Trainings in the background survive everything, and say how far they are."""

import csv
import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import _background
import _report
import meta_regression
import pytest
import torch
from _background import Progress, load, locked, restore, snapshot, status, work
from _runs import META_REGRESSION, Variant
from safetensors.torch import load_file

from skcmanp import CMANPConfig
from skcmanp.training import EVALUATION_STEP, TrainingLog

RECIPE = dataclasses.replace(
    META_REGRESSION,
    config=CMANPConfig(dim=16, n_heads=2, dim_feedforward=16, n_blocks=2, n_block_latents=6, n_input_latents=5),
    training=dataclasses.replace(META_REGRESSION.training, batch_size=4, n_evaluation=2),
)
VARIANTS = [
    Variant("tnp-d", "tnp-d"),
    Variant("cmanp", "cmanp", {}, {"learning_rate": 1e-3}, initial="all"),
    Variant("head", "cmanp", {"joint_rank": 3}, {"steps": 3, "trainable": "correlations."}, start="cmanp"),
]
STEPS = 12


class Deadly:
    """Tasks of which no more than so many batches are trained on."""

    def __init__(self, n_batches):
        self.left = n_batches

    def sample(self, batch_size, generator):
        if generator.initial_seed() < EVALUATION_STEP:
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)
            self.left -= 1
        return META_REGRESSION.tasks.sample(batch_size, generator)


def states(runs):
    return [torch.load(runs / v.name / "state.pt", weights_only=True) for v in VARIANTS]


def reached(runs):
    return [Progress.of(v, RECIPE, STEPS, runs).step for v in VARIANTS]


def killed_after(n_batches, runs):
    """Work in another process until it dies."""
    code = (
        "import sys; sys.path[:0] = ['tests', 'benchmarks']\n"
        "from test_benchmarks_background import *\n"
        f"recipe = dataclasses.replace(RECIPE, tasks=Deadly({n_batches}))\n"
        f"work(VARIANTS, recipe, STEPS, Path({str(runs)!r}), evaluate_every=5, save_seconds=0.0)\n"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=False).returncode


@pytest.fixture
def at_once(monkeypatch):
    """Work in this process without lowering its priority for good; how it would have been lowered."""
    increments, threads = [], torch.get_num_threads()
    monkeypatch.setattr(os, "nice", increments.append)
    yield increments
    torch.set_num_threads(threads)


def train(runs, variants=VARIANTS, steps=STEPS, **options):
    work(variants, RECIPE, steps, runs, **{"evaluate_every": 5, **options})


@pytest.mark.slow
def test_a_killed_queue_goes_on_to_the_same_bits(tmp_path, at_once):
    """SIGKILL within a step of the first and of the second run loses no more than this step."""
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    assert killed_after(7, killed) == -signal.SIGKILL
    assert reached(killed) == [7, 0, 0]
    assert killed_after(5 + 8, killed) == -signal.SIGKILL
    assert reached(killed) == [12, 8, 0]
    train(killed)
    assert reached(killed) == [12, 12, 3]
    train(straight)
    assert torch.get_num_threads() == 1
    assert at_once == [19, 19]
    for one, other in zip(states(killed), states(straight), strict=True):
        assert one["step"] == other["step"]
        assert all(torch.equal(one["model"][key], value) for key, value in other["model"].items())
        for moments, expected in zip(
            one["optimizer"]["state"].values(), other["optimizer"]["state"].values(), strict=True
        ):
            assert all(torch.equal(moments[key], value) for key, value in expected.items())
    for variant in VARIANTS:
        logs = [TrainingLog.read(runs / variant.name / "log.jsonl") for runs in (killed, straight)]
        assert logs[0].column("log_likelihood") == logs[1].column("log_likelihood")


def test_two_do_not_work_in_one_folder(tmp_path, at_once, capsys):
    with locked(tmp_path):
        with pytest.raises(BlockingIOError, match=f"Process {os.getpid()} is at work in"):
            train(tmp_path)
        status(VARIANTS, RECIPE, STEPS, tmp_path)
        assert f"Process {os.getpid()} is at work in" in capsys.readouterr().out
    train(tmp_path, VARIANTS[:1], 1)
    status(VARIANTS, RECIPE, STEPS, tmp_path)
    assert "nobody is at work" in capsys.readouterr().out


def test_the_status_tells_how_far_runs_are(tmp_path, at_once):
    train(tmp_path, VARIANTS[:1], 10)
    rows = status(VARIANTS, RECIPE, 20, tmp_path)
    assert [(row["run"], row["steps"], row["of"]) for row in rows] == [
        ("tnp-d", 10, 20),
        ("cmanp", 0, 20),
        ("head", 0, 3),
    ]
    seconds = Progress.of(VARIANTS[0], RECIPE, 20, tmp_path).seconds_per_step
    assert rows[0]["seconds a step"] == f"{seconds:.3f}"
    assert rows[0]["hours left"] == f"{10 * seconds / 3600:.2f}"
    assert rows[1]["log-likelihood"] == rows[1]["seconds a step"] == rows[1]["hours left"] == ""


def test_a_run_that_diverges_is_left_with_those_that_start_from_it(tmp_path, at_once, capsys):
    diverges = dataclasses.replace(VARIANTS[1], training={"learning_rate": 1e30})
    train(tmp_path, [diverges, VARIANTS[2], VARIANTS[0]])
    assert "cmanp: The loss is nan" in capsys.readouterr().out
    assert reached(tmp_path)[0] == STEPS
    assert not (tmp_path / "head").exists()


def test_snapshots_are_kept_while_they_are_needed(tmp_path, at_once, capsys):
    runs, folder = tmp_path / "runs", tmp_path / "snapshots"
    train(runs, VARIANTS[:1], 7)
    assert [path.name for path in snapshot(VARIANTS, RECIPE, STEPS, runs, folder)] == ["tnp-d.safetensors"]
    weights = load_file(folder / "tnp-d.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float16}

    lost = tmp_path / "lost"
    train(lost, VARIANTS[:1], 7, snapshots=folder)
    assert "goes on from" in capsys.readouterr().out
    log = TrainingLog.read(lost / "tnp-d" / "log.jsonl")
    assert log == TrainingLog.read(runs / "tnp-d" / "log.jsonl")
    kept = load(VARIANTS[0], RECIPE, lost).state_dict()
    assert all(torch.equal(kept[key].half(), value) for key, value in weights.items())
    train(lost, snapshots=folder)
    assert TrainingLog.read(lost / "tnp-d" / "log.jsonl").column("step") == [5, 7, 10, 12]

    # Only that is left of which a run that is not done begins.
    assert snapshot(VARIANTS[:2], RECIPE, STEPS, lost, folder) == []
    train(lost, VARIANTS[2:])
    longer = dataclasses.replace(VARIANTS[2], training={"steps": 9})
    written = snapshot([*VARIANTS[:2], longer], RECIPE, STEPS, lost, folder)
    assert [path.name for path in written] == ["cmanp.safetensors", "head.safetensors"]
    assert sorted(folder.iterdir()) == written


def test_a_run_without_snapshot_begins_anew(tmp_path):
    restore(tmp_path / "run", tmp_path / "none.safetensors")
    assert not (tmp_path / "run").exists()


def test_weights_of_the_paper_fit_in_a_commit(tmp_path, at_once):
    variant, recipe = VARIANTS[1], dataclasses.replace(RECIPE, config=META_REGRESSION.config)
    model = _background.untrained(variant, recipe)
    (tmp_path / variant.name).mkdir()
    state = {"model": model.state_dict(), "average": None, "optimizer": None, "step": 1, "seconds": 1.0}
    torch.save(state, tmp_path / variant.name / "state.pt")
    (path,) = snapshot([variant], recipe, STEPS, tmp_path, tmp_path)
    assert path.stat().st_size < 3e6


def test_every_budget_is_of_variants_that_follow_what_they_start_from():
    for steps, names in meta_regression.BUDGETS.items():
        variants = meta_regression.variants_for(steps)
        assert [variant.name for variant in variants] == list(names)
        assert all(v.start in names[:i] for i, v in enumerate(variants) if v.start)


def test_the_table_keeps_what_is_not_evaluated_anew(tmp_path, at_once, monkeypatch):
    monkeypatch.setattr(meta_regression, "META_REGRESSION", RECIPE)
    for module in (meta_regression, _report):
        monkeypatch.setattr(module, "RESULTS", tmp_path)

    def main(action, steps, *models):
        runs = str(tmp_path / f"runs-{steps}")
        meta_regression.main([action, "--steps", str(steps), "--runs", runs, "--batches", "2", "--models", *models])

    main("train", 3, "cnp", "cmanp")
    main("all", 2, "cnp")
    main("evaluate", 3, "cmanp")
    main("evaluate", 3, "cnp", "tnp-d")  # of which one has not begun
    with open(tmp_path / "meta_regression.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["steps"], row["trained"]) for row in rows if row["steps"]] == [
        ("cmanp", "3", "3"),
        ("cnp", "2", "2"),
        ("cnp", "3", "3"),
    ]
    exact = {row["model"]: row for row in rows if not row["steps"]}
    assert list(exact) == ["gp, integrated", "gp, integrated, joint", "gp, true", "gp, true, joint"]
    for tasks in meta_regression.EVALUATIONS:
        assert float(exact["gp, integrated"][f"{tasks} to optimum"]) == 0
        for row in rows[:3]:
            gap = float(row[tasks]) - float(exact["gp, integrated"][tasks])
            assert float(row[f"{tasks} to optimum"]) == pytest.approx(gap)
            assert gap < -0.2
    assert {path.name for path in tmp_path.glob("*.png")} == {"meta_regression_2.png", "meta_regression_3.png"}
