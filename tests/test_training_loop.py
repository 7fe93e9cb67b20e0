import dataclasses
import math
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from conftest import make_model

from skcmanp import CMANP
from skcmanp.tasks import FunctionTasks, RandomLinear
from skcmanp.training import TrainingLog, TrainingOptions, evaluate, initialize, meta_train

OPTIONS = TrainingOptions(steps=12, batch_size=4, warmup=2, evaluate_every=4, n_evaluation=2)


def fresh(seed=0):
    return make_model(seed, dim_x=2), FunctionTasks([RandomLinear()], dim_x=2, n_context=(1, 20), n_target=8)


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


@pytest.mark.parametrize(("save_seconds", "saved"), [(0.0, 7), (math.inf, 5)])
def test_states_are_saved_between_evaluations(tmp_path, save_seconds, saved):
    options = dataclasses.replace(OPTIONS, evaluate_every=5, save_seconds=save_seconds)
    straight, tasks = fresh()
    expected = meta_train(straight, tasks, options, progress=False)

    class Breaking:
        def sample(self, batch_size, generator):
            if generator.initial_seed() == 7:
                raise InterruptedError
            return tasks.sample(batch_size, generator)

    state = tmp_path / "state.pt"
    with pytest.raises(InterruptedError):
        meta_train(fresh()[0], Breaking(), options, state_path=state, progress=False)
    kept = torch.load(state, weights_only=True)
    assert kept["step"] == saved
    resumed = fresh()[0]
    log = meta_train(resumed, tasks, options, state_path=state, progress=False)
    assert torch.equal(weights(resumed), weights(straight))
    assert log.column("log_likelihood") == expected.column("log_likelihood")[1:]
    assert log[0]["seconds"] >= round(kept["seconds"], 1)


def test_a_state_without_optimiser_continues_with_a_fresh_one(tmp_path):
    state = tmp_path / "state.pt"
    model, tasks = fresh()
    meta_train(model, tasks, dataclasses.replace(OPTIONS, steps=6, cooldown=0.0), state_path=state, progress=False)
    torch.save({**torch.load(state, weights_only=True), "optimizer": None}, state)
    log = meta_train(model, tasks, OPTIONS, state_path=state, progress=False)
    assert log.column("step") == [8, 12]


def raise_interrupted(line):
    if line["step"] == 8:
        raise InterruptedError


def test_a_killed_process_resumes(tmp_path):
    """SIGKILL at any moment leaves a state that continues to the same weights."""
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from test_training_loop import *\n"
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


def test_log_lines_are_written(tmp_path):
    model, tasks = fresh()
    log = meta_train(model, tasks, OPTIONS, log_path=tmp_path / "log.jsonl", progress=False)
    assert TrainingLog.read(tmp_path / "log.jsonl") == log
    assert log.column("step") == [4, 8, 12]


def test_distinct_batches_come_again_in_order():
    model, tasks = fresh()
    seeds = []

    class Recorded:
        def sample(self, batch_size, generator):
            seeds.append(generator.initial_seed())
            return tasks.sample(batch_size, generator)

    options = dataclasses.replace(OPTIONS, steps=7, distinct=3)
    meta_train(model, Recorded(), options, evaluation_tasks=tasks, progress=False)
    assert seeds == [0, 1, 2, 0, 1, 2, 0]


def test_evaluation_tasks_replace_the_training_tasks():
    model, tasks = fresh()
    other = FunctionTasks([RandomLinear()], dim_x=2, n_context=(1, 3), n_target=5)
    log = meta_train(model, tasks, OPTIONS, evaluation_tasks=other, progress=False)
    assert log[-1]["log_likelihood"] == evaluate(model, other, 2, 4)["log_likelihood"]


def test_initialize_helps_and_returns_the_model():
    tasks = fresh()[1]
    torch.manual_seed(0)
    model = CMANP(make_model(dim_x=2).config)
    before = weights(model).clone()
    assert initialize(model, tasks, 4) is model
    assert not torch.equal(weights(model), before)


@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGINT"])
def test_a_stopped_process_saves_and_resumes(tmp_path, signal_name):
    """Between evaluations a signal still loses no step."""
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from test_training_loop import *\n"
        "model, tasks = fresh()\n"
        "class Told:\n"
        "    def sample(self, *arguments):\n"
        "        print('step', flush=True)\n"
        "        return tasks.sample(*arguments)\n"
        "options = dataclasses.replace(OPTIONS, steps=10**6, cooldown=0.0, evaluate_every=10**6)\n"
        f"meta_train(model, Told(), options, state_path={str(tmp_path / 'state.pt')!r}, progress=False)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(5):
        assert process.stdout.readline() == "step\n"
    process.send_signal(getattr(signal, signal_name))
    _, err = process.communicate(timeout=120)
    if signal_name == "SIGTERM":
        assert process.returncode == 143
    else:
        assert "KeyboardInterrupt" in err
    done = torch.load(tmp_path / "state.pt", weights_only=True)["step"]
    assert done >= 5
    options = dataclasses.replace(OPTIONS, steps=done + 1, cooldown=0.0)
    resumed, tasks = fresh()
    meta_train(resumed, tasks, options, state_path=tmp_path / "state.pt", progress=False)
    straight, tasks = fresh()
    meta_train(straight, tasks, options, progress=False)
    assert torch.equal(weights(resumed), weights(straight))


