"""Trainings that take hours, one after the other in the background, and what is known of them meanwhile.

A run is a folder with the state and the log that `meta_train` writes, and nothing else is remembered. So a queue that
was killed at any moment, and is started again, goes on where the first unfinished run was saved last, to the same bits.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from _report import show
from _runs import Variant, train_in, training_options, untrained
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from skcmanp.files import replacing
from skcmanp.recipes import Recipe
from skcmanp.training import TrainingLog
from skcmanp.training.loop import load_state


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run is: steps saved of those to make, and its learning curve."""

    step: int
    steps: int
    log: TrainingLog

    @classmethod
    def of(cls, variant: Variant, recipe: Recipe, steps: int, runs: Path) -> Progress:
        folder = runs / variant.name
        steps = training_options(variant, recipe, steps).steps
        if not (folder / "state.pt").exists():
            return cls(0, steps, TrainingLog())
        step = load_state(folder / "state.pt")["step"]
        log = folder / "log.jsonl"
        return cls(step, steps, TrainingLog.read(log) if log.exists() else TrainingLog())

    @property
    def done(self) -> bool:
        return self.step >= self.steps

    @property
    def seconds_per_step(self) -> float | None:
        """The median of the log, which does not mind that a process was stopped for a while."""
        return 1 / statistics.median(self.log.column("steps_per_second")) if self.log else None


@contextmanager
def locked(runs: Path) -> Iterator[None]:
    """Work alone in a folder; the kernel unlocks it when the process ends, however that may be.

    Raises
    ------
    BlockingIOError
        If another process works there.
    """
    runs.mkdir(parents=True, exist_ok=True)
    with open(runs / "lock", "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise BlockingIOError(f"Process {file.read()} is at work in {runs}.") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def work(
    variants: Sequence[Variant], recipe: Recipe, steps: int, runs: Path, snapshots: Path | None = None, **options: Any
) -> None:
    """Train all variants one after the other, at low priority and on one thread.

    A run whose loss is not finite is left for the next one.

    Parameters
    ----------
    variants : sequence of Variant
        In this order; one that starts from another comes after it.
    recipe, steps, runs
        As in `train`.
    snapshots : path, optional
        Folder of what `snapshot` has kept, for runs whose state is gone.
    **options
        `TrainingOptions` of all runs alike.
    """
    os.nice(19)
    torch.set_num_threads(1)
    failed = set()
    with locked(runs):
        for variant in variants:
            folder, training = runs / variant.name, training_options(variant, recipe, steps, **options)
            if snapshots is not None and not (folder / "state.pt").exists():
                restore(folder, snapshots / f"{variant.name}.safetensors")
            if Progress.of(variant, recipe, steps, runs).done:
                continue
            if variant.start in failed:
                failed.add(variant.name)
                continue

            def report(line: dict[str, float], name: str = variant.name, of: int = training.steps) -> None:
                say(f"{name}: {line['step']:,} of {of:,} steps, log-likelihood {line['log_likelihood']:.3f}")

            try:
                train_in(
                    folder, untrained(variant, recipe, runs), recipe.tasks, training, progress=False, on_log=report
                )
            except FloatingPointError as error:
                failed.add(variant.name)
                say(f"{variant.name}: {error}")


def say(text: str) -> None:
    """Print a line with the time."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", flush=True)


def status(variants: Sequence[Variant], recipe: Recipe, steps: int, runs: Path) -> list[dict]:
    """Print and return how far every run is, with its speed and the hours that it still takes."""
    rows, total = [], 0.0
    for variant in variants:
        progress = Progress.of(variant, recipe, steps, runs)
        seconds, last = progress.seconds_per_step, progress.log[-1] if progress.log else None
        left = None if seconds is None else (progress.steps - progress.step) * seconds / 3600
        total += left or 0.0
        row = {"run": variant.name, "steps": progress.step, "of": progress.steps}
        row["log-likelihood"] = "" if last is None else f"{last['log_likelihood']:.3f}"
        row["seconds a step"] = "" if seconds is None else f"{seconds:.3f}"
        row["hours left"] = "" if left is None else f"{left:.2f}"
        rows.append(row)
    show(rows)
    worker = "nobody is at work"
    if (runs / "lock").exists():
        try:
            with locked(runs):
                pass
        except BlockingIOError as error:
            worker = str(error).rstrip(".")
    print(f"{worker}; {total:.2f} hours left of the runs that have been begun.")
    return rows


def load(variant: Variant, recipe: Recipe, runs: Path) -> nn.Module:
    """The network of a run as it is saved, ready to predict."""
    model = untrained(variant, recipe)
    model.load_state_dict(load_state(runs / variant.name / "state.pt")["model"])
    return model.eval()


def snapshot(variants: Sequence[Variant], recipe: Recipe, steps: int, runs: Path, folder: Path) -> list[Path]:
    """Keep what a lost folder of runs could not do without, in files small enough to be committed.

    These are float16 weights, steps and log of runs that are not done, and of those that such a run starts from;
    files of others in `folder` are removed. Returns what was written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    progress = {variant.name: Progress.of(variant, recipe, steps, runs) for variant in variants}
    needed = {variant.start for variant in variants if not progress[variant.name].done}
    written = []
    for name, run in progress.items():
        path = folder / f"{name}.safetensors"
        if not run.step or (run.done and name not in needed):
            path.unlink(missing_ok=True)
            continue
        state = load_state(runs / name / "state.pt")
        weights = {key: value.half() for key, value in state["model"].items()}
        about = {"step": state["step"], "seconds": state["seconds"], "log": run.log}
        with replacing(path) as partial:
            save_file(weights, partial, {key: json.dumps(value) for key, value in about.items()})
        print(f"{path}: {state['step']:,} steps, {path.stat().st_size / 1e6:.2f} MB")
        written.append(path)
    return written


def restore(folder: Path, path: Path) -> None:
    """Begin a run's folder from a snapshot, if there is one."""
    if not path.exists():
        return
    with safe_open(path, "pt") as file:
        about = {key: json.loads(value) for key, value in file.metadata().items()}
        weights = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118, not a dict
    folder.mkdir(parents=True, exist_ok=True)
    lines = (line for line in about.pop("log") if line["step"] <= about["step"])
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    state = {"model": weights, "average": None, "optimizer": None, **about}
    with replacing(folder / "state.pt") as partial:
        torch.save(state, partial)
    say(f"{folder.name}: goes on from {path} at step {about['step']:,}, with float16 weights and a fresh optimiser.")
