"""Kill and resume: ``python -m tests.fuzz.kills [n]`` trains by the command line, and kills it with SIGKILL.

After every kill, at a random moment, the run must resume; after all of them its
weights must be, to the bit, those of a run that was left alone.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from skcmanp.cli import main as main_of_the_command_line
from skcmanp.training.loop import load_state
from tests.fuzz.abuses import RECIPE

SLOWLY = RECIPE.replace("steps = 3", "steps = {steps}\nsave_seconds = 0.0\ndistinct = 5\ncooldown = 0.0")


def train(folder: Path, steps: int, output: str) -> multiprocessing.Process:
    """The command line in a process of its own, which is forked, as importing torch would take the most time."""
    (folder / "recipe.toml").write_text(SLOWLY.replace("{steps}", str(steps)))
    arguments = ["train", str(folder / "recipe.toml"), "--resume", "--device", "cpu", "--output", str(folder / output)]
    process = multiprocessing.get_context("fork").Process(target=_run, args=(arguments,))
    process.start()
    return process


def _run(arguments: list[str]) -> None:
    with open(os.devnull, "w") as quiet:
        os.dup2(quiet.fileno(), 1)
        os.dup2(quiet.fileno(), 2)
        sys.exit(main_of_the_command_line(arguments))


def run(n: int, seed: int = 0) -> str:
    """What is wrong after `n` kills; nothing is empty."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as top:
        folder, state = Path(top), Path(top, "killed", "state.pt")
        steps: list[int] = []
        for kill in range(n):
            process, before = train(folder, 10**6, "killed"), _written(state)
            deadline = time.monotonic() + 60
            while _written(state) == before and process.is_alive() and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(rng.exponential(0.1))
            if _written(state) == before or not process.is_alive():
                process.kill()
                return f"it does not go on after {kill} kills"
            process.kill()
            process.join()
            steps.append(load_state(state)["step"])
        for output in ("killed", "alone"):
            process = train(folder, steps[-1] + 3, output)
            process.join()
            if process.exitcode:
                return f"it does not end after {n} kills"
        killed, alone = (load_state(folder / output / "state.pt")["model"] for output in ("killed", "alone"))
        if not all(torch.equal(killed[name], weight) for name, weight in alone.items()):
            return f"other weights after {n} kills and {steps[-1] + 3} steps"
        left = [path.name for path in (folder / "killed").rglob("*.partial")]
        print(f"{n} kills, {steps[-1] + 3} steps", flush=True)
        return f"left behind: {left}" if left else ""


def _written(path: Path) -> int:
    """When a file was last replaced."""
    return path.stat().st_mtime_ns if path.exists() else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", type=int, nargs="?", default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    wrong = run(arguments.n, arguments.seed)
    print(wrong or "all resumed to the same weights")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
