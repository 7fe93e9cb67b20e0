import re
import threading

import pytest
import torch
from threadpoolctl import ThreadpoolController, threadpool_limits

from skcmanp.threads import in_threads, libraries_on_one_thread, one_thread


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def mkl_threads():
    """How many the calling thread's products of matrices may take; what torch's may, where there is no MKL."""
    found = re.search(r"mkl_get_max_threads\(\) : (\d+)", torch.__config__.parallel_info())
    return int(found.group(1)) if found else torch.get_num_threads()


def test_mkl_takes_one_thread_too(two_threads):
    with one_thread():
        assert mkl_threads() == 1
        with one_thread():
            assert mkl_threads() == 1
        assert mkl_threads() == 1
        other = threading.Thread(target=lambda: seen.append(mkl_threads()))
        seen: list[int] = []
        other.start()
        other.join()
        assert seen == [2]
    assert mkl_threads() == 2
    assert in_threads(lambda _: mkl_threads(), range(4), 2) == [1] * 4


def test_libraries_work_on_one_thread_and_parts_on_as_many_as_torch_had(two_threads):
    def of_part(part):
        return part, threading.get_ident(), torch.get_num_threads(), mkl_threads()

    with libraries_on_one_thread():
        assert of_part(0)[2:] == (1, 1)
        barrier = threading.Barrier(2, timeout=60)  # which one thread alone does not pass
        assert in_threads(lambda part: (barrier.wait() >= 0, *of_part(part)[2:]), range(2)) == [(True, 1, 1)] * 2
    assert of_part(0)[2:] == (2, 2)


@pytest.fixture
def blas():
    """OpenBLAS or the like, as often as it is loaded, with two threads."""
    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    if not libraries:
        pytest.skip("no BLAS whose number of threads can be set")
    with threadpool_limits(2, user_api="blas"):
        yield libraries


def test_threads_that_overlap_leave_blas_as_it_was(two_threads, blas):
    """OpenBLAS has one number for all: the first to leave must not restore it, nor the last what the first had set."""
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))
    seen = []

    def first():
        with libraries_on_one_thread():
            first_is_in.set()
            second_is_in.wait(60)
        first_is_out.set()

    def second():
        first_is_in.wait(60)
        with libraries_on_one_thread():
            second_is_in.set()
            first_is_out.wait(60)
            seen.append({library.get_num_threads() for library in blas})
        seen.append({library.get_num_threads() for library in blas})

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [{1}, {2}]


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
