"""Damaged and forged states and checkpoints: ``python -m tests.fuzz.damage {states,checkpoints} [n] [--seed SEED]``.

Bytes that are damaged must be refused with a ValueError, or predict what they
did before. Of bytes that are forged, so that their digest is right again, as
much cannot be asked: they must be refused with a ValueError, or predict finite
numbers. None of them may take long, or much memory.
"""

from __future__ import annotations

import argparse
import functools
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from skcmanp.seal import check_seal, seal, unsealed

MAX_SECONDS = 1.0
MAX_BYTES = 200e6

NUMBERS = (np.nan, np.inf, -np.inf, -1.0, 0.0, 1e308, -1e308, 5e-324, 1e-300, 1e30, 2.0**63)
VALUES = (None, True, -1, 0, 1, 3, 1e400, -5.0, 8192, 2**31, 2**70, "", "x", "inf", [], [1], {}, {"a": 1}, [[]])


@dataclass(frozen=True)
class Target:
    """Something that is written and read.

    Parameters
    ----------
    name : str
    data : bytes
    use : callable
        Reads bytes, and returns predictions.
    forge : callable
        Makes the bytes of changed arrays and changed JSON, with the right digest.
    """

    name: str
    data: bytes
    use: Callable[[bytes], np.ndarray]
    forge: Callable[[dict[str, np.ndarray], Any], bytes]
    header: Callable[[bytes], Any]


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes with one to three faults of storage or transport."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        size = max(len(out), 1)
        # Headers are small, and faults there do more.
        end = size if rng.random() < 0.6 else min(size, 8 + int.from_bytes(data[:8], "little"))
        a, n = int(rng.integers(end)), int(2 ** rng.uniform(0, 12))
        match rng.integers(8):
            case 0 | 1 if out:
                out[min(a, len(out) - 1)] ^= 1 << int(rng.integers(8))
            case 2:
                out[a : a + n] = rng.bytes(len(out[a : a + n]))
            case 3:
                out[a : a + n] = bytes([int(rng.choice([0, 255]))]) * len(out[a : a + n])
            case 4:
                del out[a:]
            case 5:
                del out[a : a + n]
            case 6:
                out[a:a] = out[a : a + n]
            case _:
                out[a:a] = rng.bytes(n)
    return bytes(out)


def forged(target: Target, rng: np.random.Generator) -> bytes:
    """Bytes with one or two changes that storage would not make, and somebody might."""
    arrays = {name: np.array(array) for name, array in safetensors.numpy.load(target.data).items()}
    header = target.header(target.data)
    for _ in range(rng.integers(1, 3)):
        if rng.random() < 0.25:
            header = _changed_json(header, rng)
        elif arrays:
            _change_array(arrays, rng)
    return target.forge(arrays, header)


