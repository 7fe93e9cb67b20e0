"""The log of a meta-training run, on disk and as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skcmanp.training.evaluation import EVALUATION_STEP

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class TrainingLog(list[dict[str, float]]):
    """Lines of a run, one per evaluation.

    Every line has step, learning_rate, train_log_likelihood (mean since the
    line before), log_likelihood with its standard_error and coverage_90 on the
    fixed evaluation tasks, seconds of training since the run's first step,
    steps_per_second and rows_per_second.

    Examples
    --------
    >>> from skcmanp.training import TrainingLog
    >>> log = TrainingLog([{"step": 100, "log_likelihood": -0.9}, {"step": 200, "log_likelihood": -0.5}])
    >>> log.column("step")
    [100, 200]
    """

    @classmethod
    def read(cls, path: str | Path) -> TrainingLog:
        """Read a JSON-lines file; of a step that was trained twice, after a crash, the later line counts.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If a line is not of a log, but for a last one that was not written to its end.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"There is no log {path}.")
        lines: dict[float, dict[str, float]] = {}
        content = path.read_bytes()
        texts = content.split(b"\n")
        for number, text in enumerate(texts, start=1):
            if not text.strip():
                continue
            try:
                line = _parse(text)
            except (RecursionError, ValueError) as error:
                if number == len(texts) and lines:  # the process ended while it wrote
                    break
                raise ValueError(
                    f"{path}, line {number}, is not of a training log: {text[:60]!r}; remove the line."
                ) from error
            lines[line["step"]] = line
        return cls(lines[step] for step in sorted(lines))

    def add(self, line: dict[str, float], path: str | Path | None = None) -> None:
        """Append a line, also to a file."""
        self.append(line)
        if path is not None:
            path = Path(path)
            content = path.read_bytes() if path.exists() else b""
            with open(path, "ab") as file:
                file.truncate(content.rfind(b"\n") + 1)  # without a line that was not written to its end
                file.write(json.dumps(line).encode() + b"\n")

    def column(self, key: str) -> list[float]:
        """One figure of every line."""
        return [line[key] for line in self]

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> Axes:
        """Draw the learning curve, with a band of one standard error.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            A new one by default.
        **kwargs
            Passed to ``ax.plot``.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots()
        steps, values = self.column("step"), self.column("log_likelihood")
        (curve,) = ax.plot(steps, values, **kwargs)
        if self and all("standard_error" in line for line in self):
            errors = self.column("standard_error")
            low = [v - e for v, e in zip(values, errors, strict=True)]
            high = [v + e for v, e in zip(values, errors, strict=True)]
            ax.fill_between(steps, low, high, color=curve.get_color(), alpha=0.15, linewidth=0)
        ax.set(xlabel="training steps", ylabel="log-likelihood, nats per target")
        return ax


def _parse(text: bytes) -> dict[str, float]:
    """A line of a log: numbers by name, of which the step and the log-likelihood are needed."""
    line = json.loads(text)
    numbers = isinstance(line, dict) and all(isinstance(value, int | float) for value in line.values())
    if not numbers or not {"step", "log_likelihood"} <= line.keys() or not 0 <= line["step"] <= EVALUATION_STEP:
        raise ValueError("no line of numbers")
    return line
