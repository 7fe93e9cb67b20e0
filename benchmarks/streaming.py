"""Cost of streaming, against a straightforward implementation in the same run.

The reference is the paper's block written down as it reads: every block
projects the rows for itself, attention is plain products, and the latents are
computed anew at every update, here a chunk of 1,024 rows or a single row.
Figures are of the least disturbed of several rounds. Run on an idle machine:
``python benchmarks/streaming.py``.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import time

import numpy as np
import torch
from _report import write
from sklearn.base import clone

from skcmanp import CMANP, CMANPConfig, CMANPRegressor
from skcmanp.adaptation import Adaptation
from skcmanp.inference import Network
from skcmanp.nn.attention import merge_heads, split_heads

UNSCALED = Adaptation.fit(np.zeros((1, 1)), np.zeros((1, 1)), standardize=False)
DTYPES = {"float32": torch.float32, "float64": torch.float64}


class Reference:
    """Streaming as a first version would do it, with the same weights."""

    def __init__(self, model: CMANP, dtype: torch.dtype) -> None:
        self.model, self.dtype = model.to(dtype), dtype
        self.state: list[tuple[torch.Tensor, ...] | None] = [None] * len(model.blocks)
        self.count = 0

    @torch.no_grad()
    def read(self, x: np.ndarray, y: np.ndarray) -> None:
        model = self.model
        x_t, y_t = (torch.tensor(a, dtype=self.dtype).unsqueeze(0) for a in (x, y))
        tokens = model.norm_row(model.embed_row(model.features(x_t), y_t))
        for i, block in enumerate(model.blocks):
            k, v = (split_heads(t, block.n_heads) for t in block.key_value(tokens).chunk(2, dim=-1))
            z = block.queries().unsqueeze(0) @ k.transpose(-1, -2) / math.sqrt(k.shape[-1])
            m = z.amax(-1, keepdim=True)
            if self.state[i] is not None:
                m = torch.maximum(m, self.state[i][0])
            p = (z - m).exp()
            s, o = p.sum(-1, keepdim=True), p @ v
            if self.state[i] is not None:
                m0, s0, o0 = self.state[i]
                s, o = s + s0 * (m0 - m).exp(), o + o0 * (m0 - m).exp()
            self.state[i] = (m, s, o)
        self.count += len(x)

    def update(self, x: np.ndarray, y: np.ndarray) -> None:
        self.read(x, y)
        self.latents()

    @torch.no_grad()
    def latents(self) -> list[torch.Tensor]:
        latents, all_latents = self.model.input_latents.unsqueeze(0), []
        for block, (_, s, o) in zip(self.model.blocks, self.state, strict=True):
            latents = block(merge_heads(o / s), latents)
            all_latents.append(latents)
        return all_latents


def milliseconds(function, n: int, rounds: int = 5) -> tuple[float, float]:
    """Median and 99th percentile of what `function(i)` returns or takes, in the least disturbed round."""
    best = (math.inf, math.inf)
    for r in range(rounds):
        seconds = []
        for i in range(r * n, (r + 1) * n):
            start = time.perf_counter()
            own = function(i)
            seconds.append(time.perf_counter() - start if own is None else own)
        p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
        best = min(best, (float(p50), float(p99)))
    return best


def void(_: object) -> None:
    """Drop a result."""


def import_milliseconds() -> float:
    code = "import time; t = time.perf_counter(); import skcmanp; print(time.perf_counter() - t)"
    runs = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(5)
    ]
    return 1e3 * min(runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=150, help="calls in a round")
    parser.add_argument("--rounds", type=int, default=8)
    arguments = parser.parse_args()
    repeats, rounds = arguments.repeats, arguments.rounds
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8192, 1)), rng.normal(size=(8192, 1))
    rows = []

    def add(what: str, dtype: str, value: float, p99: float, reference: float, unit: str) -> None:
        ratio = value / reference if unit == "rows/s" else reference / value
        rows.append(
            {"what": what, "dtype": dtype, "p50": value, "p99": p99, "unit": unit, "reference": reference, "x": ratio}
        )

    for name, dtype in DTYPES.items():
        torch.manual_seed(0)
        model = CMANP(CMANPConfig())
        network = Network(CMANP(CMANPConfig()), torch.device("cpu"), dtype)
        reference = Reference(model, dtype)
        chunk = slice(0, 1024)
        # Interleaved, so that both see the same machine.
        ours, theirs = math.inf, math.inf
        for _ in range(rounds):
            ours = min(ours, milliseconds(lambda _: void(network.read(x, y, UNSCALED)), 5, 1)[0])  # noqa: B023
            theirs = min(theirs, milliseconds(lambda _: reference.update(x[chunk], y[chunk]), 5, 1)[0])  # noqa: B023
        add("conditioning", name, 8192e3 / ours, math.nan, 1024e3 / theirs, "rows/s")

        reg = CMANPRegressor(checkpoint=model.float(), dtype=name).fit(x, y[:, 0])
        reference = Reference(CMANP(CMANPConfig()), dtype)

        def update(i: int) -> None:
            reg.partial_fit(x[i : i + 1], y[i : i + 1, 0])  # noqa: B023

        def reference_update(i: int) -> None:
            reference.update(x[i : i + 1], y[i : i + 1])  # noqa: B023

        p50, p99 = milliseconds(update, repeats)
        reference_p50, _ = milliseconds(reference_update, repeats // 3)
        add("one-row partial_fit (estimator)", name, p50, p99, reference_p50, "ms")

        def predict_after_update(i: int) -> float:
            update(i)
            start = time.perf_counter()
            reg.predict(x[i : i + 1])  # noqa: B023
            return time.perf_counter() - start

        p50, p99 = milliseconds(predict_after_update, repeats // 3)
        add("one-row predict after an update", name, p50, p99, math.nan, "ms")
        p50, p99 = milliseconds(lambda i: void(reg.predict(x[i : i + 1])), repeats)  # noqa: B023
        add("one-row predict, same state", name, p50, p99, math.nan, "ms")
        p50, _ = milliseconds(lambda _: void(reg.predict(x)), 5)  # noqa: B023
        add("predict 8,192 rows", name, 8192e3 / p50, math.nan, math.nan, "rows/s")

    default = CMANPRegressor()
    x, y = rng.normal(size=(1000, 10)), rng.normal(size=1000)
    y += np.sin(2 * x[:, 0]) + x[:, 1]
    for adapt in ("auto", False):
        p50, _ = milliseconds(lambda _: void(clone(default).set_params(adapt=adapt).fit(x, y)), 3)  # noqa: B023
        add(f"first fit of 1,000 x 10 rows, adapt={adapt}", "float64", p50, math.nan, math.nan, "ms")
    fitted = clone(default).fit(x, y)

    def update_default(i: int) -> float:
        fitted.partial_fit(x[i : i + 1], y[i : i + 1])
        start = time.perf_counter()
        fitted.predict(x[i : i + 1])
        return time.perf_counter() - start

    p50, p99 = milliseconds(update_default, 30)
    add("default checkpoint: one-row predict after an update", "float64", p50, p99, math.nan, "ms")
    p50, p99 = milliseconds(lambda _: void(clone(default)), repeats)
    add("clone", "-", p50, p99, math.nan, "ms")
    add("import skcmanp", "-", import_milliseconds(), math.nan, math.nan, "ms")
    write("streaming", rows)


if __name__ == "__main__":
    main()
