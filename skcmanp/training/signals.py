"""Stopping a run from outside without losing it."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class StopSignal:
    """While it is entered, SIGTERM and Ctrl-C only ask for a stop.

    The loop looks at `requested` between steps and calls `leave` once it has
    saved. A second signal acts at once. In threads other than the main one,
    where Python takes no handlers, signals act as ever.

    Parameters
    ----------
    active : bool, default=True
        False leaves signals alone: without a file to save to.
    """

    def __init__(self, active: bool = True) -> None:
        self.active = active
        self.requested: signal.Signals | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignal:
        if self.active and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._restore()

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())

    def leave(self) -> None:
        """End as the signal would have.

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C.
        SystemExit
            With status 143 after SIGTERM, here or in another process of the run.
        """
        if self.requested is signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + signal.SIGTERM)
