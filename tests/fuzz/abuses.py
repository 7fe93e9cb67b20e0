"""Abuses of the command line: ``python -m tests.fuzz.abuses`` runs all of them in a folder of their own.

None may end in a traceback, take long, or write outside the folder of the run.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

RECIPE = """
name = "small"
description = "For tests"
limits = "Everything else"
[model]
dim_x = 2
dim = 16
n_blocks = 1
[tasks]
n_context = [1, 9]
priors = [{ kind = "gp", lengthscale = [0.5, 1.0] }]
[training]
steps = 3
batch_size = 4
evaluate_every = 2
n_evaluation = 1
"""

# What a recipe says, and what it says instead.
CHANGES = [
    *(
        ("name", f'name = "small"|name = {value}')
        for value in ('"../../escaped"', '"/tmp/escaped"', '""', "5", '"a/b"')
    ),
    *(("name", f'name = "small"|name = {value}') for value in ('"."', '".."', '"a\\u0000b"', '"' + "a" * 300 + '"')),
    ("date", '"For tests"|1979-05-27'),
    ("limits", '"Everything else"|["a"]'),
    ("model", "[model]\ndim_x = 2\ndim = 16\nn_blocks = 1\n|model = 5\n"),
    *(("dim", f"dim = 16|dim = {value}") for value in ("-16", "1e3", "true", '"16"', "1000000000", "17", "[16]")),
    ("n_blocks", "n_blocks = 1|n_blocks = 2000000000"),
    ("min_std", "n_blocks = 1|min_std = -5"),
    ("min_std", "n_blocks = 1|min_std = nan"),
    ("checkpoint", "[model]\ndim_x = 2\ndim = 16\nn_blocks = 1|[model]\ncheckpoint = 5"),
    ("checkpoint", '[model]\ndim_x = 2\ndim = 16\nn_blocks = 1|[model]\ncheckpoint = "../../etc"'),
    ("checkpoint", '[model]\ndim_x = 2\ndim = 16\nn_blocks = 1|[model]\ncheckpoint = "recipe.toml"'),
    ("joint_rank", '[model]\ndim_x = 2\ndim = 16\nn_blocks = 1|[model]\ncheckpoint = "gp-1d"\njoint_rank = -1'),
    *(("n_context", f"[1, 9]|{value}") for value in ("[9, 1]", "[-1, 3]", "5", '"ab"', "[1]", "[1, 2, 3]", "[1.5, 2]")),
    *(("n_target", f"[tasks]|[tasks]\nn_target = {value}") for value in ("0", "-3", "1e9", "1000000000000", "true")),
    *(("noise", f"[tasks]|[tasks]\nnoise = {value}") for value in ("[0, 1]", "[-1, 1]", "[1, inf]", "[nan, 1]", "1")),
    *(("p_empty", f"[tasks]|[tasks]\np_empty = {value}") for value in ("2", "-0.1", "nan", '"a"')),
    ("min_features", "[tasks]|[tasks]\nmin_features = 3"),
    ("inputs", "[tasks]|[tasks]\ninputs = 5"),
    ("adapt_for", '[tasks]|[tasks]\nadapt_for = "x"'),
    ("kind", "[tasks]|[tasks]\nkind = 5"),
    *(("priors", f'[{{ kind = "gp", lengthscale = [0.5, 1.0] }}]|{value}') for value in ("5", "[]", "[5]", '"gp"')),
    *(("kind", f'"gp"|{value}') for value in ("5", '["gp"]', '"__class__"')),
    *(("lengthscale", f"[0.5, 1.0]|{value}") for value in ("[0, 1]", "[-1, 1]", "[2, 1]", "5", "[[1], [2]]")),
    ("n_features", "lengthscale = [0.5, 1.0]|n_features = 0"),
    ("depth", 'kind = "gp", lengthscale = [0.5, 1.0]|kind = "trees", depth = 60'),
    ("files", 'priors = [{ kind = "gp", lengthscale = [0.5, 1.0] }]|kind = "datasets"\nfiles = 5'),
    (
        "no file",
        'n_context = [1, 9]\npriors = [{ kind = "gp", lengthscale = [0.5, 1.0] }]|kind = "images"\nfiles = "."',
    ),
    *(("steps", f"steps = 3|steps = {value}") for value in ("0", "-1", "1e3", "99999999999999999999", "true")),
    *(("learning_rate", f"steps = 3|learning_rate = {value}") for value in ("inf", "nan", "-1", '"fast"')),
    *(("betas", f"steps = 3|betas = {value}") for value in ("5", "[0.9]", "[0.9, 1.5]", '["a", "b"]')),
    *(("weight_decay", f"steps = 3|weight_decay = {value}") for value in ("-1", '"x"', "inf")),
    ("trainable", "steps = 3|trainable = 5"),
    ("trainable", 'steps = 3|trainable = "absent."'),
    ("accumulate", "steps = 3|accumulate = 3"),
    ("precision", 'steps = 3|precision = "float16"'),
    ("clip", "steps = 3|clip = -1"),
    ("batch_size", "batch_size = 4|batch_size = 0"),
    ("batch_size", "batch_size = 4|batch_size = 5.5"),
    ("kind", "[training]|[evaluation]\nkind = 3\n[training]"),
    ("unknown", "[training]|[training]\nunknown = 3"),
    ("TOML", "[training]|[training"),
    ("TOML", "steps = 3|steps = " + "[" * 5000),
    ("base", 'name = "small"|base = "changed.toml"'),
    ("base", 'name = "small"|base = 5'),
    ("recipe", 'name = "small"|base = "/dev/null/x"'),
]

# Arguments, and what the message has to name.
ARGUMENTS = [
    *((["train", "recipe.toml", "--threads", value], "--threads") for value in ("0", "-1", "x", "1.5")),
    *((["train", "recipe.toml", "--steps", value], "--steps") for value in ("0", "-1", "99999999999")),
    (["train", "recipe.toml", "--jobs", "0"], "--jobs"),
    *((["evaluate", "gp-1d", "--batches", value], "--batches") for value in ("0", "-1", "x")),
    *((["evaluate", "gp-1d", "--device", value], "device") for value in ("cuda:99", "gpu", "meta", "cuda:-1", "")),
    (["evaluate", "recipe.toml"], "recipe.toml"),
    (["evaluate", "."], "'.'"),
    (["evaluate", "damaged.safetensors"], "damaged.safetensors"),
    (["evaluate", "tabular", "--recipe", "recipe.toml"], "dim_x"),
    (["evaluate", "gp-1d", "--recipe", "absent.toml"], "absent.toml"),
    (["train", "."], "recipe"),
    (["train", "binary.toml"], "binary.toml"),
    (["train", "recipe.toml", "--output", "recipe.toml"], "recipe.toml"),
    (["train", "recipe.toml", "--output", "recipe.toml/run"], "recipe.toml"),
    (["train", "recipe.toml", "--output", "run"], "state.pt"),
    (["train", "recipe.toml", "--output", "run", "--resume"], "state.pt"),
    (["train", "recipe.toml", "--output", "logged", "--resume"], "log.jsonl"),
    (["plot", "absent"], "absent"),
    (["plot", "binary.toml"], "binary.toml"),
    (["plot", "logged"], "log.jsonl"),
    (["plot", "good.jsonl", "--output", "picture.xyz"], "xyz"),
    (["plot", "good.jsonl", "--output", "absent/picture.png"], "absent"),
    (["info", "../../etc/passwd"], "passwd"),
    (["info", ""], "''"),
]


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A working directory with the files that abuses name, deep in another folder."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as top:
        work = Path(top, "a", "b", "work")
        work.mkdir(parents=True)
        (work / "recipe.toml").write_text(RECIPE)
        (work / "binary.toml").write_bytes(bytes(range(256)))
        (work / "damaged.safetensors").write_bytes(b"\xff" * 100)
        (work / "good.jsonl").write_text('{"step": 1, "log_likelihood": -1.0}\n')
        for name, file, content in (("run", "state.pt", b"PK\x03\x04"), ("logged", "log.jsonl", b"\x00\n{}\n")):
            (work / name).mkdir()
            (work / name / file).write_bytes(content)
        os.chdir(work)
        try:
            yield work
        finally:
            os.chdir(before)


def abuses() -> Iterator[tuple[str, list[str], str]]:
    """Text of ``changed.toml``, arguments, and what the message has to name."""
    for names, change in CHANGES:
        old, new = change.split("|", 1)
        assert old in RECIPE, old
        yield RECIPE.replace(old, new, 1), ["train", "changed.toml", "--output", "out", "--device", "cpu"], names
    for arguments, names in ARGUMENTS:
        yield RECIPE, arguments, names


def attempt(work: Path, text: str, arguments: list[str], names: str) -> str:
    """What is wrong with the answer to an abuse; nothing is empty."""
    from skcmanp.cli import main

    (work / "changed.toml").write_text(text)
    before, start = {path for path in work.parents[2].rglob("*") if "out" not in path.parts}, time.process_time()
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(arguments)
    except SystemExit as leaving:  # argparse's
        status = leaving.code
    except BaseException as error:  # this is what is looked for
        return f"{type(error).__name__}: {error}"
    if status not in (1, 2):
        return f"status {status}: {out.getvalue()[-200:]}"
    if names.lower() not in err.getvalue().lower():
        return f"{names!r} is not named: {err.getvalue()}"
    if time.process_time() - start > 5:
        return f"{time.process_time() - start:.1f} s"
    written = {path for path in work.parents[2].rglob("*") if "out" not in path.parts} - before
    written = {path for path in written if path.name not in (".lock", "run", "logged")}
    return f"wrote {written}" if written else ""


def main() -> int:
    wrong = 0
    with folder() as work:
        cases = list(abuses())
        for text, arguments, names in cases:
            if result := attempt(work, text, arguments, names):
                wrong += 1
                change = next(iter(set(text.splitlines()) - set(RECIPE.splitlines())), "")[:70]
                print(f"WRONG {' '.join(arguments)} [{change}]: {result[:300]}", flush=True)
    print(f"{len(cases)} abuses, {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
