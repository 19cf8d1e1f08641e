"""A first pass over the input, before anything is painted: what would spoil the run later is told now."""

from __future__ import annotations

import io
import sqlite3
import tempfile
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import OptionError
from .packages import need
from .records import Record, read_records
from .request import BatchRequest, ShardTask
from .rows import own_id, passes, renamed, task_of

PEEK = 1000  # rows that decide the columns that pass through
IDS_AT_A_TIME = 10_000


@dataclass
class Survey:
    """What is in an input.

    Attributes:
        rows: how many; tasks: what they ask for.
    """

    rows: int = 0
    tasks: set[str] = field(default_factory=set)


def look(request: BatchRequest) -> Survey:
    """Read the whole input once.

    Raises:
        OptionError: it is broken or empty, lacks a column, or has an id twice.
    """
    found, has_ids = Survey(), False
    with _Ids(request.source) as ids:
        for index, record in enumerate(read_records(request.source)):
            found.rows += 1
            values = renamed(record.values, request.columns)
            if not record.problem:
                found.tasks.add(task_of(values))
            if not has_ids and values.get("id") is not None:
                has_ids = True  # from now on numbers count as well: they are the ids of rows without one
                for row in range(index):
                    ids.add(own_id(Record({}), row, request.columns), row)
            if has_ids:
                ids.add(own_id(record, index, request.columns), index)
    if not found.rows:
        raise OptionError(f"{request.source}: there are no rows in it")
    return found


def require_columns(request: BatchRequest) -> None:
    """Raise OptionError where the first rows have neither a prompt nor an image, or lack a column of ``--column``."""
    first = [record for record in islice(read_records(request.source), PEEK) if not record.problem]
    names = list(dict.fromkeys(name for record in first for name in record.values))
    there = ", ".join(names) or "none"
    for ours, theirs in request.columns.items():
        if first and theirs not in names:
            raise OptionError(f"--column {ours}={theirs}: {request.source} has no such column (it has {there})")
    ours_there = {name for record in first for name in renamed(record.values, request.columns)}
    if first and not ours_there & {"prompt", "image"}:
        raise OptionError(
            f"{request.source} has no column prompt or image (it has {there}): name it with --column prompt=NAME"
        )


def extra_schema(request: BatchRequest) -> Any:
    """The pyarrow schema of the columns that pass through: the first rows decide."""
    pyarrow = need("pyarrow")
    values: dict[str, list[Any]] = {}
    for record in islice(read_records(request.source), PEEK):
        for name, value in renamed(record.values, request.columns).items():
            if passes(name, request.painting):
                values.setdefault(name, []).append(value)
    return pyarrow.schema([(name, _type(pyarrow, found)) for name, found in values.items()])


def _type(pyarrow: Any, values: list[Any]) -> Any:
    """What parquet can hold these values as; else text, and then they lie in ``rest``."""
    try:
        found = pyarrow.array(values).type
        need("pyarrow.parquet").write_table(pyarrow.table({"value": pyarrow.array([], found)}), io.BytesIO())
    except (pyarrow.ArrowException, OverflowError):  # of several kinds, or too large, or an object without fields
        return pyarrow.string()
    return pyarrow.string() if pyarrow.types.is_null(found) else found


def tasks(request: BatchRequest, done: Collection[int]) -> Iterator[ShardTask]:
    """Stream the shards of this driver but those that are done."""
    for shard, first, records in _shards(request):
        if shard % request.shard_count == request.shard_index and shard not in done:
            yield ShardTask(shard, first, records)


def _shards(request: BatchRequest) -> Iterator[tuple[int, int, list[Record]]]:
    rows, size, shard = read_records(request.source), request.shard_size, 0
    while records := list(islice(rows, size)):
        yield shard, shard * size, records
        shard += 1


class _Ids:
    """The ids of an input, on the disk: there may be more than memory holds. Adding one twice is an OptionError."""

    def __init__(self, source: str) -> None:
        self.source = source

    def __enter__(self) -> _Ids:
        self._folder = tempfile.TemporaryDirectory(prefix="glide-ids-")
        self._table = sqlite3.connect(Path(self._folder.name) / "ids", isolation_level=None)
        self._table.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; CREATE TABLE ids(id TEXT, row INT);"
        )
        self._waiting: list[tuple[str, int]] = []
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                self._flush()
                self._require_distinct()
        finally:
            self._table.close()
            self._folder.cleanup()

    def add(self, id: str, row: int) -> None:
        self._waiting.append((id, row))
        if len(self._waiting) == IDS_AT_A_TIME:
            self._flush()

    def _flush(self) -> None:
        self._table.execute("BEGIN")
        self._table.executemany("INSERT INTO ids VALUES (?, ?)", self._waiting)
        self._table.execute("COMMIT")
        self._waiting.clear()

    def _require_distinct(self) -> None:
        query = "SELECT id, MIN(row), MAX(row), COUNT(*) FROM ids GROUP BY id HAVING COUNT(*) > 1 ORDER BY 2 LIMIT 1"
        with closing(self._table.execute(query)) as found:
            twice = found.fetchone()
        if twice:
            id, first, last, count = twice
            raise OptionError(
                f"{self.source}: {count} rows have the id {id[:60]!r}, among them rows {first} and {last}: "
                "make ids distinct, or take another column with --column id=NAME"
            )
