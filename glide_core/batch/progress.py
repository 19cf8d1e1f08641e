"""What a run tells while it works: a line for people, and lines of JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Counts the rows of a run.

    Args:
        total: how many rows this driver has; done and errors: how many are done already, and failed.
        log: the file for lines of JSON, "-" for the standard output, or None.
    """

    def __init__(self, total: int, done: int, errors: int, log: str | None) -> None:
        self.total, self.done, self.errors = total, done, errors
        self._at_start, self._started, self._last = done, time.monotonic(), time.monotonic()
        self._log: IO[str] | None = None
        if log is not None:
            self._log = sys.stdout if log == "-" else Path(log).open("a", encoding="utf-8")
        self._bar = tqdm(total=total, initial=done, unit="row", smoothing=0.05, disable=log == "-")

    def __enter__(self) -> Progress:
        self.event("start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.event("end", complete=kind is None)
        self._bar.close()
        if self._log not in (None, sys.stdout):
            self._log.close()

    def advance(self, rows: int, errors: int) -> None:
        """Count rows that are done, and those of them that failed."""
        self.done += rows
        self.errors += errors
        self._bar.set_postfix(errors=self.errors, refresh=False)
        self._bar.update(rows)
        if time.monotonic() - self._last > SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            self.event("progress")

    def event(self, name: str, **notes: Any) -> None:
        """Write a line of JSON: what happened, and how far the run is."""
        if self._log is None:
            return
        seconds = time.monotonic() - self._started
        speed = (self.done - self._at_start) / seconds if seconds > 0 else 0.0
        left = round((self.total - self.done) / speed, 1) if speed > 0 else None
        line = {
            "event": name,
            "time": round(time.time(), 3),
            "rows": self.done,
            "of": self.total,
            "errors": self.errors,
            "rows_per_second": round(speed, 3),
            "seconds_left": left,
            **notes,
        }
        print(json.dumps(line), file=self._log, flush=True)
