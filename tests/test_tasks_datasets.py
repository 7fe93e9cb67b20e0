import numpy as np
import pytest
import torch

from skcmanp import CMANPConfig
from skcmanp.tasks import DatasetTasks
from skcmanp.tasks.adapted import adapted


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def datasets():
    """Lines of different slopes in different units; a row's target tells its data set."""
    rng = np.random.default_rng(0)
    result = []
    for i in range(3):
        x = rng.normal(size=(50 + 50 * i, 2)) * 10.0**i
        result.append((x, (i + 1) * x[:, 0] + x[:, 1]))
    return result


def test_context_and_targets_are_disjoint_rows_of_one_data_set(datasets):
    tasks = DatasetTasks(datasets, n_context=(0, 18), n_target=20, standardize=False)
    for seed in range(20):
        batch = tasks.sample(4, generator(seed))
        for i in range(4):
            rows = torch.cat([batch.x[i], batch.x_target[i]])
            targets = torch.cat([batch.y[i], batch.y_target[i]])[:, 0]
            assert len(rows.unique(dim=0)) == len(rows)
            slopes = (targets - rows[:, 1]) / rows[:, 0]
            assert slopes.round().unique().numel() == 1


def test_sizes_are_limited_by_the_smallest_data_set(datasets):
    tasks = DatasetTasks(datasets, n_context=(0, 512), n_target=20)
    assert tasks.n_context == (0, 30)
    sizes = {tasks.sample(2, generator(seed)).x.shape[1] for seed in range(400)}
    assert sizes <= set(range(31))
    assert {0, 1, 2} <= sizes
    assert max(sizes) > 25


def test_tasks_are_scaled_as_the_estimator_scales(datasets):
    tasks = DatasetTasks(datasets, n_context=(20, 20), n_target=20)
    batch = tasks.sample(8, generator())
    torch.testing.assert_close(batch.x.mean(1), torch.zeros(8, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.y.std(1, correction=0), torch.ones(8, 1), atol=1e-5, rtol=0)
    few = DatasetTasks(datasets, n_context=(2, 2), n_target=48).sample(64, generator())
    assert 0.8 < few.y_target.std() < 1.2


def test_larger_data_sets_come_more_often(datasets):
    tasks = DatasetTasks(datasets, n_target=20, standardize=False)
    batch = tasks.sample(6000, generator())
    slopes = ((batch.y_target[..., 0] - batch.x_target[..., 1]) / batch.x_target[..., 0]).median(1).values.round()
    shares = [(slopes == slope).double().mean().item() for slope in (1, 2, 3)]
    np.testing.assert_allclose(shares, [1 / 6, 2 / 6, 3 / 6], atol=0.03)


def test_sampling_is_seeded(datasets):
    tasks = DatasetTasks(datasets)
    a, b = (tasks.sample(4, generator(3)) for _ in range(2))
    assert all(torch.equal(x, y) for x, y in zip(a[:4], b[:4], strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: [], "datasets is empty"),
        (lambda d: [*d, (np.ones((50, 3)), np.ones(50))], "different numbers of features"),
        (lambda d: [*d, (np.ones((50, 2)), np.ones(49))], r"datasets\[3\] has X of shape \(50, 2\)"),
        (lambda d: [*d, (np.full((50, 2), np.nan), np.ones(50))], r"datasets\[3\] has NaN"),
        (lambda d: [*d, (np.ones((20, 2)), np.ones(20))], "has 20 rows, fewer than"),
    ],
)
def test_bad_data_sets_are_named(datasets, change, message):
    with pytest.raises(ValueError, match=message):
        DatasetTasks(change(datasets))


def test_narrow_data_are_padded_to_the_networks_width(datasets):
    wide = DatasetTasks(datasets, n_target=20, dim_x=5).sample(4, generator())
    narrow = DatasetTasks(datasets, n_target=20).sample(4, generator())
    assert torch.equal(wide.x[..., :2], narrow.x)
    assert torch.equal(wide.x_target[..., 2:], torch.zeros(4, 20, 3))
    with pytest.raises(ValueError, match="have 2 features, more than dim_x=1"):
        DatasetTasks(datasets, dim_x=1)


def test_files_become_data_sets(tmp_path, datasets):
    for i, (x, y) in enumerate(datasets):
        np.savez(tmp_path / f"{i}.npz", a=x[:, 0], b=x[:, 1], y=y)
    tasks = DatasetTasks.from_files(tmp_path / "*.npz", n_target=20)
    batch, expected = tasks.sample(4, generator()), DatasetTasks(datasets, n_target=20).sample(4, generator())
    for got, want in zip(batch[:4], expected[:4], strict=True):
        assert torch.equal(got, want)
    with pytest.raises(FileNotFoundError, match=r"No file matches '.*\.csv'"):
        DatasetTasks.from_files(tmp_path / "*.csv")


def test_every_task_is_adapted_for_a_network(datasets):
    config = CMANPConfig(dim_x=3, memory_features=24, memory_kernel="matern52", relevance=True)
    arguments = {"n_context": (20, 20), "n_target": 20, "dim_x": 3}
    plain = DatasetTasks(datasets, **arguments).sample(2, generator())
    given = DatasetTasks(datasets, **arguments, adapt_for=config).sample(2, generator())
    expected = adapted(plain, 2, 20, config)
    assert given.hints.shape[:2] == (2, 20)
    torch.testing.assert_close(given.x, expected.x, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(given.y_target, expected.y_target, rtol=1e-3, atol=1e-3)
