import numpy as np
import pytest
import torch
from conftest import make_model

from skcmanp import CMANPRegressor
from skcmanp.images import pixels_to_rows, rows_to_pixels
from skcmanp.tasks.images import ImageTasks
from skcmanp.training import TrainingOptions, meta_train


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(1, 6, 7), (1, 6, 7, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_rows_are_pixels_of_the_image_and_none_comes_twice(shape, dtype):
    images = random_images(*shape)
    images = images if dtype == np.uint8 else (images / 255).astype(dtype)
    tasks = ImageTasks(images, n_context=(20, 20), min_target=22, max_rows=42)
    batch = tasks.sample(3, seeded())
    assert batch.x.shape == (3, 20, 2)
    assert batch.y_target.shape == (3, 22, tasks.dim_y)
    assert all(t.dtype == torch.float32 for t in batch[:4])
    X, y = pixels_to_rows(images[0])
    for i in range(3):
        rows = torch.cat([torch.cat([batch.x[i], batch.x_target[i]]), torch.cat([batch.y[i], batch.y_target[i]])], 1)
        rows = rows.numpy()
        rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
        np.testing.assert_allclose(rows, np.column_stack([X, y]), atol=1e-6)  # all 42, so none is twice
    assert not torch.equal(batch.x[0], batch.x[1])


def test_sizes_follow_the_papers_protocol():
    tasks = ImageTasks(random_images(5, 28, 28))
    contexts, targets = set(), set()
    for seed in range(1500):
        batch = tasks.sample(1, seeded(seed))
        n_context, n_target = batch.x.shape[1], batch.x_target.shape[1]
        assert 3 <= n_context <= 197
        assert 3 <= n_target <= 200 - n_context
        contexts.add(n_context)
        targets.add(n_target)
    assert {3, 197} <= contexts
    assert 3 in targets
    assert max(targets) > 180


def test_every_image_and_every_pixel_has_its_turn():
    images = np.repeat(np.arange(10, dtype=np.uint8), 9).reshape(10, 3, 3)
    tasks = ImageTasks(images, n_context=(0, 0), min_target=1, max_rows=1)
    batch = tasks.sample(9000, seeded())
    shown = torch.bincount(((batch.y_target + 0.5) * 255).round().long().flatten(), minlength=10)
    places = torch.bincount(((batch.x_target + 1) @ torch.tensor([3.0, 1.0])).round().long().flatten(), minlength=9)
    assert batch.x.shape == (9000, 0, 2)
    assert shown.min() > 800
    assert places.min() > 880


def test_a_seed_gives_the_same_tasks_from_arrays_and_from_what_is_read_on_demand():
    images = random_images(20, 8, 8, 3)
    read = []

    class Source:
        shape = images.shape

        def __getitem__(self, indices):
            read.append(len(indices))
            return images[indices]

    sizes = {"n_context": (1, 20), "max_rows": 30}
    a, b = (ImageTasks(source, **sizes).sample(4, seeded(3)) for source in (images, Source()))
    assert all(torch.equal(s, t) for s, t in zip(a[:4], b[:4], strict=True))
    assert read == [4]
    other = ImageTasks(images, **sizes).sample(4, seeded(4))
    assert other.x.shape != a.x.shape or not torch.equal(other.x, a.x)


def test_images_are_neither_copied_nor_changed(tmp_path):
    images = random_images(3, 8, 8)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    tasks = ImageTasks(mapped, n_context=(1, 5), max_rows=9)
    assert tasks.images is mapped
    tasks.sample(2, seeded())
    np.testing.assert_array_equal(mapped, images)


@pytest.mark.parametrize(
    ("images", "arguments", "message"),
    [
        (np.zeros((28, 28), np.uint8), {}, r"images has shape \(28, 28\); it must be \(n, H, W or with a last axis"),
        (np.zeros((0, 28, 28), np.uint8), {}, "not empty"),
        (np.zeros((2, 28, 28), np.int32), {}, "images has dtype int32"),
        (np.full((2, 28, 28), 2.0), {}, "images has values from 2 to 2; floats must be between 0 and 1"),
        (np.zeros((2, 28, 28)), {"max_rows": 100}, "max_rows=100 leaves no room for min_target=3"),
        (np.zeros((2, 28, 28)), {"min_target": 0}, "min_target=0 targets, at least 1"),
        (np.zeros((2, 28, 28)), {"n_context": (5, 4)}, r"n_context=\(5, 4\) must be the smallest and the largest"),
        (np.zeros((2, 28, 28)), {"n_context": (-1, 4)}, r"n_context=\(-1, 4\) must be"),
        (np.zeros((2, 9, 9)), {}, "max_rows=200 is more than the 9 x 9 pixels"),
    ],
)
def test_mistakes_are_named(images, arguments, message):
    with pytest.raises(ValueError, match=message):
        ImageTasks(images, **arguments)


def test_cards_say_what_the_tasks_are():
    card = ImageTasks(random_images(1200, 14, 15), n_context=(3, 97), max_rows=100).describe()
    assert card == {
        "features": "2",
        "context rows in training": "3 to 97",
        "images": "1,200 of 14 x 15 pixels",
    }


def test_tasks_from_an_npz_file(tmp_path):
    path = tmp_path / "images.npz"
    np.savez(path, images=random_images(6, 14, 14), labels=np.arange(6))
    tasks = ImageTasks.from_files(path, classes=(1, 3), n_context=(1, 9), max_rows=20)
    assert (tasks.n_images, tasks.max_rows) == (3, 20)


@pytest.mark.parametrize("memory", [{}, {"memory_features": 24, "fourier_scales": (1.0, 6.0)}])
def test_colours_are_completed_by_a_network_with_three_outputs(memory):
    """A short training on tinted gradients, of every pixel by itself and of blocks of pixels."""
    tints = np.random.default_rng(0).uniform(0.2, 0.9, (60, 1, 1, 3))
    ramp = np.linspace(0.3, 1.0, 8)[None, :, None, None] * np.ones((1, 8, 8, 1))
    images = (255 * ramp * tints).astype(np.uint8)
    tasks = ImageTasks(images[:50], n_context=(3, 20), max_rows=40)
    model = make_model(dim_x=2, dim_y=3, joint_rank=3, min_std=0.01, **memory)
    options = TrainingOptions(steps=150, batch_size=16, warmup=10, learning_rate=3e-3, evaluate_every=150)
    log = meta_train(model, tasks, options, progress=False)
    X, y = pixels_to_rows(images[55])
    seen = np.random.default_rng(1).permutation(64)[:20]
    reg = CMANPRegressor(model, standardize=False, target_block_size=5)
    for chunk in np.array_split(seen, 4):
        reg.partial_fit(X[chunk], y[chunk])
    mean, std = reg.predict(X, return_std=True)
    assert mean.shape == std.shape == (64, 3)
    assert np.sqrt(np.mean((mean - y) ** 2)) < 0.5 * y.std()
    assert log[-1]["joint_log_likelihood"] > log[-1]["log_likelihood"]
    assert np.isfinite(reg.log_prob(X, y, joint=True))
    assert reg.sample_y(X, 2).shape == (64, 3, 2)
    assert rows_to_pixels(np.clip(mean, -0.5, 0.5), (8, 8, 3)).shape == (8, 8, 3)
