import dataclasses
import json
import math
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest
import torch
from conftest import make_model

from skcmanp.tasks import FunctionTasks, RandomLinear
from skcmanp.training import (
    EVALUATION_STEP,
    TrainingOptions,
    evaluate,
    meta_train,
    target_log_likelihood,
    task_generator,
)

OPTIONS = TrainingOptions(steps=12, batch_size=4, warmup=2, evaluate_every=4, n_evaluation=2)


def fresh():
    return make_model(dim_x=2), FunctionTasks([RandomLinear()], dim_x=2, n_context=(1, 20), n_target=8)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_training_improves_the_likelihood():
    model, tasks = fresh()
    log = meta_train(model, tasks, dataclasses.replace(OPTIONS, steps=300, evaluate_every=100), progress=False)
    assert [line["step"] for line in log] == [100, 200, 300]
    assert log[-1]["log_likelihood"] > log[0]["log_likelihood"]
    assert log[-1]["rows_per_second"] > 0


def test_resuming_is_bit_identical(tmp_path):
    straight, tasks = fresh()
    meta_train(straight, tasks, OPTIONS, progress=False)
    interrupted, tasks = fresh()
    state = tmp_path / "state.pt"
    with pytest.raises(InterruptedError):
        meta_train(interrupted, tasks, OPTIONS, state_path=state, progress=False, on_log=raise_interrupted)
    resumed, tasks = fresh()
    log = meta_train(resumed, tasks, OPTIONS, state_path=state, progress=False)
    assert log[0]["step"] in (4, 8)
    assert torch.equal(weights(resumed), weights(straight))


def raise_interrupted(line):
    if line["step"] == 8:
        raise InterruptedError


def test_a_killed_process_resumes(tmp_path):
    """SIGKILL at any moment leaves a state that continues to the same weights."""
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from test_training import *\n"
        "model, tasks = fresh()\n"
        "options = dataclasses.replace(OPTIONS, steps=10**6, cooldown=0.0, evaluate_every=1, n_evaluation=1)\n"
        f"meta_train(model, tasks, options, state_path={str(tmp_path / 'state.pt')!r}, progress=False)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 120
    while not (tmp_path / "state.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = torch.load(tmp_path / "state.pt", weights_only=True)["step"]
    options = dataclasses.replace(OPTIONS, steps=done + 3, cooldown=0.0, evaluate_every=1, n_evaluation=1)
    resumed, tasks = fresh()
    meta_train(resumed, tasks, options, state_path=tmp_path / "state.pt", progress=False)
    straight, tasks = fresh()
    meta_train(straight, tasks, options, progress=False)
    assert torch.equal(weights(resumed), weights(straight))


def test_log_lines_are_json(tmp_path):
    model, tasks = fresh()
    log = meta_train(model, tasks, OPTIONS, log_path=tmp_path / "log.jsonl", progress=False)
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()] == log


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_state(tmp_path):
    class Poisoned:
        def __init__(self, tasks):
            self.tasks, self.poison = tasks, False

        def sample(self, batch_size, generator):
            batch = self.tasks.sample(batch_size, generator)
            return batch._replace(y_target=batch.y_target * math.nan) if self.poison else batch

    model, tasks = fresh()
    poisoned = Poisoned(tasks)
    state = tmp_path / "state.pt"
    good = weights(model)

    def poison(line):
        nonlocal good
        good, poisoned.poison = weights(model).clone(), True

    with pytest.raises(FloatingPointError, match=r"loss is nan .* at step 4; lower the learning rate.*state\.pt"):
        meta_train(model, poisoned, OPTIONS, state_path=state, progress=False, on_log=poison)
    saved, _ = fresh()
    saved.load_state_dict(torch.load(state, weights_only=True)["model"])
    assert torch.equal(weights(saved), good)


def test_learning_rate_warms_up_holds_and_cools_down():
    options = TrainingOptions(steps=1000, learning_rate=1.0, warmup=100, cooldown=0.3)
    rates = [options.learning_rate_at(step) for step in range(1000)]
    assert rates[0] == 0.01
    assert rates[99] == rates[699] == 1.0
    assert all(a >= b for a, b in pairwise(rates[699:]))
    assert rates[-1] < 1e-4
    assert TrainingOptions(steps=10, cooldown=0.0, warmup=0).learning_rate_at(9) == 1e-3


def test_evaluation_is_fixed_and_calibrated_for_the_prior():
    model, tasks = fresh()
    a, b = evaluate(model, tasks, 3, 4), evaluate(model, tasks, 3, 4)
    assert a == b
    assert 0 <= a["coverage_90"] <= 1
    assert a["standard_error"] > 0


def test_log_likelihood_is_per_task():
    model, tasks = fresh()
    batch = tasks.sample(4, task_generator(0))
    likelihood = target_log_likelihood(model, batch)
    assert likelihood.shape == (4,)
    expected = model(batch.x, batch.y, batch.x_target).log_prob(batch.y_target)[0].mean()
    torch.testing.assert_close(likelihood[0], expected)


def test_steps_draw_different_tasks():
    steps = [*range(-20, 20), *range(EVALUATION_STEP, EVALUATION_STEP + 20)]
    assert len({torch.rand(1, generator=task_generator(step)).item() for step in steps}) == len(steps)
