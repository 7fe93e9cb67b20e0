"""Meta-training: maximise the log-likelihood of targets over a stream of tasks."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from skcmanp.nn.calibration import calibrate
from skcmanp.nn.model import CMANP
from skcmanp.tasks.base import TaskBatch, TaskGenerator


@dataclass(frozen=True)
class TrainingOptions:
    """How a `meta_train` run optimises.

    Parameters
    ----------
    steps : int, default=10000
        Optimiser steps. A finished or interrupted run can be resumed with
        more; it is then the run that had them from the start, provided that
        its cool-down had not begun.
    batch_size : int, default=32
        Tasks in a step.
    learning_rate : float, default=1e-3
        Of AdamW with betas (0.9, 0.98), after warm-up.
    warmup : int, default=500
        Steps of linear warm-up.
    cooldown : float, default=0.3
        Last fraction of the steps, in which the learning rate falls to zero
        along a half cosine.
    weight_decay : float, default=1e-4
    clip : float, default=1.0
        Largest norm of the gradient.
    seed : int, default=0
        Of the initial weights. Tasks do not depend on it: see `task_generator`.
    evaluate_every : int, default=1000
        Steps between evaluations, log lines and saves.
    n_evaluation : int, default=32
        Batches in the fixed evaluation set.
    """

    steps: int = 10_000
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup: int = 500
    cooldown: float = 0.3
    weight_decay: float = 1e-4
    clip: float = 1.0
    seed: int = 0
    evaluate_every: int = 1000
    n_evaluation: int = 32

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of a step: warm-up, plateau, cool-down."""
        cooldown_steps = self.cooldown * self.steps
        left = (self.steps - step) / cooldown_steps if cooldown_steps else 1.0
        fall = 1.0 if left >= 1 else 0.5 - 0.5 * math.cos(math.pi * left)
        return self.learning_rate * min(1.0, (step + 1) / max(1, self.warmup)) * fall


# Steps from here on are for evaluation; training never gets so far.
EVALUATION_STEP = 2**31


def task_generator(step: int) -> torch.Generator:
    """Random generator of one step's tasks.

    A step draws the same tasks in every run. So models are trained on equal
    data, and resuming at a step needs no other state. Negative steps are for
    calibration. Only 32 bits of a seed reach the generator.
    """
    return torch.Generator().manual_seed(step % 2**32)


def target_log_likelihood(model: CMANP, batch: TaskBatch) -> Tensor:
    """Log-likelihood per task: sum over target dimensions, mean over targets, (B,)."""
    distribution = model(batch.x, batch.y, batch.x_target)
    return distribution.log_prob(batch.y_target).sum(-1).mean(-1)


@torch.no_grad()
def evaluate(
    model: CMANP,
    tasks: TaskGenerator,
    n_batches: int = 32,
    batch_size: int = 32,
) -> dict[str, float]:
    """Mean log-likelihood, its standard error and 90 % coverage on fixed tasks.

    Parameters
    ----------
    model : CMANP
    tasks : TaskGenerator
    n_batches, batch_size : int, default=32

    Returns
    -------
    dict
        ``log_likelihood`` (nats per target, higher is better),
        ``standard_error`` (over batches, whose tasks share their sizes),
        ``coverage_90`` (fraction of targets in the central 90 % interval).
    """
    device = next(model.parameters()).device
    likelihoods, covered = [], []
    for i in range(n_batches):
        batch = tasks.sample(batch_size, task_generator(EVALUATION_STEP + i)).to(device)
        distribution = model(batch.x, batch.y, batch.x_target)
        likelihoods.append(distribution.log_prob(batch.y_target).sum(-1).mean().item())
        z = (batch.y_target - distribution.mean).abs() / distribution.stddev
        covered.append((z < 1.6448536).float().mean().item())
    values = torch.tensor(likelihoods, dtype=torch.float64)
    return {
        "log_likelihood": values.mean().item(),
        "standard_error": values.std().item() / math.sqrt(n_batches) if n_batches > 1 else math.nan,
        "coverage_90": sum(covered) / n_batches,
    }


