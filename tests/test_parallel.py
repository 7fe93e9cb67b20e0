import joblib
import numpy as np
import pytest
import torch

from skcmanp.adaptation import Adaptation
from skcmanp.checkpoints import resolve_checkpoint
from skcmanp.frames import Kind
from skcmanp.parallel import Reader


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(100, 3)), rng.normal(size=(100, 1)), rng.uniform(0, 2, 100)


@pytest.fixture
def reader(model, rows):
    adaptation = Adaptation.fit(rows[0], rows[1])
    return Reader(
        resolve_checkpoint(model, [Kind.NUMBER] * 3), torch.device("cpu"), torch.float64, adaptation, chunk_size=16
    )


@pytest.mark.parametrize("n_jobs", [1, 2, 3, 100])
def test_shards_add_up(reader, rows, n_jobs):
    X, y, weight = rows
    expected = reader.read(X, y, weight)
    with joblib.parallel_config(backend="threading"):
        actual = reader.read_parallel(X, y, weight, n_jobs)
    assert (actual.n_rows, round(actual.weight, 9)) == (expected.n_rows, round(expected.weight, 9))
    np.testing.assert_allclose(actual.softmax.output(), expected.softmax.output(), rtol=1e-10)


class NoGenerators(joblib.parallel.ThreadingBackend):
    """As joblib's backends of other libraries are: it gives all results at the end."""

    supports_return_generator = False


def test_backends_that_give_results_at_the_end(reader, rows):
    joblib.register_parallel_backend("no generators", NoGenerators)
    expected = reader.read(*rows)
    with joblib.parallel_config(backend="no generators"):
        with pytest.raises(ValueError, match="return_as"):
            joblib.Parallel(n_jobs=3, return_as="generator")
        actual = reader.read_parallel(*rows, n_jobs=3)
    np.testing.assert_allclose(actual.softmax.output(), expected.softmax.output(), rtol=1e-10)


def test_small_reads_stay_in_the_process(reader, rows, monkeypatch):
    X, y, _ = rows
    monkeypatch.setattr("skcmanp.parallel.Parallel", lambda **_: pytest.fail("one chunk was sharded"))
    assert reader.read_parallel(X[:16], y[:16], None, n_jobs=2).n_rows == 16


def test_zero_weights_are_not_rows(reader, rows):
    X, y, weight = rows
    weight[:40] = 0
    reading = reader.read(X, y, weight)
    assert reading.n_rows == 60
    expected = reader.read(X[40:], y[40:], weight[40:])
    np.testing.assert_allclose(reading.softmax.output(), expected.softmax.output(), rtol=1e-10)


def test_progress_counts_rows(reader, rows, capsys):
    X, y, _ = rows
    reader.read(X, y, None, progress=True)
    assert "100/100" in capsys.readouterr().err
    with joblib.parallel_config(backend="threading"):
        reader.read_parallel(X, y, None, n_jobs=2, progress=True)
    assert "shard" in capsys.readouterr().err
