"""The rows of a shard that are painted already, in a file that outlives the process that writes it.

A worker that is killed loses the pictures of one batch, not those of a shard: the next one goes on behind the last
whole entry.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from .packages import need

HEAD = struct.Struct("<III")  # bytes of the notes, bytes of the picture, CRC32 of both
LOCK_SECONDS = 60.0


class Outcome(NamedTuple):
    """What became of a row: its picture's file and size in pixels, or why there is none; of the best of several tries
    its score and seed, too."""

    picture: bytes = b""
    width: int = 0
    height: int = 0
    error: str = ""
    score: float | None = None
    try_seed: int | None = None


class Journal:
    """Opens or goes on with the file of a shard. Only one process can have it open; another waits for its end.

    Attributes:
        deaths: how many processes began to paint since the last row was done, and came to no end.
    Raises:
        OSError: the file cannot be written.
        filelock.Timeout: another process has it open, and does not end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = need("filelock").FileLock(f"{path}.lock", timeout=LOCK_SECONDS)
        self._lock.acquire()
        self._file = open(path, "a+b")
        self._where: dict[int, tuple[dict[str, Any], int, int]] = {}
        self.deaths = 0
        self._file.truncate(self._read())

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._lock.release()

    def __contains__(self, row: int) -> bool:
        return row in self._where

    def begin(self) -> None:
        """Note that a process is about to paint."""
        self._append({"begin": os.getpid()})

    def stop(self) -> None:
        """Note that the process ends because it was told to, and not because of what it painted."""
        self._append({"stop": os.getpid()})

    def add(self, row: int, outcome: Outcome) -> None:
        """Keep what became of a row. Raises OSError: it cannot be written; what was there before is not harmed."""
        values = {name: value for name, value in outcome._asdict().items() if value is not None}
        del values["picture"]
        notes = {"row": row, **values}
        start = self._append(notes, outcome.picture)
        self._where[row] = (notes, start, len(outcome.picture))

    def outcome(self, row: int) -> Outcome:
        """What became of a row. Raises KeyError: it is not there yet."""
        notes, start, length = self._where[row]
        self._file.seek(start)
        return Outcome(self._file.read(length), **{name: value for name, value in notes.items() if name != "row"})

    def failed(self) -> Iterable[int]:
        """The rows without a picture."""
        return [row for row, (notes, _, _) in self._where.items() if notes["error"]]

    def forget(self, rows: Iterable[int]) -> None:
        """Let rows be painted again."""
        for row in rows:
            self._append({"forget": row})
            self._where.pop(row, None)

    def discard(self) -> None:
        """Remove the file: what was in it has its place."""
        self._file.close()
        self.path.unlink(missing_ok=True)
        Path(f"{self.path}.lock").unlink(missing_ok=True)

    def _append(self, notes: dict[str, Any], picture: bytes = b"") -> int:
        """Write an entry at the end -> where its picture starts."""
        text = json.dumps(notes).encode()
        end = self._file.seek(0, os.SEEK_END)
        try:
            self._file.write(HEAD.pack(len(text), len(picture), zlib.crc32(picture, zlib.crc32(text))))
            self._file.write(text)
            self._file.write(picture)
            self._file.flush()
        except OSError:
            self._drop_what_is_left(end)
            raise
        return end + HEAD.size + len(text)

    def _drop_what_is_left(self, end: int) -> None:
        """After a failure: reopen without the half entry, which the buffer of the old file would try to write again."""
        try:
            self._file.close()
        except OSError:
            pass
        os.truncate(self.path, end)
        self._file = open(self.path, "a+b")

    def _read(self) -> int:
        """Read the entries up to the first that is not whole -> where it begins."""
        end = 0
        self._file.seek(0)
        while True:
            head = self._file.read(HEAD.size)
            if len(head) < HEAD.size:
                return end
            text_length, length, checksum = HEAD.unpack(head)
            text, picture = self._file.read(text_length), self._file.read(length)
            whole = len(text) == text_length and len(picture) == length
            if not whole or zlib.crc32(picture, zlib.crc32(text)) != checksum:
                return end
            self._take(json.loads(text), end + HEAD.size + text_length, length)
            end += HEAD.size + text_length + length

    def _take(self, notes: dict[str, Any], start: int, length: int) -> None:
        if "row" in notes:
            self._where[notes["row"]] = (notes, start, length)
            self.deaths = 0
        elif "forget" in notes:
            self._where.pop(notes["forget"], None)
        elif "begin" in notes:
            self.deaths += 1
        elif "stop" in notes:
            self.deaths = 0