def meta_train(
    model: CMANP,
    tasks: TaskGenerator,
    options: TrainingOptions,
    *,
    state_path: str | Path | None = None,
    log_path: str | Path | None = None,
    progress: bool = True,
    on_log: Callable[[dict[str, float]], None] | None = None,
) -> list[dict[str, float]]:
    """Train `model` in place on tasks drawn on the fly.

    Parameters
    ----------
    model : CMANP
        On the device to train on.
    tasks : TaskGenerator
    options : TrainingOptions
    state_path : path, optional
        File of the run's state (weights, optimiser, step), written atomically
        at every evaluation. If it exists, the run continues from it.
    log_path : path, optional
        JSON-lines file; one line is appended at every evaluation.
    progress : bool, default=True
        Show a progress bar.
    on_log : callable, optional
        Called with every log line.

    Returns
    -------
    list of dict
        The log lines of this call: step, learning rate, training and
        evaluation log-likelihood, seconds, steps and rows per second.

    Raises
    ------
    FloatingPointError
        If the loss is not finite; the last good state stays on disk.

    Examples
    --------
    >>> from skcmanp import CMANP, CMANPConfig
    >>> from skcmanp.tasks import FunctionTasks, RandomLinear
    >>> from skcmanp.training import TrainingOptions, meta_train
    >>> model = CMANP(CMANPConfig(dim=16, n_blocks=1, n_block_latents=4, n_input_latents=4))
    >>> options = TrainingOptions(steps=2, batch_size=4, evaluate_every=2, n_evaluation=1)
    >>> log = meta_train(model, FunctionTasks([RandomLinear()], dim_x=1), options, progress=False)
    >>> log[-1]["step"]
    2
    """
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=options.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=options.weight_decay,
        fused=True,
    )
    start, seconds = 0, 0.0
    if state_path is not None and Path(state_path).exists():
        saved = torch.load(state_path, map_location=device, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        start, seconds = saved["step"], saved["seconds"]
    else:
        calibration = (tasks.sample(options.batch_size, task_generator(-i)) for i in range(1, 17))
        calibrate(model, [(batch.x.to(device), batch.y.to(device)) for batch in calibration])

    log: list[dict[str, float]] = []
    window: list[float] = []
    rows, tick = 0, time.perf_counter()
    bar = tqdm(range(start, options.steps), initial=start, total=options.steps, disable=not progress, unit="step")
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate_at(step)
        batch = tasks.sample(options.batch_size, task_generator(step)).to(device)
        loss = -target_log_likelihood(model, batch).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), options.clip)
        if not (math.isfinite(loss.item()) and math.isfinite(norm.item())):
            raise FloatingPointError(
                f"The loss is {loss.item()} (gradient norm {norm.item()}) at step {step}; lower the "
                f"learning rate and resume from the last good state{f' in {state_path}' if state_path else ''}."
            )
        optimizer.step()
        window.append(-loss.item())
        rows += batch.x.shape[0] * (batch.x.shape[1] + batch.x_target.shape[1])

        done = step + 1
        if done % options.evaluate_every == 0 or done == options.steps:
            elapsed = time.perf_counter() - tick
            seconds += elapsed
            line = {
                "step": done,
                "learning_rate": options.learning_rate_at(step),
                "train_log_likelihood": sum(window) / len(window),
                **evaluate(model, tasks, options.n_evaluation, options.batch_size),
                "seconds": round(seconds, 1),
                "steps_per_second": round(len(window) / elapsed, 2),
                "rows_per_second": round(rows / elapsed),
            }
            log.append(line)
            bar.set_postfix(ll=f"{line['log_likelihood']:.3f}", rows_s=line["rows_per_second"])
            if log_path is not None:
                with open(log_path, "a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
            if on_log is not None:
                on_log(line)
            if state_path is not None:
                state = {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": done,
                    "seconds": seconds,
                }
                partial = f"{state_path}.partial"
                torch.save(state, partial)
                os.replace(partial, state_path)
            window, rows, tick = [], 0, time.perf_counter()
    return log