def _changed_json(value: Any, rng: np.random.Generator) -> Any:
    """The same with a value changed, dropped or added somewhere."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = str(rng.choice(sorted(value)))
        changed = _changed_json(value[key], rng)
        kept = {k: v for k, v in value.items() if k != key or rng.random() < 0.9}
        return {**kept, key: changed} if key in kept else kept
    choice = VALUES[rng.integers(len(VALUES))]
    if isinstance(value, int | float) and not isinstance(value, bool) and rng.random() < 0.6:
        return type(value)(value * rng.choice([-1, 0, 0.5, 2, 1000]))
    return {**value, "unknown": choice} if isinstance(value, dict) and rng.random() < 0.5 else choice


def _change_array(arrays: dict[str, np.ndarray], rng: np.random.Generator) -> None:
    name = str(rng.choice(sorted(arrays)))
    array = arrays[name]
    match rng.integers(10):
        case 0:
            del arrays[name]
        case 1:
            arrays[name + "x"] = array
        case 2:
            arrays[name] = array.astype(rng.choice(["f4", "f2", "i8", "i4", "u1", "?"]))
        case 3:
            arrays[name] = array[:-1] if array.ndim and len(array) else array[None]
        case 4:
            arrays[name] = (array[None], array.ravel(), np.ascontiguousarray(array.T))[rng.integers(3)]
        case 5:
            other = str(rng.choice(sorted(arrays)))
            arrays[name], arrays[other] = arrays[other], array
        case 6:
            with np.errstate(all="ignore"):
                arrays[name] = (array * rng.choice([-1.0, 1e-200, 1e10, 1e200])).astype(array.dtype)
        case _:
            if array.size:
                with np.errstate(all="ignore"):
                    array.flat[rng.integers(array.size)] = _cast(NUMBERS[rng.integers(len(NUMBERS))], array.dtype)


def _cast(number: float, dtype: np.dtype) -> Any:
    if dtype.kind in "iub":
        return dtype.type(int(np.clip(np.nan_to_num(number), -9e18 if dtype.kind == "i" else 0, 9e18)) % 2**15)
    return dtype.type(number)


def outcome(target: Target, data: bytes, expected: np.ndarray, is_forged: bool) -> str:
    """What becomes of bytes: refused, the same, or other predictions; or what is wrong about it."""
    memory, start = _peak(), time.process_time()
    try:
        predicted = target.use(data)
    except ValueError:
        result = "refused"
    except BaseException as error:  # anything else is what is looked for
        if isinstance(error, KeyboardInterrupt):
            raise
        result = f"WRONG {type(error).__name__}: {str(error)[:80]}"
    else:
        if np.array_equal(predicted, expected):
            result = "the same"
        elif is_forged and np.isfinite(predicted).all() and (predicted[1] > 0).all():
            result = "others, finite"
        else:
            result = "WRONG predictions"
    if time.process_time() - start > MAX_SECONDS:
        result = f"WRONG: {time.process_time() - start:.1f} s, {result}"
    if _peak() - memory > MAX_BYTES:
        result = f"WRONG: {(_peak() - memory) / 1e6:.0f} MB, {result}"
    return result


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def fuzz(targets: list[Target], n: int, seed: int = 0, is_forged: bool = False, keep: Path | None = None) -> Counter:
    """Outcomes of `n` damaged or forged bytes of every target in turn, by how often they come."""
    counts: Counter[str] = Counter()
    expected = [target.use(target.data) for target in targets]
    for i in range(n):
        rng, k = np.random.default_rng([seed, i]), i % len(targets)
        data = forged(targets[k], rng) if is_forged else damaged(targets[k].data, rng)
        result = outcome(targets[k], data, expected[k], is_forged)
        if result.startswith("WRONG"):
            print(f"{targets[k].name}, seed {seed}, number {i}: {result}", flush=True)
            if keep is not None:
                keep.mkdir(exist_ok=True, parents=True)
                (keep / f"{seed}-{i}.bin").write_bytes(data)
        counts[result] += 1
    return counts


# ------------------------------------------------------------------ states


@functools.cache
def states() -> list[Target]:
    """States of every shipped checkpoint, of streams that have just begun, and of learned memories."""
    from skcmanp import CMANPRegressor
    from tests.conftest import make_model

    rng = np.random.default_rng(0)
    made = []
    learned = make_model(memory_features=24, memory_regressions=3)
    for checkpoint, d, t, streams in (
        ("tabular", 3, 1, False),
        ("tabular", 3, 2, True),
        ("gp-1d", 1, 1, True),
        ("field-2d", 2, 1, False),
        ("image-gray", 2, 1, False),
        (learned, 3, 2, False),
    ):
        X = rng.normal(size=(60, d))
        y = np.sin(X[:, :1]) * np.arange(1, t + 1) + 0.1 * rng.normal(size=(60, t))
        kind = {"checkpoint": checkpoint, "memory_features": 96 if checkpoint == "tabular" else None}
        reg = CMANPRegressor(**kind)
        state = (reg.partial_fit if streams else reg.fit)(X, y).context_
        made.append(_state_target(str(checkpoint)[:10], state, kind, 2 * rng.normal(size=(4, d))))
    return [*made, _state_of_a_table(rng)]


def _state_of_a_table(rng: np.random.Generator) -> Target:
    """Of columns of several kinds, with trees and warped targets."""
    import pandas as pd

    from skcmanp import CMANPRegressor

    frame = pd.DataFrame(rng.normal(size=(250, 40)), columns=[f"c{i}" for i in range(40)])
    frame["city"] = rng.choice(["a", "b", "c"], 250)
    frame.iloc[::7, 3] = np.nan
    y = np.exp((frame["c0"] > 0) * 2 + (frame["city"] == "a") + 0.2 * rng.normal(size=250))
    kind = {"memory_features": 96}
    return _state_target("table", CMANPRegressor(**kind).fit(frame, y).context_, kind, frame.iloc[:4])


def _state_target(name: str, state: Any, kind: dict[str, Any], X: np.ndarray) -> Target:
    from skcmanp import CMANPRegressor, ContextState
    from skcmanp.state.context import _FORMAT

    def use(data: bytes) -> np.ndarray:
        return np.array(CMANPRegressor(**kind).merge(ContextState.from_bytes(data)).predict(X, return_std=True))

    def forge(arrays: dict[str, np.ndarray], header: Any) -> bytes:
        text = json.dumps(header)
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        return seal(safetensors.numpy.save(arrays, metadata={_FORMAT: unsealed(text)}), _FORMAT)

    def header(data: bytes) -> Any:
        return json.loads(check_seal(data, _FORMAT))

    return Target(name, state.to_bytes(), use, forge, header)


# ------------------------------------------------------------------ checkpoints


@functools.cache
def checkpoints() -> list[Target]:
    """Checkpoints of small networks of every kind, and of the size of shipped ones."""
    from skcmanp import CMANP, CMANPConfig
    from tests.conftest import make_model

    memory = {"memory_features": 24, "memory_regressions": 3}
    models = (
        make_model(),
        make_model(**memory, memory_priors=2, joint_rank=2),
        make_model(**memory, memory_kernel="matern52", relevance=True, linear_readout=True, dim_y=2),
        CMANP(CMANPConfig(dim_x=3, fourier_features=64, count_input=True)),
    )
    return [_checkpoint_target(f"model {i}", model) for i, model in enumerate(models)]


def _checkpoint_target(name: str, model: Any) -> Target:
    from skcmanp import CMANPRegressor
    from skcmanp.checkpoints import _FORMAT, checkpoint_bytes, load_checkpoint

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(8, 3)), rng.normal(size=(8, model.config.dim_y))

    def use(data: bytes) -> np.ndarray:
        reg = CMANPRegressor(load_checkpoint(data)[0], adapt="auto", x_bounds=(-2, 2), y_bounds=(-2, 2))
        return np.array(reg.fit(X, y).predict(2 * X, return_std=True))

    def forge(arrays: dict[str, np.ndarray], header: Any) -> bytes:
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        return seal(safetensors.numpy.save(arrays, metadata={_FORMAT: unsealed(json.dumps(header))}), _FORMAT)

    def header(data: bytes) -> Any:
        return json.loads(check_seal(data, _FORMAT))

    return Target(name, checkpoint_bytes(model, {"name": "x"}), use, forge, header)


KINDS: dict[str, Callable[[], list[Target]]] = {"states": states, "checkpoints": checkpoints}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("n", type=int, nargs="?", default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--forged", action="store_true", help="with the right digest")
    parser.add_argument("--keep", type=Path, help="folder for the bytes of what is wrong")
    arguments = parser.parse_args()
    counts = fuzz(KINDS[arguments.kind](), arguments.n, arguments.seed, arguments.forged, arguments.keep)
    for result, count in counts.most_common():
        print(f"{count:7,} {result}")
    return int(any(result.startswith("WRONG") for result in counts))


if __name__ == "__main__":
    sys.exit(main())
