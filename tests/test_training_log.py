import numpy as np
import pytest
from matplotlib.figure import Figure

from skcmanp.training import TrainingLog

LINES = [{"step": 10 * i, "log_likelihood": i - 3.0, "standard_error": 0.1 * i} for i in range(1, 4)]


def test_lines_survive_the_file(tmp_path):
    log = TrainingLog()
    for line in LINES:
        log.add(line, tmp_path / "log.jsonl")
    assert log == LINES
    assert TrainingLog.read(tmp_path / "log.jsonl") == LINES


def test_the_later_of_two_lines_of_a_step_counts(tmp_path):
    log = TrainingLog()
    for line in [*LINES, {**LINES[1], "log_likelihood": 7.0}]:
        log.add(line, tmp_path / "log.jsonl")
    assert TrainingLog.read(tmp_path / "log.jsonl").column("log_likelihood") == [-2.0, 7.0, 0.0]


def test_the_plot_shows_the_curve_and_its_errors():
    ax = Figure().add_subplot()
    assert TrainingLog(LINES).plot(ax, label="a run") is ax
    (curve,) = ax.lines
    np.testing.assert_array_equal(curve.get_xydata(), [[10, -2], [20, -1], [30, 0]])
    assert curve.get_label() == "a run"
    assert ax.get_ylabel() == "log-likelihood, nats per target"
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(-2.1)
    assert band[:, 1].max() == pytest.approx(0.3)


def test_a_line_that_was_not_written_to_its_end_does_not_count(tmp_path):
    log = TrainingLog()
    for line in LINES:
        log.add(line, path := tmp_path / "log.jsonl")
    path.write_bytes(path.read_bytes()[:-9])
    assert TrainingLog.read(path) == LINES[:2]
    log.add(LINES[2], path)
    assert TrainingLog.read(path) == LINES


def test_bad_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no log .*absent\.jsonl"):
        TrainingLog.read(tmp_path / "absent.jsonl")
    for text in (
        "{",
        "[]",
        "3",
        "{}",
        '{"step": "1", "log_likelihood": 2}',
        '{"step": 1}\n',
        "[" * 100_000,
        "\xff\n{}",
    ):
        (tmp_path / "bad.jsonl").write_text(text)
        with pytest.raises(ValueError, match=r"bad\.jsonl, line 1, is not of a training log"):
            TrainingLog.read(tmp_path / "bad.jsonl")
