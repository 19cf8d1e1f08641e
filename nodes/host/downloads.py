"""The download that the loader's button starts: one at a time, in a thread, with its state for the page."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import folder_paths

from ...glide_core.errors import GlideError
from ...glide_core.files import download
from ...glide_core.files.folders import published_filename
from .published import FOLDER

IDLE, RUNNING, CHECKING, DONE, CANCELLED, FAILED = "idle", "running", "checking", "done", "cancelled", "failed"


class _Cancelled(Exception):
    """The user cancelled: what has arrived is kept, and the next download goes on from there."""


@dataclass
class State:
    """What the page shows.

    Attributes:
        name: the published model, such as "base-inpaint"; "" before the first download.
        state: one of "idle", "running", "checking", "done", "cancelled", "failed".
        done: bytes that are there.
        total: bytes of the whole file; 0 as long as the server has not said it.
        seconds_left: an estimate from the bytes that came since the start; None as long as there is none.
        error: what went wrong, for a reader.
    """

    name: str = ""
    file: str = ""
    state: str = IDLE
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    error: str = ""


class Downloads:
    """Downloads into models/glide. Its methods are called by the server's thread, and never wait."""

    def __init__(self) -> None:
        self.state = State()
        self._cancelled = threading.Event()

    @property
    def busy(self) -> bool:
        return self.state.state in (RUNNING, CHECKING)

    def start(self, name: str) -> None:
        """Begin or resume the download of a published model. The caller has made sure that none is running."""
        self._cancelled.clear()
        self.state = State(name, published_filename(name), RUNNING)
        threading.Thread(target=self._run, args=(self.state,), name=f"glide download {name}", daemon=True).start()

    def cancel(self) -> None:
        """End the running download at its next bytes; the part that has arrived is kept."""
        self._cancelled.set()

    def _run(self, state: State) -> None:
        folder = folder_paths.get_folder_paths(FOLDER)[0]
        began, first = time.monotonic(), -1

        def progress(done: int, total: int | None) -> None:
            nonlocal began, first
            if self._cancelled.is_set():
                raise _Cancelled
            if first < 0 or done < first:  # the first call, or the server has sent the file from its start again
                began, first = time.monotonic(), done
            state.done, state.total = done, total or 0
            came, seconds = done - first, time.monotonic() - began
            state.seconds_left = (state.total - done) * seconds / came if total and came else None
            if total and done >= total:
                state.state = CHECKING

        try:
            download.fetch(state.name, folder, progress=progress, files=download.FILES)
            state.state = DONE
        except _Cancelled:
            state.state = CANCELLED
        except GlideError as error:
            state.state, state.error = FAILED, str(error)
        except Exception as error:  # the page would wait for ever
            state.state, state.error = FAILED, f"{type(error).__name__}: {error}"
            raise
