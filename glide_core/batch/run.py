"""A run from its start to its end: survey, lock, resume, paint, count."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import GlideError, OptionError
from . import run_record, survey, warnings
from .journal import Journal
from .progress import Progress
from .records import input_folder
from .request import BatchRequest, ShardTask
from .storage import Storage

PARTS = ".parts"  # folder of the shards that are not done yet


@dataclass(frozen=True)
class Plan:
    """What the workers of a run need.

    Attributes:
        request: the run.
        spool: folder of the journals.
        extra: the pyarrow schema of the columns that pass through.
    """

    request: BatchRequest
    spool: Path
    extra: Any


@dataclass(frozen=True)
class Tasks:
    """The shards of a driver that are to be painted, as a stream that can start again, in another process too.

    Attributes:
        done: the numbers of the shards that are not to be painted.
    """

    request: BatchRequest
    done: frozenset[int]

    def __iter__(self) -> Iterator[ShardTask]:
        return survey.tasks(self.request, self.done)


@dataclass(frozen=True)
class Advanced:
    """Rows were done, and some of them failed, one for this reason. A negative number takes back what was counted of a
    shard."""

    rows: int
    errors: int
    reason: str = ""


@dataclass(frozen=True)
class ShardDone:
    """A shard is committed; ``summary`` is the content of its .json."""

    summary: Mapping[str, Any]


@dataclass(frozen=True)
class WorkerDied:
    """A worker ended in the middle of a shard, which another one goes on with."""

    shard: int | None
    status: str


Event = Advanced | ShardDone | WorkerDied
Engine = Callable[[Plan, Iterable[ShardTask]], Iterator[Event]]


@dataclass(frozen=True)
class Totals:
    """The rows of this driver's shards: all, those that have no picture, why one of them has none, and what the models
    did not get of the others' prompts, see ``warnings.joined``."""

    rows: int
    errors: int
    reason: str
    warnings: Mapping[str, Any]


def run(request: BatchRequest, engine: Engine, log: str | None = None) -> Totals:
    """Do a run, or the rest of it.

    Args:
        engine: who paints.
        log: see ``Progress``.
    Raises:
        OptionError: an option, the input or the output is not as it must be; nothing was painted.
        GlideError: too many rows failed, or a worker could not work.
        OSError: the output cannot be written. What is done is kept, and the same run goes on from there.
    """
    storage = Storage(request.output)
    require_apart(request.source, storage)
    survey.require_columns(request)
    storage.make()
    with run_record.locked(storage, request.shard_index, request.shard_count):
        rows, mark = _claim(request, storage)
        done = _done(run_record.finished(storage), request)
        plan = Plan(request, _spool(storage, mark), survey.extra_schema(request))
        if request.retry_errors:
            _forget_failures(plan)
        progress = Progress(
            _own_rows(rows, request),
            sum(summary["rows"] for summary in done.values()),
            sum(summary["errors"] for summary in done.values()),
            log,
        )
        summaries = dict(done)
        with progress:
            for event in _followed(engine(plan, Tasks(request, frozenset(done))), progress, request):
                if isinstance(event, ShardDone):
                    summaries[event.summary["shard"]] = dict(event.summary)
        if progress.errors > request.max_errors:  # all is done, but a program that asks must not take it for success
            raise _too_many(progress.errors, request, next(_reasons(summaries), ""))
        found = warnings.joined(summaries[shard].get("warnings", {}) for shard in sorted(summaries))
        return Totals(progress.done, progress.errors, next(_reasons(summaries), ""), found)


def _claim(request: BatchRequest, storage: Storage) -> tuple[int, dict[str, Any]]:
    """Make the folder this run's, or make sure that it is -> the number of rows, and the fingerprint."""
    input_hash = run_record.hash_of_input(request.source)
    old = run_record.read(storage)
    if old and old["fingerprint"].get("input") == input_hash and old["fingerprint"].get("columns") == request.columns:
        mark = run_record.fingerprint(request, input_hash, old["tasks"])
        run_record.require_same(storage, old["fingerprint"], mark)
        return old["rows"], mark
    if old:
        mark = run_record.fingerprint(request, input_hash, ())
        run_record.require_same(storage, {**old["fingerprint"], "checkpoints": {}}, mark)
    found = survey.look(request)
    mark = run_record.fingerprint(request, input_hash, found.tasks)
    run_record.write(storage, mark, found.rows, found.tasks)
    return found.rows, mark


def _followed(events: Iterator[Event], progress: Progress, request: BatchRequest) -> Iterator[Event]:
    """Count what happens and pass it on, and stop where too much fails."""
    reason = ""
    for event in events:
        yield event
        if isinstance(event, Advanced):
            progress.advance(event.rows, event.errors)
            reason = event.reason or reason
        elif isinstance(event, ShardDone):
            summary = event.summary
            progress.event("shard", shard=summary["shard"], shard_errors=summary["errors"], seconds=summary["seconds"])
        else:
            progress.event("worker died", shard=event.shard, status=event.status)
        if progress.errors > request.max_errors and progress.done < progress.total:
            raise _too_many(progress.errors, request, reason)


def _too_many(errors: int, request: BatchRequest, reason: str) -> GlideError:
    return GlideError(
        f"{errors} rows failed, which is more than --max-errors {request.max_errors}, one of them for this reason: "
        f"{reason}. The same command with a higher number goes on, and with --retry-errors it tries them again"
    )


def _reasons(summaries: Mapping[int, Mapping[str, Any]]) -> Iterator[str]:
    return (row["error"] for shard in sorted(summaries) for row in summaries[shard]["error_rows"])


def _forget_failures(plan: Plan) -> None:
    """Let the rows be painted again that failed in the shards of this driver which were not finished."""
    for path in plan.spool.glob("*.part"):
        if int(path.stem) % plan.request.shard_count == plan.request.shard_index:
            with Journal(path) as journal:
                journal.forget(journal.failed())


def _done(finished: Mapping[int, dict[str, Any]], request: BatchRequest) -> dict[int, dict[str, Any]]:
    """The shards of this driver that it has not to touch any more."""
    own = {shard: each for shard, each in finished.items() if shard % request.shard_count == request.shard_index}
    return {shard: each for shard, each in own.items() if not (request.retry_errors and each["errors"])}


def _own_rows(rows: int, request: BatchRequest) -> int:
    size = request.shard_size
    own = range(request.shard_index, -(-rows // size), request.shard_count)
    return sum(min(size, rows - shard * size) for shard in own)


def _spool(storage: Storage, mark: Mapping[str, Any]) -> Path:
    """Journals lie beside the shards. Those for an object store lie in a temporary folder, one for each run."""
    if storage.local is not None:
        return storage.local / PARTS
    name = hashlib.sha256(json.dumps([storage.url, dict(mark)], default=str).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"glide-batch-{name}"


def require_apart(source: str, storage: Storage) -> None:
    """Raise OptionError where the output lies in a folder that is the input: its pictures would become rows."""
    folder = input_folder(source)
    if folder is None or folder.files != storage.files:
        return
    if f"{storage.path.rstrip('/')}/".startswith(f"{folder.path.rstrip('/')}/"):
        raise OptionError(
            f"--output {storage.url} lies in the folder {source}, whose files are the input: choose a folder beside it"
        )


def require_index(request: BatchRequest) -> None:
    """Raise OptionError where the shards of an array job are numbered wrongly."""
    if not 0 <= request.shard_index < request.shard_count:
        last = request.shard_count - 1
        raise OptionError(
            f"--shard-index is {request.shard_index}: with --shard-count {request.shard_count} it is 0 to {last}"
        )
