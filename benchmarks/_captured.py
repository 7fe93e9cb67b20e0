"""Training at the rate of a GPU's kernels: a step is one CUDA graph, and several runs share the device.

A step of these networks is more than a thousand small kernels, which take longer to launch than to run. Here they are
captured once for every number of context rows, with all 49 rows of a task as targets of which some count, and then a
step is a single launch. Tasks are drawn ahead by other processes and lie on the device. So steps are those of
`meta_train`, of the same tasks in the same order, and so are options, states and logs: a run that was begun with one
goes on with the other.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path

import torch
from _background import say
from _runs import Variant, training_options, untrained
from torch import Tensor, nn
from torch.distributions import Normal

from skcmanp.recipes import Recipe
from skcmanp.tasks.gp import GPTasks
from skcmanp.training import EVALUATION_STEP, TrainingLog, TrainingOptions, task_generator
from skcmanp.training.evaluation import HALF_WIDTH_90, has_joint_head
from skcmanp.training.loop import Run, identity_of

# Steps between synchronisations with the device; a log line is due after a multiple of them.
CHUNK = 1000
# Chunks that are drawn ahead.
AHEAD = 16


def draw(tasks: GPTasks, batch_size: int, steps: Sequence[int]) -> tuple[Tensor, list[int], Tensor]:
    """Tasks of steps: rows (S, B, W, 2), numbers of context rows, and weights of targets (S, W).

    The first rows of a task are its context; targets share a weight of 1, all other rows have none.
    """
    rows = torch.zeros(len(steps), batch_size, tasks.max_rows, 2)
    weight, n_context = torch.zeros(len(steps), tasks.max_rows), []
    for i, step in enumerate(steps):
        x, y, x_target, y_target = tasks.sample(batch_size, task_generator(step))[:4]
        n, m = x.shape[1], x_target.shape[1]
        rows[i, :, :n] = torch.cat([x, y], dim=-1)
        rows[i, :, n : n + m] = torch.cat([x_target, y_target], dim=-1)
        weight[i, n : n + m] = 1 / m
        n_context.append(n)
    return rows, n_context, weight


def scores(model: nn.Module, rows: Tensor, n: int, weight: Tensor) -> Tensor:
    """Means over tasks of coverage of 90 % and of log-likelihoods per target, the second one, of all jointly, if any.

    Of tasks (B, W, 2) of which `n` rows are context, with the weights of targets (W,).
    """
    x, y = rows.split(1, dim=-1)  # (B, W, 1) each
    jointly = []
    if has_joint_head(model):
        mean, covariance = model.joint(x, *model.condition(x[:, :n], y[:, :n]))  # (B, W, 1), (B, 1, W, W)
        marginals = Normal(mean, covariance.diagonal(dim1=2, dim2=3).sqrt().mT.to(mean.dtype), validate_args=False)
        jointly = [joint_log_likelihood(mean, covariance, y, weight)]
    else:
        marginals = model(x[:, :n], y[:, :n], x)
    z = (y - marginals.mean) / marginals.stddev
    each = [(z.abs() < HALF_WIDTH_90).float(), marginals.log_prob(y)]  # (B, W, 1)
    return torch.stack([(value.squeeze(-1) @ weight).mean() for value in each] + jointly)


def joint_log_likelihood(mean: Tensor, covariance: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """Of the targets that have weight, together, per target: the others are made independent and sure."""
    counts = weight > 0  # (W,)
    both = counts & counts.unsqueeze(1)  # (W, W)
    covariance = torch.where(both, covariance.squeeze(1), torch.eye(len(weight), dtype=torch.float64, device=y.device))
    error = torch.where(counts, (y - mean).squeeze(-1).double(), 0.0)  # (B, W)
    root = torch.linalg.cholesky_ex(covariance).L
    z = torch.linalg.solve_triangular(root, error.unsqueeze(-1), upper=False).squeeze(-1)
    log_density = -0.5 * z.square().sum(1) - root.diagonal(dim1=1, dim2=2).log().sum(1)
    per_target = weight.amax().double()  # one over their number
    return (log_density * per_target - 0.5 * math.log(2 * math.pi)).mean().to(y.dtype)


class CapturedRun:
    """A run of a variant on a device, of which a chunk of steps is launched without waiting for it.

    Parameters are those of `_runs.train`; `executor` draws tasks.
    """

    def __init__(
        self, variant: Variant, recipe: Recipe, steps: int, runs: Path, executor: Executor, device: torch.device,
        compiled: bool = False,
    ) -> None:  # fmt: skip
        self.name, self.folder, self.device, self.executor = variant.name, runs / variant.name, device, executor
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tasks: GPTasks = recipe.tasks
        self.options: TrainingOptions = training_options(variant, recipe, steps)
        self.model = untrained(variant, recipe, runs).to(device)
        self.run = Run(self.model, self.options, self.folder / "state.pt", identity_of(self.model, self.options))
        self.log_path = self.folder / "log.jsonl"
        self.drawn: deque[tuple[range, Future]] = deque()
        self.next = self.run.step
        if compiled:
            for part in (*self.model.blocks, *self.model.decoders):
                part.compile(dynamic=False)

        size, width = self.options.batch_size, self.tasks.max_rows
        self.rate = torch.zeros((), device=device)
        self.at = torch.zeros(1, dtype=torch.long, device=device)
        self.rows = torch.zeros(CHUNK, size, width, 2, device=device)
        self.weight = torch.zeros(CHUNK, width, device=device)
        self.rates = torch.zeros(CHUNK, device=device)
        self.found = torch.zeros(CHUNK, 3 if has_joint_head(self.model) else 2, device=device)
        self.norms = torch.zeros(CHUNK, device=device)
        for group in self.run.optimizer.param_groups:
            group.update(lr=self.rate, capturable=device.type == "cuda")
        self.graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self.evaluations: dict[int, torch.cuda.CUDAGraph] = {}
        rows, self.n_evaluated, weight = draw(
            self.tasks, size, range(EVALUATION_STEP, EVALUATION_STEP + self.options.n_evaluation)
        )
        self.evaluated_rows, self.evaluated_weight = rows.to(device), weight.to(device)
        if device.type == "cuda":
            self.stream, self.pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()
            self._capture()

    def _advance(self, n: int) -> None:
        """A step of tasks of `n` context rows; nothing in it waits for the device."""
        self.run.optimizer.zero_grad(set_to_none=True)
        self.rate.copy_(self.rates.index_select(0, self.at).squeeze(0))
        rows, weight = (kept.index_select(0, self.at).squeeze(0) for kept in (self.rows, self.weight))
        found = scores(self.model, rows, n, weight)
        (-found[1:].mean()).backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.options.clip)
        self.run.optimizer.step()
        self.found.index_copy_(0, self.at, found.detach().unsqueeze(0))
        self.norms.index_copy_(0, self.at, norm.detach().unsqueeze(0))
        self.at += 1

    @torch.no_grad()
    def _evaluate(self, n: int) -> None:
        rows = self.evaluated_rows.index_select(0, self.at).squeeze(0)
        weight = self.evaluated_weight.index_select(0, self.at).squeeze(0)
        self.found.index_copy_(0, self.at, scores(self.model, rows, n, weight).unsqueeze(0))
        self.at += 1

    def _capture(self) -> None:
        """Capture a step and an evaluation for every number of context rows, and leave the run as it was."""
        start = time.perf_counter()
        optimizer, self.weight[:] = self.run.optimizer, 1 / self.tasks.max_rows
        self.rows.normal_()
        weights = {p: p.detach().clone() for p in self.model.parameters()}
        states = {p: {key: value.clone() for key, value in state.items()} for p, state in optimizer.state.items()}
        numbers = range(self.tasks.n_context[0], self.tasks.n_context[1] + 1)
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for n in numbers:  # libraries set themselves up when they are first used, which cannot be captured
                self.at.zero_()
                self._advance(n)
                with torch.compiler.set_stance("force_eager"):
                    self._evaluate(n)
        torch.cuda.synchronize()
        for n in numbers:
            for kept, do in ((self.graphs, self._advance), (self.evaluations, self._evaluate)):
                kept[n] = torch.cuda.CUDAGraph()
                stance = "force_eager" if do == self._evaluate else "default"
                with torch.compiler.set_stance(stance), torch.cuda.graph(kept[n], self.pool, self.stream):
                    do(n)
        torch.cuda.synchronize()
        with torch.no_grad():
            for p, value in weights.items():
                p.copy_(value)
            for p, state in optimizer.state.items():
                for key, value in state.items():
                    value.copy_(states[p][key]) if p in states else value.zero_()
        torch.cuda.synchronize()
        say(f"{self.name}: {2 * len(numbers)} graphs captured in {time.perf_counter() - start:.0f} s")

    @contextmanager
    def _on_stream(self):
        if self.device.type != "cuda":
            yield
            return
        with torch.cuda.stream(self.stream):
            yield

    @property
    def done(self) -> bool:
        return self.run.step >= self.options.steps

    def begin(self) -> None:
        """Bring the tasks of the next chunk to the device."""
        while len(self.drawn) < AHEAD and self.next < self.options.steps:
            chunk = range(self.next, min(self.next - self.next % CHUNK + CHUNK, self.options.steps))
            self.drawn.append((chunk, self.executor.submit(draw, self.tasks, self.options.batch_size, chunk)))
            self.next = chunk.stop
        self.chunk, drawn = self.drawn.popleft()
        rows, self.n_context, weight = drawn.result()
        self.started = time.perf_counter()
        with self._on_stream():
            self.at.zero_()
            self.rows[: len(rows)].copy_(rows)
            self.weight[: len(rows)].copy_(weight)
            self.rates[: len(rows)].copy_(torch.tensor([self.options.learning_rate_at(step) for step in self.chunk]))

    def advance(self, i: int) -> None:
        """Launch the chunk's step `i`, if it has as many."""
        if i < len(self.chunk):
            self._launch(self.graphs, self._advance, self.n_context[i])

    def _launch(self, graphs, eager, n: int) -> None:
        with self._on_stream():
            graphs[n].replay() if graphs else eager(n)

    def end(self) -> None:
        """Wait for the chunk; look at its losses, evaluate, log and save."""
        n_steps = len(self.chunk)
        with self._on_stream():
            found, norms = self.found[:n_steps].clone().cpu(), self.norms[:n_steps].cpu()
        seconds = time.perf_counter() - self.started
        if not (found.isfinite().all() and norms.isfinite().all()):
            raise FloatingPointError(f"{self.name}: the loss is not finite after step {self.run.step}.")
        with self._on_stream():
            self.at.zero_()
        for n in self.n_evaluated:
            self._launch(self.evaluations, self._evaluate, n)
        with self._on_stream():
            values = self.found[: self.options.n_evaluation].double().cpu()
        self.run.step, self.run.seconds = self.chunk.stop, self.run.seconds + time.perf_counter() - self.started
        line = {
            "step": self.run.step,
            "learning_rate": self.options.learning_rate_at(self.run.step - 1),
            "train_log_likelihood": found[:, 1:].mean().item(),
            "steps_per_second": round(n_steps / seconds, 2),
            "log_likelihood": values[:, 1].mean().item(),
            "standard_error": values[:, 1].std().item() / math.sqrt(len(values)),
            "coverage_90": values[:, 0].mean().item(),
            **({"joint_log_likelihood": values[:, 2].mean().item()} if values.shape[1] > 2 else {}),
            "seconds": round(self.run.seconds, 1),
        }
        if self.run.step % CHUNK == 0 or self.done:
            TrainingLog().add(line, self.log_path)
            say(f"{self.name}: {self.run.step:,} steps, log-likelihood {line['log_likelihood']:.3f}")
        self._save()

    def _save(self) -> None:
        """Write the state as `meta_train` does, ready to go on on any device."""
        groups = self.run.optimizer.param_groups
        for group in groups:
            group.update(lr=self.options.learning_rate_at(max(0, self.run.step - 1)), capturable=False)
        self.run.save()
        for group in groups:
            group.update(lr=self.rate, capturable=self.device.type == "cuda")


def train_captured(
    variants: Sequence[Variant], recipe: Recipe, steps: int, runs: Path, executor: Executor, device: torch.device,
    seconds: float = math.inf, compiled: bool = False,
) -> None:  # fmt: skip
    """Train variants side by side, until they are done or the next chunk would begin after so many seconds.

    One that starts from another waits for it.
    """
    start, waiting, active = time.perf_counter(), list(variants), []
    while active or waiting:
        busy = {run.name for run in active} | {variant.name for variant in waiting}
        ready = [variant for variant in waiting if variant.start not in busy]
        waiting = [variant for variant in waiting if variant not in ready]
        active += [CapturedRun(variant, recipe, steps, runs, executor, device, compiled) for variant in ready]
        active = [run for run in active if not run.done]
        for run in active:
            run.begin()
        for i in range(CHUNK):
            for run in active:
                run.advance(i)
        for run in active:
            run.end()
        active = [run for run in active if not run.done]
        if time.perf_counter() - start > seconds:
            break
