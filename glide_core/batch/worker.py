"""A worker paints shards: it goes on where its predecessor died, and records what cannot be painted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import memory
from ..errors import CheckpointError, GlideError
from ..images import encode_image
from .journal import Journal, Outcome
from .painter import DryPainter, ModelPainter, Painted, Painter
from .records import folder_of
from .request import BatchRequest, ShardTask
from .rows import Row, make_row
from .shards import ShardFormat, commit, restore, shard_name
from .storage import Storage
from .warnings import PromptReader, summary

DEATHS_AT_ONE = 3  # of processes that painted one row and nothing else, until it is taken for the reason
Report = Callable[[int, int, str], None]  # rows done since the last call, how many failed, and why one did


class Stopped(Exception):
    """The worker was told to end."""


class Worker:
    """Paints the shards of a run, one after the other, on one device.

    Args:
        request: the run.
        device: such as "cpu" or "cuda:1".
        spool: where the journals are.
        extra: the pyarrow schema of the columns that pass through.
    """

    def __init__(self, request: BatchRequest, device: str, spool: Path, extra: Any) -> None:
        self.request, self.spool = request, spool
        self.storage = Storage(request.output)
        self.form = ShardFormat(request.format, request.files, extra, scored=bool(request.painting.best_of))
        self.batch = request.painting.batch
        self.painter: Painter = DryPainter(request.painting)
        if not request.painting.dry_run:
            self.painter = ModelPainter(request.painting, device, folder_of(request.source))
        self.misread = PromptReader(request.painting.models, self.painter.tokenizer)

    def __call__(self, task: ShardTask, report: Report) -> dict[str, Any]:
        """Paint what is missing of a shard and write it -> the content of its .json.

        Raises:
            OSError: the output cannot be written.
            GlideError: a model cannot be loaded.
        """
        started = time.monotonic()
        painting, columns = self.request.painting, self.request.columns
        rows = [make_row(record, task.first + k, columns, painting) for k, record in enumerate(task.records)]
        with Journal(self.spool / f"{shard_name(task.shard)}.part") as journal:
            if self.request.retry_errors and f"{shard_name(task.shard)}.json" in self.storage.names():
                restore(task.shard, rows, journal, self.storage, self.form)
                self.storage.remove(f"{shard_name(task.shard)}.json")
            there = [row for row in rows if row.index in journal]
            failed = [journal.outcome(row.index).error for row in there if journal.outcome(row.index).error]
            report(len(there), len(failed), next(iter(failed), ""))
            todo = self._todo(rows, journal, report)
            try:
                for batch in self._batches(todo):
                    for row, outcome in self._outcomes(batch, journal):
                        journal.add(row.index, outcome)
                        report(1, int(bool(outcome.error)), outcome.error)
            except (Stopped, KeyboardInterrupt):
                journal.stop()
                raise
            misread = [self.misread(row) for row in rows]
            rows = [replace(row, warnings=str(each)) for row, each in zip(rows, misread)]
            seconds = round(time.monotonic() - started, 3)
            notes = {"seconds": seconds, "smallest_batch": self.batch, "warnings": summary(misread)}
            return commit(task.shard, rows, journal, self.storage, self.form, notes)

    def _todo(self, rows: Sequence[Row], journal: Journal, report: Report) -> list[Row]:
        """The rows to paint, with equal options together. Batches become smaller where workers died of them."""
        for row in rows:
            if row.problem and row.index not in journal:
                journal.add(row.index, Outcome(error=row.problem))
                report(1, 1, row.problem)
        todo = sorted((row for row in rows if row.index not in journal), key=_options)
        if journal.deaths and todo:
            self._shrink(max(1, self.request.painting.batch >> journal.deaths))
            if journal.deaths >= DEATHS_AT_ONE + self.request.painting.batch.bit_length() - 1:
                reason = f"{journal.deaths} workers died while they painted this row, perhaps of too little memory"
                journal.add(todo.pop(0).index, Outcome(error=reason))
                report(1, 1, reason)
        return todo

    def _batches(self, todo: list[Row]) -> Iterator[list[Row]]:
        start = 0
        while start < len(todo):
            end = start + 1
            while end < len(todo) and end - start < self.batch and _options(todo[end]) == _options(todo[start]):
                end += 1
            yield todo[start:end]
            start = end

    def _outcomes(self, rows: list[Row], journal: Journal) -> Iterator[tuple[Row, Outcome]]:
        """Paint a batch; where it fails, its rows one by one, and where it is too large, its halves."""
        journal.begin()
        try:
            pictures = self.painter(rows)
            outcomes = [self._encoded(row, painted) for row, painted in zip(rows, pictures)]
        except (Stopped, OSError, CheckpointError):
            raise
        except Exception as error:  # a damaged picture can raise anything, and a run of days does not end for it
            if len(rows) == 1:
                outcomes = [Outcome(error=_reason(error))]
            else:
                yield from self._in_parts(rows, error, journal)
                return
        yield from zip(rows, outcomes)

    def _in_parts(self, rows: list[Row], error: Exception, journal: Journal) -> Iterator[tuple[Row, Outcome]]:
        too_large = memory.is_shortage(error)
        if too_large:
            self._shrink(max(1, self.batch // 2))
        while rows:
            size = self.batch if too_large else 1
            yield from self._outcomes(rows[:size], journal)
            rows = rows[size:]

    def _shrink(self, batch: int) -> None:
        self.batch = min(batch, self.batch)
        if isinstance(self.painter, ModelPainter):
            self.painter.shrink(self.batch)

    def _encoded(self, row: Row, painted: Painted) -> Outcome:
        pixels, score, seed = painted
        if pixels.shape[-1] == 4 and self.request.format == "jpg":
            raise GlideError("the photo is transparent in parts, which JPEG cannot hold: choose --format png")
        noted: dict[str, object] = {"prompt": row.prompt, "negative": row.negative, "seed": row.seed}
        if score is not None:
            noted |= {"try-seed": seed, "score": round(score, 5)}
        content = encode_image(pixels, f".{self.request.format}", noted)
        return Outcome(content, pixels.shape[1], pixels.shape[0], score=score, try_seed=seed)


def _options(row: Row) -> tuple[str, str, tuple[int, int, int]]:
    """Rows with equal ones can be painted together, in batches whose size for the model is always the same."""
    return row.task, repr(row.sampling), row.parts


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, GlideError) else f"{type(error).__name__}: {error}"
