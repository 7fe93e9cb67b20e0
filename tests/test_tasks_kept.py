import pytest
import torch

from skcmanp import CMANPConfig
from skcmanp.tasks import FunctionTasks, KeptTasks, RandomGP, RandomLinear

ADAPTED = CMANPConfig(dim_x=2, memory_features=24, memory_kernel="matern52", relevance=True)


class Counting:
    """Linear functions; counts how many batches were drawn."""

    def __init__(self):
        self.n_drawn = 0

    def __call__(self, x, generator):
        self.n_drawn += 1
        return RandomLinear()(x, generator)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def equal(a, b):
    return all((s is None and t is None) or torch.equal(s, t) for s, t in zip(a, b, strict=True))


@pytest.mark.parametrize("adapt_for", [None, ADAPTED])
def test_a_batch_is_drawn_once_and_stays_what_it_is(tmp_path, adapt_for):
    prior = Counting()
    tasks = FunctionTasks([prior], dim_x=2, n_context=(6, 9), n_target=5, p_empty=0.0, adapt_for=adapt_for)
    drawn = tasks.sample(3, generator(1))
    kept = KeptTasks(tasks, tmp_path)
    assert equal(kept.sample(3, generator(1)), drawn)
    assert prior.n_drawn == 2
    assert equal(kept.sample(3, generator(1)), drawn)
    assert prior.n_drawn == 2
    assert not equal(kept.sample(3, generator(2)), drawn)
    assert len(kept.sample(4, generator(1)).x) == 4
    assert kept.describe() == tasks.describe()


def test_batches_are_drawn_ahead_in_several_processes(tmp_path):
    tasks = FunctionTasks([RandomGP()], dim_x=2, n_context=(6, 9), n_target=5)
    kept = KeptTasks(tasks, tmp_path)
    kept.sample(3, generator(1))
    kept.draw(3, range(4), n_jobs=2, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3-0.pt", "3-1.pt", "3-2.pt", "3-3.pt"]
    for seed in range(4):
        assert equal(kept.sample(3, generator(seed)), tasks.sample(3, generator(seed)))


def test_damaged_and_foreign_files_are_named(tmp_path):
    kept = KeptTasks(FunctionTasks([RandomGP()], dim_x=3), tmp_path)
    batch = kept.sample(4, torch.Generator().manual_seed(0))
    (path,) = tmp_path.iterdir()
    tensors = {name: values for name, values in batch._asdict().items() if values is not None}
    torch.save({**tensors, "y": batch.y * torch.nan}, path)
    with pytest.raises(ValueError, match=r"4-0\.pt does not hold 4 tasks; remove it"):
        kept.sample(4, torch.Generator().manual_seed(0))
    whole = path.read_bytes()
    at = len(whole) // 2
    flipped = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    for content in (whole[:-50], flipped, b"", b"text"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"4-0\.pt is damaged; remove it, and it is drawn again"):
            kept.sample(4, torch.Generator().manual_seed(0))
