import subprocess
import sys
from multiprocessing.pool import ThreadPool

import pytest

from skcmanp.progress import progress_bar


@pytest.mark.parametrize("show", [False, True])
def test_bars_pass_everything_on(show, capsys):
    assert list(progress_bar([3, 4], show=show, unit="row")) == [3, 4]
    assert ("2/2" in capsys.readouterr().err) == show
    with progress_bar(total=5, show=show) as bar:
        bar.update(5)
    assert ("5/5" in capsys.readouterr().err) == show


def test_notebook_bars_are_imported_only_to_be_shown():
    """Their import warns in notebooks without ipywidgets."""
    code = (
        "import sys, skcmanp.regressor, skcmanp.streaming, skcmanp.training;"
        "from skcmanp.progress import progress_bar;"
        "progress_bar([1], show=False);"
        "assert 'tqdm.auto' not in sys.modules;"
        "progress_bar([1], show=True);"
        "assert 'tqdm.auto' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_silent_bars_take_no_lock():
    """An interrupt leaves a lock locked, and then threads wait for ever."""
    from tqdm import tqdm

    with tqdm.get_lock(), ThreadPool(1) as pool:
        bars = pool.apply_async(lambda: list(progress_bar([3, 4], show=False)))
        assert bars.get(timeout=10) == [3, 4]
