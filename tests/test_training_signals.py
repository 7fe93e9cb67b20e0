import os
import signal
import threading

import pytest

from skcmanp.training.signals import StopSignal


def test_signals_ask_once_and_handlers_come_back():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with StopSignal() as stop:
        assert stop.requested is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested is signal.SIGTERM
        assert {number: signal.getsignal(number) for number in before} == before  # a second one acts at once
        with pytest.raises(SystemExit) as error:
            stop.leave()
    assert error.value.code == 143
    assert {number: signal.getsignal(number) for number in before} == before


def test_ctrl_c_raises_when_left():
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            stop.leave()


def test_inactive_and_in_other_threads_it_does_nothing():
    def enter(active):
        with StopSignal(active):
            handlers.append(signal.getsignal(signal.SIGTERM))

    handlers = []
    enter(False)
    thread = threading.Thread(target=enter, args=(True,))
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGTERM)] * 2
