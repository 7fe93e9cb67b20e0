import threading

import pytest
import torch

from skcmanp.threads import in_threads, one_thread


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_settings_are_restored(two_threads):
    with one_thread():
        assert torch.get_num_threads() == 1
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with pytest.raises(KeyError), one_thread():
        raise KeyError
    assert torch.get_num_threads() == 2


def test_other_threads_notice_nothing(two_threads):
    seen = []
    with one_thread():
        other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        other.start()
        other.join()
    assert seen == [2]


@pytest.mark.parametrize("n_threads", [1, 2, 9])
def test_parts_are_in_order_and_have_one_thread_each(two_threads, n_threads):
    seen = in_threads(lambda part: (part, torch.get_num_threads(), threading.get_ident()), range(20), n_threads)
    assert [(part, n) for part, n, _ in seen] == [(part, 1) for part in range(20)]
    assert len({thread for *_, thread in seen}) <= n_threads
    assert torch.get_num_threads() == 2


def test_an_error_in_a_part_is_raised(two_threads):
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda part: 1 / part, [1, 0, 2], 2)
