"""Kill and resume: ``python -m tests.fuzz.kills [n]`` trains by the command line, and kills it with SIGKILL.

After every kill, at a random moment, the run must resume; after all of them its
weights must be, to the bit, those of a run that was left alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from skcmanp.training.loop import load_state
from tests.fuzz.abuses import RECIPE

SLOWLY = RECIPE.replace("steps = 3", "steps = {steps}\nsave_seconds = 0.0\ndistinct = 5\ncooldown = 0.0")


def train(folder: Path, steps: int, output: str) -> subprocess.Popen:
    (folder / "recipe.toml").write_text(SLOWLY.replace("{steps}", str(steps)))
    command = [sys.executable, "-m", "skcmanp", "train", "recipe.toml", "--resume", "--device", "cpu", "--threads", "1"]
    return subprocess.Popen(
        [*command, "--output", output], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def run(n: int, seed: int = 0) -> str:
    """What is wrong after `n` kills; nothing is empty."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as top:
        folder, state, kills = Path(top), Path(top, "killed", "state.pt"), 0
        while kills < n:
            process = train(folder, 10**6, "killed")
            deadline = time.monotonic() + 300
            while not (folder / "killed" / ".lock").exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            before = state.stat().st_mtime_ns if state.exists() else 0
            while (state.stat().st_mtime_ns if state.exists() else 0) == before and process.poll() is None:
                if time.monotonic() > deadline:
                    return "no state is saved"
                time.sleep(0.01)
            time.sleep(rng.exponential(0.2))
            if process.poll() is not None:
                return f"after {kills} kills: {process.communicate()[0].decode()[-500:]}"
            process.kill()
            process.communicate()
            kills += 1
        steps = (load_state(state)["step"] if state.exists() else 0) + 3
        for output in ("killed", "alone"):
            process = train(folder, steps, output)
            told = process.communicate()[0].decode()
            if process.returncode:
                return f"after {kills} kills: {told[-500:]}"
        killed, alone = (load_state(folder / output / "state.pt")["model"] for output in ("killed", "alone"))
        if not all(torch.equal(killed[name], weight) for name, weight in alone.items()):
            return f"other weights after {kills} kills and {steps} steps"
        left = [path.name for path in (folder / "killed").rglob("*.partial")]
        print(f"{kills} kills, {steps} steps", flush=True)
        return f"left behind: {left}" if left else ""


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
