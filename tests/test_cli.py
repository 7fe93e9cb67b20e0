import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_recipes import TEXT, with_tasks, write, write_datasets

import skcmanp
from skcmanp.cli import main
from skcmanp.recipes import parse_recipe
from skcmanp.training import EVALUATION_STEP, evaluate

SMALL = TEXT + "batch_size = 4\nevaluate_every = 2\nn_evaluation = 1\n"


def test_info_lists_version_devices_and_checkpoints(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert f"skcmanp {skcmanp.__version__}" in out
    assert "devices: cpu" in out
    for name in ("field-2d", "gp-1d", "image-gray", "tabular"):
        assert name in out
    assert "log-likelihood" in out


def test_info_prints_a_card(capsys):
    assert main(["info", "tabular"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("# tabular")
    assert "coverage" in out


def test_info_of_an_unknown_checkpoint(capsys):
    assert main(["info", "absent"]) == 2
    assert (
        "'absent' is not a shipped checkpoint; these are: field-2d, gp-1d, image-gray, tabular"
        in capsys.readouterr().err
    )


def test_module_runs():
    done = subprocess.run([sys.executable, "-m", "skcmanp", "info"], capture_output=True, text=True, check=True)
    assert "checkpoints:" in done.stdout


def test_train_writes_a_checkpoint_that_the_estimator_uses(tmp_path, table, capsys):
    recipe, output = write(tmp_path, SMALL), tmp_path / "run"
    assert main(["train", str(recipe), "--output", str(output), "--device", "cpu"]) == 0
    assert "small.safetensors" in capsys.readouterr().out
    model, card = skcmanp.load_checkpoint(output / "small.safetensors")
    assert model.config.dim_x == 2
    assert card["steps"] == 3
    assert card["recipe"]["name"] == "small"
    text = (output / "small.md").read_text()
    assert text.startswith("# small")
    assert "Everything else" in text
    X, y = table
    reg = skcmanp.CMANPRegressor(checkpoint=output / "small.safetensors").fit(X[:, :2], y)
    assert reg.predict(X[:, :2]).shape == (60,)

    assert main(["train", str(recipe), "--output", str(output)]) == 2
    assert "go on with --resume" in capsys.readouterr().err
    assert main(["train", str(recipe), "--output", str(output), "--resume", "--steps", "5", "--device", "cpu"]) == 0
    assert skcmanp.load_checkpoint(output / "small.safetensors")[1]["steps"] == 5
    assert len((output / "log.jsonl").read_text().splitlines()) == 4


def test_tasks_are_kept_where_batches_come_again(tmp_path):
    recipe, output = write(tmp_path, SMALL.replace("steps = 3", "steps = 3\ndistinct = 2")), tmp_path / "run"
    assert main(["train", str(recipe), "--output", str(output), "--device", "cpu"]) == 0
    seeds = sorted(int(path.stem.removeprefix("4-")) for path in output.glob("tasks-*/*.pt"))
    assert seeds[:2] == [0, 1]
    assert all(seed >= EVALUATION_STEP for seed in seeds[2:])
    assert skcmanp.load_checkpoint(output / "small.safetensors")[1]["steps"] == 3


def test_changed_tasks_are_not_those_that_were_kept(tmp_path):
    text = SMALL.replace("steps = 3", "steps = 3\ndistinct = 2")
    for changed in (text, text.replace("[1, 9]", "[1, 8]")):
        recipe, output = write(tmp_path, changed), tmp_path / "run"
        (output / "state.pt").unlink(missing_ok=True)
        assert main(["train", str(recipe), "--output", str(output), "--device", "cpu"]) == 0
    assert len(list(output.glob("tasks-*"))) == 2


@pytest.mark.slow
def test_train_on_files_from_a_shipped_checkpoint(tmp_path, capsys):
    """A family of one's own, with one command."""
    write_datasets(tmp_path)
    text = with_tasks('kind = "datasets"\nfiles = "sensor*.csv"\ntarget = "level"\n')
    model_table = text[text.index("dim_x") : text.index("[tasks]")]
    recipe = write(
        tmp_path, text.replace(model_table, 'checkpoint = "tabular"\n') + "batch_size = 2\nn_evaluation = 1\n"
    )
    assert main(["train", str(recipe), "--output", str(tmp_path / "run"), "--device", "cpu"]) == 0
    model, card = skcmanp.load_checkpoint(tmp_path / "run" / "small.safetensors")
    start, start_card = skcmanp.load_checkpoint(skcmanp.shipped_checkpoints()["tabular"])
    changes = [(a - b).abs().max() for a, b in zip(model.parameters(), start.parameters(), strict=True)]
    assert 0 < max(changes) < 0.1
    assert card["prior"]["tasks"] == "splits of 3 data sets"
    assert card["start"] == {key: start_card.get(key) for key in ("name", "steps", "commit", "start")}
    text = (tmp_path / "run" / "small.md").read_text()
    assert "| tasks | splits of 3 data sets |" in text
    assert f"| starts from | tabular, {start_card['steps']:,} steps, code {start_card['commit']} |" in text


def test_a_joint_head_is_trained_beside_the_weights_of_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("skcmanp.cards.EVALUATION_BATCHES", 5)
    text = TEXT.replace(TEXT[TEXT.index("dim_x") : TEXT.index("[tasks]")], 'checkpoint = "gp-1d"\njoint_rank = 3\n')
    text += 'trainable = "correlations."\nbatch_size = 2\nn_evaluation = 1\n'
    assert main(["train", str(write(tmp_path, text)), "--output", str(tmp_path / "run"), "--device", "cpu"]) == 0
    model, card = skcmanp.load_checkpoint(tmp_path / "run" / "small.safetensors")
    start, _ = skcmanp.load_checkpoint(skcmanp.shipped_checkpoints()["gp-1d"])
    for name, weight in start.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight)
    assert "| of all targets together |" in (tmp_path / "run" / "small.md").read_text()
    assert card["evaluation"]["joint_log_likelihood"] > card["evaluation"]["log_likelihood"] - 1


def test_plot_draws_the_curves_of_runs(tmp_path, capsys):
    runs = [tmp_path / name for name in ("one", "two")]
    for run in runs:
        run.mkdir()
        (run / "log.jsonl").write_text('{"step": 1, "log_likelihood": -1.0}\n{"step": 2, "log_likelihood": -0.5}\n')
    picture = tmp_path / "curve.png"
    assert main(["plot", str(runs[0]), str(runs[1] / "log.jsonl"), "--output", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["plot", str(tmp_path)]) == 2
    assert "There is no log" in capsys.readouterr().err


def test_evaluate_draws_the_tasks_of_the_card(capsys):
    assert main(["evaluate", "gp-1d", "--batches", "2", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    model, card = skcmanp.load_checkpoint(skcmanp.shipped_checkpoints()["gp-1d"])
    recipe = parse_recipe(card["recipe"], "card", Path())
    batch_size = recipe.training.batch_size
    assert out.startswith(f"gp-1d on {2 * batch_size} tasks of gp-1d:")
    expected = evaluate(model, recipe.evaluation_tasks, 2, batch_size)["log_likelihood"]
    assert float(out.split("log-likelihood ")[1].split()[0]) == pytest.approx(expected, abs=1e-3)


def test_evaluate_takes_files_and_recipes(tmp_path, model, capsys):
    skcmanp.save_checkpoint(model, path := tmp_path / "mine.safetensors")
    assert main(["evaluate", str(path)]) == 2
    assert "has no recipe in its card; give one with --recipe" in capsys.readouterr().err
    recipe = write(tmp_path, SMALL.replace("dim_x = 2", "dim_x = 3"))
    assert main(["evaluate", str(path), "--recipe", str(recipe), "--batches", "2", "--device", "cpu"]) == 0
    assert "mine on 8 tasks of small" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["evaluate", "absent"],
            "'absent' is neither a shipped checkpoint (field-2d, gp-1d, image-gray, tabular) nor a file",
        ),
        (["train", "absent.toml"], "There is no recipe absent.toml"),
        (["train", "{recipe}", "--device", "gpu"], "device='gpu' must be"),
    ],
)
def test_bad_requests_exit_with_2(tmp_path, capsys, arguments, message):
    recipe = write(tmp_path, SMALL)
    assert main([argument.format(recipe=recipe) for argument in arguments]) == 2
    assert message in capsys.readouterr().err
