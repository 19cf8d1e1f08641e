"""Ctrl-C during a training: the current step is finished and saved first."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Notes Ctrl-C and termination signals while it is entered, instead of letting them end the process.

    In a thread other than the main one Python cannot handle signals, so there it does nothing.

    Args:
        twice_stops_at_once: a second signal raises KeyboardInterrupt. This must not be while other processes would wait
            for this one for ever.

    Attributes:
        made: has this process been asked to stop?
    """

    def __init__(self, *, twice_stops_at_once: bool) -> None:
        self.twice_stops_at_once = twice_stops_at_once
        self.made = False

    def __enter__(self) -> StopRequest:
        self.before = {}
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.made and self.twice_stops_at_once:
            raise KeyboardInterrupt
        self.made = True
