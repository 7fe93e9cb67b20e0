"""The meta-training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from skcmanp.files import check_archive, replacing
from skcmanp.nn.calibration import calibrate, sharpen
from skcmanp.nn.model import CMANP
from skcmanp.progress import progress_bar
from skcmanp.tasks.base import TaskBatch, TaskGenerator
from skcmanp.training.evaluation import (
    evaluate,
    has_joint_head,
    joint_log_likelihood,
    log_likelihood,
    predict_jointly,
    task_generator,
)
from skcmanp.training.log import TrainingLog
from skcmanp.training.options import TrainingOptions
from skcmanp.training.signals import StopSignal
from skcmanp.training.workers import Workers

_WAY_ON = "so the run cannot go on from it; restore the file, or remove it to start the run anew"

# Options of which a run has one value from its start on.
_SAME = (
    *("alone", "batch_size", "betas", "clip", "distinct", "ema", "learning_rate"),
    *("precision", "seed", "trainable", "warmup", "weight_decay"),
)


def initialize(model: CMANP, tasks: TaskGenerator, batch_size: int = 32, *, latents: bool = True) -> CMANP:
    """Scale a fresh network's weights by what the tasks look like.

    Parameters
    ----------
    model : CMANP
        Changed in place; not one that is trained already.
    tasks : TaskGenerator
    batch_size : int, default=32
        Tasks in each of the 16 batches that are looked at.
    latents : bool, default=True
        Also scale attention to and among latents, not only that to rows.

    Returns
    -------
    CMANP
        The same model.

    Notes
    -----
    ``skcmanp.nn.calibration`` says what is done to attention to rows
    (`calibrate`) and to latents (`sharpen`), and why.
    """
    device = next(model.parameters()).device
    batches = (tasks.sample(batch_size, task_generator(-i)).to(device) for i in range(1, 17))
    if latents:
        sharpen(model)
    calibrate(model, [(batch.x, batch.y) for batch in batches])
    return model


def meta_train(
    model: nn.Module,
    tasks: TaskGenerator,
    options: TrainingOptions,
    *,
    evaluation_tasks: TaskGenerator | None = None,
    state_path: str | Path | None = None,
    log_path: str | Path | None = None,
    progress: bool = True,
    on_log: Callable[[dict[str, float]], None] | None = None,
    identity: dict[str, str] | None = None,
) -> TrainingLog:
    """Train `model` in place on tasks drawn on the fly.

    Within a process group of `torch.distributed` every process takes its share
    of every batch, and the first one evaluates, logs and saves.

    Parameters
    ----------
    model : CMANP
        On the device to train on; a fresh one learns much faster after
        `initialize`. Any other module that maps (x, y, x_target) to a
        distribution of the targets will do.
    tasks : TaskGenerator
    options : TrainingOptions
    evaluation_tasks : TaskGenerator, optional
        Those of the fixed evaluation set; by default other draws of `tasks`.
    state_path : path, optional
        File of the run's state (weights, optimiser, step), written atomically
        at every evaluation, between them after the `save_seconds` of `options`,
        and on SIGTERM or Ctrl-C. If it exists, the run continues from it; one
        whose optimiser is None continues with a fresh optimiser.
    log_path : path, optional
        JSON-lines file; one line is appended at every evaluation.
    progress : bool, default=True
        Show a progress bar.
    on_log : callable, optional
        Called with every log line.
    identity : dict of str, optional
        What else makes the run what it is, such as a digest of its tasks: one
        that was started with other values is not resumed. The configuration of
        the network, and options that change what is learned from a step, belong
        to it without saying.

    Returns
    -------
    TrainingLog
        The lines of this call.

    Raises
    ------
    ValueError
        If the batch cannot be shared out equally, nothing is trainable, the
        blocks cannot learn alone, or the state is damaged or of another run.
    FloatingPointError
        If the loss is not finite; the last good state stays on disk.
    SystemExit, KeyboardInterrupt
        On SIGTERM and Ctrl-C, once the state is saved.

    Examples
    --------
    >>> from skcmanp import CMANP, CMANPConfig
    >>> from skcmanp.tasks import FunctionTasks, RandomLinear
    >>> from skcmanp.training import TrainingOptions, initialize, meta_train
    >>> tasks = FunctionTasks([RandomLinear()], dim_x=1)
    >>> model = CMANP(CMANPConfig(dim=16, n_blocks=1, n_block_latents=4, n_input_latents=4))
    >>> options = TrainingOptions(steps=2, batch_size=4, evaluate_every=2, n_evaluation=1)
    >>> log = meta_train(initialize(model, tasks), tasks, options, progress=False)
    >>> log[-1]["step"]
    2
    """
    run = Run(model, options, state_path, {**identity_of(model, options), **(identity or {})})
    log, window = TrainingLog(), _Window()
    show = progress and run.workers.is_first
    with (
        StopSignal(active=state_path is not None) as stop,
        progress_bar(initial=run.step, total=options.steps, show=show, unit="step") as bar,
    ):
        while run.step < options.steps:
            batch = tasks.sample(options.batch_size, task_generator(run.step % (options.distinct or options.steps)))
            loss, stopping = run.advance(batch, stop.requested is not None)
            window.add(loss, batch)
            bar.update()
            due = run.step % options.evaluate_every == 0 or run.step == options.steps
            if due or stopping:
                run.seconds += window.seconds()
                if due and run.workers.is_first:
                    line = {
                        "step": run.step,
                        "learning_rate": options.learning_rate_at(run.step - 1),
                        **window.summary(),
                        **run.evaluate(evaluation_tasks or tasks),
                        "seconds": round(run.seconds, 1),
                    }
                    bar.set_postfix(ll=f"{line['log_likelihood']:.3f}", rows_s=line["rows_per_second"])
                    log.add(line, log_path)
                    if on_log is not None:
                        on_log(line)
                run.save()
                if stopping:
                    stop.leave()
                window = _Window()
            elif time.perf_counter() - run.last_save >= options.save_seconds:
                run.save(window.seconds())
        if stop.requested is not None:  # during the last evaluation
            stop.leave()
    run.finish()
    return log


def identity_of(model: nn.Module, options: TrainingOptions) -> dict[str, str]:
    """What a run must have in common with the one that it goes on with, as far as that one has said it."""
    same = {name: repr(getattr(options, name)) for name in _SAME}
    config = model.config.to_dict() if isinstance(model, CMANP) else {}
    return {**same, **{f"config.{name}": repr(value) for name, value in config.items()}}


class Objective(nn.Module):
    """The loss of a part of a batch; a module, so that it can be compiled whole.

    It is the mean of those of the targets one by one and of all together for
    networks with a not-diagonal head, whose marginals are to be good as well.
    """

    def __init__(self, model: nn.Module, precision: str) -> None:
        super().__init__()
        self.model = model
        self.autocast = precision == "bfloat16"

    def forward(self, batch: TaskBatch, alone: bool = False) -> Tensor:
        y_target = batch.y_target
        with torch.autocast(y_target.device.type, torch.bfloat16, enabled=self.autocast):
            if alone:
                assert isinstance(self.model, CMANP)
                return -log_likelihood(self.model.alone(*batch.inputs[:3]), y_target).mean()
            if has_joint_head(self.model):
                marginals, joint = predict_jointly(self.model, *batch.jointly)
                both = log_likelihood(marginals, y_target) + joint_log_likelihood(joint, y_target).to(y_target.dtype)
                return -both.mean() / 2
            return -log_likelihood(self.model(*batch.inputs), y_target).mean()


class Run:
    """A network in training, with all that a run must remember to go on."""

    def __init__(
        self, model: nn.Module, options: TrainingOptions, state_path: str | Path | None, run: dict[str, str]
    ) -> None:
        self.model, self.options, self.state_path, self.run = model, options, state_path, run
        self.workers = Workers.current()
        self.device = next(model.parameters()).device
        n_parts = self.workers.size * options.accumulate
        if options.batch_size % n_parts:
            raise ValueError(
                f"batch_size={options.batch_size} must be a multiple of processes times accumulate, "
                f"{self.workers.size} x {options.accumulate}."
            )
        if options.alone and getattr(model, "gate", None) is None:
            raise ValueError(f"alone={options.alone} is for networks with memory_fusion='gate'; set it to 0.")
        for name, parameter in model.named_parameters():
            if not name.startswith(options.trainable):
                parameter.requires_grad_(False)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not trained:
            raise ValueError(f"trainable={options.trainable!r}: no parameter's name starts like this.")
        self.optimizer = torch.optim.AdamW(
            trained,
            lr=options.learning_rate,
            betas=options.betas,
            weight_decay=options.weight_decay,
            fused=True,
        )
        self.average: AveragedModel | None = None
        if options.ema:
            self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(options.ema))
        self.step, self.seconds = 0, 0.0
        self.last_save = time.perf_counter()
        if state_path is not None and Path(state_path).exists():
            self._load(Path(state_path))
        self.objective: Any = Objective(model, options.precision)
        if options.compile:
            self.objective = torch.compile(self.objective, dynamic=True)

    def advance(self, batch: TaskBatch, stop: bool) -> tuple[float, bool]:
        """One optimiser step; returns the loss, and whether a process wants to stop."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.learning_rate_at(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        parts = self.workers.share(batch).split(self.options.accumulate)
        losses = []
        for part in parts:
            part = part.to(self.device)
            part_loss: Tensor = self.objective(part, self.step < self.options.alone) / len(parts)
            part_loss.backward()
            losses.append(part_loss.detach())
        self.workers.average_gradients(self.model.parameters())
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.options.clip).item()
        loss, stop = self.workers.agree(torch.stack(losses).sum().item(), stop)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise FloatingPointError(
                f"The loss is {loss} (gradient norm {norm}) at step {self.step}; lower the learning rate "
                f"and resume from the last good state{f' in {self.state_path}' if self.state_path else ''}."
            )
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.step += 1
        return loss, stop

    def evaluate(self, tasks: TaskGenerator) -> dict[str, float]:
        """Figures of the network as it would be if the run ended here, one number each."""
        model = self.model if self.average is None else self.average.module
        result = evaluate(model, tasks, self.options.n_evaluation, self.options.batch_size)
        return {name: value for name, value in result.items() if name != "pit"}

    def finish(self) -> None:
        """Give the model the weights that are the result."""
        if self.average is not None:
            self.model.load_state_dict(self.average.module.state_dict())

    def save(self, seconds: float = 0.0) -> None:
        """Write the state so that a crash at any moment leaves a whole one.

        `seconds` are those of the steps since the last log line.
        """
        self.last_save = time.perf_counter()
        if self.state_path is None or not self.workers.is_first:
            return
        state = {
            "model": self.model.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds + seconds,
            "run": self.run,
        }
        try:
            with replacing(Path(self.state_path)) as partial:
                torch.save(state, partial)
        except (OSError, RuntimeError) as error:  # torch's own writer raises the latter where the disk is full
            raise OSError(
                f"The state cannot be written to {self.state_path}: {error}; the one before is still there, if there "
                "was one: make room, and resume."
            ) from error

    def _load(self, path: Path) -> None:
        state = load_state(path, self.device)
        for key in sorted(self.run.keys() & state.get("run", {}).keys()):
            if self.run[key] != state["run"][key]:
                raise ValueError(
                    f"The run in {path} was started with {key} {state['run'][key]}, and is to go on with "
                    f"{self.run[key]}; go on as it was started, or start another run in another folder."
                )
        if (state["average"] is None) != (self.average is None):
            kind = "without" if state["average"] is None else "with"
            raise ValueError(f"ema={self.options.ema}, but the run in {path} was started {kind} averaged weights.")
        try:
            self.model.load_state_dict(state["model"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
            if state["optimizer"] is not None:
                self.optimizer.load_state_dict(state["optimizer"])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"The state in {path} is not of this network and these options: {error}; go on with those of the run, "
                "or start another one in another folder."
            ) from error
        self.step, self.seconds = state["step"], state["seconds"]


def load_state(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The state of a run.

    Raises
    ------
    ValueError
        If the file is damaged, or not a run's.
    """
    try:
        check_archive(path)
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # whatever a damaged archive makes of the reader
        raise ValueError(
            f"{path} is damaged, {_WAY_ON}: {str(error).splitlines()[0] if str(error) else error!r}"
        ) from error
    kinds: dict[str, Any] = {"model": dict, "average": dict | None, "optimizer": dict | None, "step": int}
    kinds |= {"seconds": int | float}
    if not isinstance(state, dict) or not all(isinstance(state.get(key, ...), kind) for key, kind in kinds.items()):
        raise ValueError(f"{path} is not the state of a run, {_WAY_ON}.")
    if state["step"] < 0 or not 0 <= state["seconds"] < math.inf or not isinstance(state.get("run", {}), dict):
        raise ValueError(f"{path} is damaged, {_WAY_ON}: it says step {state['step']} at {state['seconds']} s.")
    return state


class _Window:
    """The steps since the last log line."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.rows, self.start = 0, time.perf_counter()

    def add(self, loss: float, batch: TaskBatch) -> None:
        self.losses.append(loss)
        self.rows += batch.x.shape[0] * (batch.x.shape[1] + batch.x_target.shape[1])

    def seconds(self) -> float:
        return time.perf_counter() - self.start

    def summary(self) -> dict[str, float]:
        seconds = self.seconds()
        return {
            "train_log_likelihood": -sum(self.losses) / len(self.losses),
            "steps_per_second": round(len(self.losses) / seconds, 2),
            "rows_per_second": round(self.rows / seconds),
        }