def test_a_signal_during_the_last_evaluation_is_not_lost(tmp_path):
    def terminate(line):
        if line["step"] == OPTIONS.steps:
            os.kill(os.getpid(), signal.SIGTERM)

    model, tasks = fresh()
    state = tmp_path / "state.pt"
    with pytest.raises(SystemExit) as error:
        meta_train(model, tasks, OPTIONS, state_path=state, progress=False, on_log=terminate)
    assert error.value.code == 143
    assert torch.load(state, weights_only=True)["step"] == OPTIONS.steps


def test_accumulated_gradients_are_those_of_the_whole_batch():
    whole, tasks = fresh()
    log = meta_train(whole, tasks, OPTIONS, progress=False)
    parts, tasks = fresh()
    log_parts = meta_train(parts, tasks, dataclasses.replace(OPTIONS, accumulate=4), progress=False)
    for key in ("train_log_likelihood", "log_likelihood"):
        assert log_parts.column(key) == pytest.approx(log.column(key), rel=1e-4)


def test_batches_must_be_shared_out_equally():
    model, tasks = fresh()
    with pytest.raises(ValueError, match=r"batch_size=4 must be a multiple of processes times accumulate, 1 x 3"):
        meta_train(model, tasks, dataclasses.replace(OPTIONS, accumulate=3), progress=False)


def test_averaged_weights_are_evaluated_and_are_the_result(tmp_path):
    options = dataclasses.replace(OPTIONS, ema=0.5)
    model, tasks = fresh()
    log = meta_train(model, tasks, options, progress=False)
    raw, tasks = fresh()
    meta_train(raw, tasks, OPTIONS, progress=False)
    assert not torch.equal(weights(model), weights(raw))
    assert log[-1]["log_likelihood"] == evaluate(model, tasks, 2, 4)["log_likelihood"]

    # By hand: the first average is the first step's weights.
    expected, tasks = fresh()
    average = None
    for step in range(1, 13):
        state = tmp_path / "by_hand.pt"
        meta_train(
            expected, tasks, dataclasses.replace(OPTIONS, steps=step, cooldown=0.0), state_path=state, progress=False
        )
        average = weights(expected) if average is None else 0.5 * average + 0.5 * weights(expected)
    constant, tasks = fresh()
    meta_train(constant, tasks, dataclasses.replace(options, cooldown=0.0), progress=False)
    torch.testing.assert_close(weights(constant), average)


def test_averaged_weights_resume(tmp_path):
    options = dataclasses.replace(OPTIONS, ema=0.9)
    straight, tasks = fresh()
    meta_train(straight, tasks, options, progress=False)
    state = tmp_path / "state.pt"
    interrupted, tasks = fresh()
    with pytest.raises(InterruptedError):
        meta_train(interrupted, tasks, options, state_path=state, progress=False, on_log=raise_interrupted)
    resumed, tasks = fresh()
    meta_train(resumed, tasks, options, state_path=state, progress=False)
    assert torch.equal(weights(resumed), weights(straight))
    with pytest.raises(ValueError, match=r"The run in .* was started with ema 0\.9, and is to go on with 0\.0"):
        meta_train(fresh()[0], tasks, OPTIONS, state_path=state, progress=False)


@pytest.mark.parametrize("memory", [{}, {"memory_features": 16}])
def test_a_joint_head_learns_and_leaves_marginals_alone(memory):
    """Targets of random lines are correlated, which shows in their joint likelihood alone."""
    model = make_model(0, dim_x=2, **memory).with_joint_head(2)
    tasks = FunctionTasks([RandomLinear()], dim_x=2, n_context=(1, 3), n_target=8)
    options = dataclasses.replace(OPTIONS, steps=200, evaluate_every=100, trainable="correlations.", learning_rate=1e-2)
    before = evaluate(model, tasks, 4)
    others = {name: p.clone() for name, p in model.state_dict().items() if not name.startswith("correlations.")}
    log = meta_train(model, tasks, options, progress=False)
    after = evaluate(model, tasks, 4)
    assert log[-1]["joint_log_likelihood"] > log[0]["joint_log_likelihood"]
    assert after["joint_log_likelihood"] > before["joint_log_likelihood"] + 0.05
    assert after["log_likelihood"] == before["log_likelihood"]
    assert all(torch.equal(model.state_dict()[name], p) for name, p in others.items())


def test_blocks_learn_alone_before_the_memory_does():
    model = make_model(dim_x=2, memory_features=16, memory_fusion="gate")
    _, tasks = fresh()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def changed():
        state = model.state_dict()
        return {name.split(".")[0] for name in before if not torch.equal(state[name], before[name])}

    while_alone = []
    options = dataclasses.replace(OPTIONS, alone=8)
    meta_train(model, tasks, options, progress=False, on_log=lambda line: while_alone.append(changed()))
    assert {"blocks", "head"} <= while_alone[0] == while_alone[1]
    assert not {"memory", "gate"} & while_alone[1]
    assert {"memory", "gate"} <= while_alone[2]


