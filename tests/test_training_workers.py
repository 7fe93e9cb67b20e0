import os
import socket
import subprocess
import sys

import pytest
import torch
from test_recipes import TEXT, write

from skcmanp.cli import main
from skcmanp.tasks import TaskBatch
from skcmanp.training import TrainingLog
from skcmanp.training.workers import Workers, process_group

RECIPE = TEXT.replace("steps = 3", "steps = 6\nbatch_size = 4\nevaluate_every = 2\nn_evaluation = 1\naccumulate = 2")


def train(tmp_path, name, run):
    """Train by a command; an empty context in most batches leaves parameters unused, and parts are added up."""
    recipe = write(tmp_path, RECIPE.replace("n_context", "p_empty = 0.5\nn_context"))
    output = tmp_path / name
    assert run(["train", str(recipe), "--output", str(output), "--device", "cpu"]) == 0
    return TrainingLog.read(output / "log.jsonl"), torch.load(output / "state.pt", weights_only=True)["model"]


def test_two_processes_train_as_one(tmp_path):
    def in_two_processes(arguments):
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        done = subprocess.run(
            [sys.executable, *launcher, "-m", "skcmanp", *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        assert "arning" not in done.stderr.replace("FutureWarning", "")
        assert done.stdout.count("are written") == 1
        return done.returncode

    one, weights_one = train(tmp_path, "one", main)
    two, weights_two = train(tmp_path, "two", in_two_processes)
    assert two.column("step") == [2, 4, 6]
    for key in ("train_log_likelihood", "log_likelihood"):
        assert two.column(key) == pytest.approx(one.column(key), abs=1e-5)
    for name, weight in weights_one.items():
        torch.testing.assert_close(weights_two[name], weight, atol=1e-4, rtol=1e-3)


def test_alone_there_is_nothing_to_agree_on():
    workers = Workers.current()
    assert workers == Workers(0, 1)
    assert workers.is_first
    assert workers.agree(1.5, True) == (1.5, True)
    batch = TaskBatch(*(torch.zeros(4, 2, 1) for _ in range(4)))
    assert workers.share(batch).x.shape == (4, 2, 1)
    with process_group(torch.device("cpu")) as device:
        assert device.type == "cpu"


LEAVE = """
import os
import torch
from skcmanp.training.workers import Workers, process_group
with process_group(torch.device("cpu")):
    weight = torch.nn.Parameter(torch.ones(3))
    weight.sum().backward()
    Workers(0, 2).average_gradients([weight])
    torch.optim.AdamW([weight]).step()
for task in os.listdir("/proc/self/task"):
    print(open(f"/proc/self/task/{task}/comm").read().strip())
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="lists its threads in Linux's /proc")
def test_threads_of_the_group_end_with_it():
    """Those that were left at the end of the interpreter aborted the process now and then."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    alone = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    done = subprocess.run(
        [sys.executable, "-c", LEAVE], capture_output=True, text=True, env={**os.environ, **alone}, check=True
    )
    assert done.stdout
    assert "gloo" not in done.stdout


def test_shares_are_parts_of_the_batch():
    batch = TaskBatch(*(torch.arange(6.0).view(6, 1, 1) for _ in range(4)))
    shares = [Workers(rank, 3).share(batch).y_target for rank in range(3)]
    assert torch.equal(torch.cat(shares), batch.y_target)