@pytest.mark.parametrize("memory", [{}, {"memory_features": 16}])
def test_only_blocks_beside_a_gate_learn_alone(memory):
    with pytest.raises(ValueError, match="alone=3 is for networks with memory_fusion='gate'"):
        meta_train(make_model(dim_x=2, **memory), fresh()[1], dataclasses.replace(OPTIONS, alone=3), progress=False)


def test_something_must_be_trainable():
    model, tasks = fresh()
    with pytest.raises(ValueError, match=r"trainable='correlations\.': no parameter"):
        meta_train(model, tasks, dataclasses.replace(OPTIONS, trainable="correlations."), progress=False)


def test_bfloat16_trains_and_keeps_weights_in_float32():
    model, tasks = fresh()
    log = meta_train(model, tasks, dataclasses.replace(OPTIONS, precision="bfloat16"), progress=False)
    reference, tasks = fresh()
    expected = meta_train(reference, tasks, OPTIONS, progress=False)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not torch.equal(weights(model), weights(reference))
    assert log.column("log_likelihood") == pytest.approx(expected.column("log_likelihood"), abs=0.05)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_on_a_gpu_sees_the_same_tasks(precision):
    model, tasks = fresh()
    options = dataclasses.replace(OPTIONS, precision=precision)
    log = meta_train(model.cuda(), tasks, options, progress=False)
    reference, tasks = fresh()
    expected = meta_train(reference, tasks, options, progress=False)
    tolerance = 1e-3 if precision == "float32" else 0.05
    assert log.column("log_likelihood") == pytest.approx(expected.column("log_likelihood"), abs=tolerance)


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


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"text", pytest.param({"step": 1}, id="keys"), pytest.param([1], id="list")]
)
def test_a_damaged_state_is_named_and_how_to_go_on(tmp_path, content):
    path = tmp_path / "state.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ValueError, match=r"state\.pt is (damaged|not the state of a run), .*or remove it"):
        meta_train(*fresh(), OPTIONS, state_path=path, progress=False)


def test_a_flipped_bit_in_a_state_is_noticed(tmp_path):
    path = tmp_path / "state.pt"
    meta_train(*fresh(), dataclasses.replace(OPTIONS, steps=2), state_path=path, progress=False)
    data = bytearray(path.read_bytes())
    weight = next(iter(torch.load(path, weights_only=True)["model"].values()))
    data[data.index(weight.numpy().tobytes()[:32])] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"state\.pt is damaged, .*or remove it.*not as it was written"):
        meta_train(*fresh(), OPTIONS, state_path=path, progress=False)


@pytest.mark.parametrize(
    ("changes", "identity", "message"),
    [
        ({"learning_rate": 0.5}, {"tasks": "a"}, "was started with learning_rate 0.001, and is to go on with 0.5"),
        ({"batch_size": 8}, {"tasks": "a"}, "was started with batch_size 4"),
        ({}, {"tasks": "b"}, "was started with tasks a, and is to go on with b"),
        ({}, {"tasks": "a", "config.dim": "2"}, "was started with config.dim 16, and is to go on with 2"),
    ],
)
def test_another_run_is_not_gone_on_with(tmp_path, changes, identity, message):
    (model, tasks), path = fresh(), tmp_path / "state.pt"
    options = dataclasses.replace(OPTIONS, steps=1, n_evaluation=1)
    meta_train(model, tasks, options, state_path=path, progress=False, identity={"tasks": "a"})
    options = dataclasses.replace(options, **changes, steps=2)
    with pytest.raises(ValueError, match=message):
        meta_train(fresh()[0], tasks, options, state_path=path, progress=False, identity=identity)
    with pytest.raises(ValueError, match=r"was started with"):
        meta_train(make_model(dim_x=2, n_blocks=1), tasks, options, state_path=path, progress=False)


def test_a_run_of_before_a_parameter_was_there_goes_on(tmp_path):
    (model, tasks), path = fresh(), tmp_path / "state.pt"
    options = dataclasses.replace(OPTIONS, steps=1, n_evaluation=1)
    meta_train(model, tasks, options, state_path=path, progress=False)
    state = torch.load(path, weights_only=True)
    assert state["run"].pop("config.memory_fusion") == "'correct'"
    torch.save(state, path)
    log = meta_train(fresh()[0], tasks, dataclasses.replace(options, steps=2), state_path=path, progress=False)
    assert [line["step"] for line in log] == [2]


def test_a_full_disk_leaves_the_last_state(tmp_path, monkeypatch):
    (model, tasks), path = fresh(), tmp_path / "state.pt"
    meta_train(model, tasks, dataclasses.replace(OPTIONS, steps=1), state_path=path, progress=False)
    before, save = path.read_bytes(), torch.save

    def full(state, file):
        save(state["step"], file)
        raise RuntimeError("unexpected pos 64 vs 0")  # as torch says it

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"cannot be written to .*state\.pt.*make room, and resume"):
        meta_train(model, tasks, dataclasses.replace(OPTIONS, steps=2), state_path=path, progress=False)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]
