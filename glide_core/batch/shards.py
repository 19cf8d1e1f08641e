"""A shard's files: the pictures, the table of its rows, and the .json that says that both are there."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .journal import Journal, Outcome
from .packages import need
from .rows import SCORES, Row, file_key
from .storage import Storage

PICTURE_FOLDER = "pictures"  # of --files
ERRORS_NAMED = 20  # in a shard's .json; its table has all


@dataclass(frozen=True)
class ShardFormat:
    """How shards are written.

    Attributes:
        picture: png, jpg or webp.
        files: one file a picture, instead of a tar file.
        extra: the pyarrow schema of the columns that pass through.
        scored: the tables have the columns of the best of several.
    """

    picture: str
    files: bool
    extra: Any
    scored: bool = False


def shard_name(shard: int) -> str:
    """The name of its files, without a suffix."""
    return f"{shard:05d}"


def commit(
    shard: int, rows: list[Row], journal: Journal, storage: Storage, form: ShardFormat, notes: Mapping[str, Any]
) -> dict[str, Any]:
    """Write a shard whose rows are all in the journal, and then the .json that makes it count.

    The same rows with the same outcomes give the same bytes, whoever writes them and however often.

    Args:
        notes: what the .json gets beside the counts and hashes.
    Returns:
        the content of the .json.
    Raises:
        OSError: something cannot be written; the journal is still there then.
    """
    name = shard_name(shard)
    hashes = {}
    if form.files:
        for row in rows:
            _put_picture(row, journal.outcome(row.index), journal.path, storage, form)
    else:
        hashes[f"{name}.tar"] = _put(journal.path, storage, f"{name}.tar", _tar(rows, journal, form))
    hashes[f"{name}.parquet"] = _put(journal.path, storage, f"{name}.parquet", [_table(rows, journal, form)])
    failed = [(row, journal.outcome(row.index).error) for row in rows if journal.outcome(row.index).error]
    summary = {
        "shard": shard,
        "first": rows[0].index,
        "rows": len(rows),
        "pictures": len(rows) - len(failed),
        "errors": len(failed),
        "sha256": hashes,
        **notes,
        "error_rows": [{"index": row.index, "id": row.id, "error": error} for row, error in failed[:ERRORS_NAMED]],
    }
    storage.write(f"{name}.json", (json.dumps(summary, indent=1) + "\n").encode())
    journal.discard()
    return summary


def _put(beside: Path, storage: Storage, name: str, parts: Iterable[bytes]) -> str:
    """Write a file next to the journal, then bring it to its place -> its SHA-256."""
    temporary = beside.with_name(f"{name}.tmp")
    digest = hashlib.sha256()
    try:
        with temporary.open("wb") as file:
            for part in parts:
                file.write(part)
                digest.update(part)
        storage.put(temporary, name)
    finally:
        temporary.unlink(missing_ok=True)
    return digest.hexdigest()


def _put_picture(row: Row, outcome: Outcome, beside: Path, storage: Storage, form: ShardFormat) -> None:
    if not outcome.error:
        temporary = beside.with_name(f"{row.index}.{os.getpid()}.tmp")
        try:
            temporary.write_bytes(outcome.picture)
            storage.put(temporary, picture_name(row.id, form))
        finally:
            temporary.unlink(missing_ok=True)


def picture_name(id: str, form: ShardFormat) -> str:
    """The file of a picture, where each has one."""
    return f"{PICTURE_FOLDER}/{file_key(id)}.{form.picture}"


def _tar(rows: Iterable[Row], journal: Journal, form: ShardFormat) -> Iterator[bytes]:
    """The tar file of the rows that have a picture, in parts."""
    buffer = io.BytesIO()
    writer = need("webdataset").TarWriter(buffer, encoder=False, mtime=0, format="PAX_FORMAT")
    for row in rows:
        outcome = journal.outcome(row.index)
        if outcome.error:
            continue
        notes = json.dumps(_values(row, outcome, form), ensure_ascii=False, default=str).encode("utf-8", "replace")
        writer.write({"__key__": row.key, form.picture: outcome.picture, "json": notes})
        yield _taken(buffer)
    writer.close()
    yield _taken(buffer)


def _taken(buffer: io.BytesIO) -> bytes:
    content = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return content


def _values(row: Row, outcome: Outcome, form: ShardFormat) -> dict[str, Any]:
    """A row for JSON: all but what is no text, such as pictures from the input."""
    values = {**_known(row, outcome, form), **{name: row.extra.get(name) for name in form.extra.names}}
    values |= {name: value for name, value in row.extra.items() if name not in values}
    del values["error"]
    return {name: value for name, value in values.items() if not isinstance(value, bytes)}


def _known(row: Row, outcome: Outcome, form: ShardFormat) -> dict[str, Any]:
    painted = not outcome.error
    scores = {"score": outcome.score, "try_seed": outcome.try_seed} if form.scored else {}
    return {
        "index": row.index,
        "id": row.id,
        "prompt": row.prompt,
        "negative": row.negative,
        "seed": row.seed,
        "task": row.task,
        "steps": str(row.sampling.steps),
        "sampler": row.sampling.sampler,
        "guidance_scale": row.sampling.guidance_scale,
        "image": row.image if isinstance(row.image, str) else None,
        "mask": row.mask if isinstance(row.mask, str) else None,
        "picture_width": outcome.width if painted else None,
        "picture_height": outcome.height if painted else None,
        "picture_sha256": hashlib.sha256(outcome.picture).hexdigest() if painted else None,
        **scores,
        "warnings": row.warnings or None,
        "error": outcome.error or None,
    }


def _table(rows: list[Row], journal: Journal, form: ShardFormat) -> bytes:
    """The parquet file of all rows, with those that failed."""
    pyarrow, parquet = need("pyarrow"), need("pyarrow.parquet")
    known = [_known(row, journal.outcome(row.index), form) for row in rows]
    columns = {name: pyarrow.array([each[name] for each in known], _types(pyarrow)[name]) for name in known[0]}
    rest: list[dict[str, Any]] = [
        {name: value for name, value in row.extra.items() if name not in form.extra.names and value is not None}
        for row in rows
    ]
    for each in form.extra:
        columns[each.name] = _column(pyarrow, each, rows, rest)
    columns["rest"] = pyarrow.array([_json(each) if each else None for each in rest], pyarrow.string())
    content = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), content)
    return content.getvalue()


def _types(pyarrow: Any) -> dict[str, Any]:
    text, whole = pyarrow.string(), pyarrow.int64()
    return {
        "index": whole,
        "id": text,
        "prompt": text,
        "negative": text,
        "seed": pyarrow.uint64(),
        "task": text,
        "steps": text,
        "sampler": text,
        "guidance_scale": pyarrow.float64(),
        "image": text,
        "mask": text,
        "picture_width": whole,
        "picture_height": whole,
        "picture_sha256": text,
        "score": pyarrow.float64(),
        "try_seed": pyarrow.uint64(),
        "warnings": text,
        "error": text,
    }


def _column(pyarrow: Any, field: Any, rows: list[Row], rest: list[dict[str, Any]]) -> Any:
    """A column that passes through. A value that its type has no place for goes into ``rest``."""
    values = [row.extra.get(field.name) for row in rows]
    try:
        return pyarrow.array(values, field.type)
    except (pyarrow.ArrowException, TypeError, OverflowError):
        fitting = []
        for value, other in zip(values, rest):
            try:
                fitting.append(pyarrow.scalar(value, field.type).as_py())
            except (pyarrow.ArrowException, TypeError, OverflowError):
                fitting.append(None)
                other[field.name] = value
        return pyarrow.array(fitting, field.type)


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, default=str)


def restore(shard: int, rows: list[Row], journal: Journal, storage: Storage, form: ShardFormat) -> None:
    """Put the pictures of a finished shard back into a journal, so that only its failed rows are painted again."""
    name = shard_name(shard)
    table = need("pyarrow.parquet").read_table(io.BytesIO(storage.read([f"{name}.parquet"])[f"{name}.parquet"]))
    known = {row["index"]: row for row in table.to_pylist()}
    pictures = dict(_stored(name, rows, storage, form))
    for row in rows:
        old = known[row.index]
        if row.index not in journal and not old["error"]:
            size = old["picture_width"], old["picture_height"]
            scores = {column: old[column] for column in SCORES} if form.scored else {}
            journal.add(row.index, Outcome(pictures[row.key], *size, **scores))


def _stored(name: str, rows: Iterable[Row], storage: Storage, form: ShardFormat) -> Iterator[tuple[str, bytes]]:
    """The keys and pictures of a finished shard."""
    if form.files:
        names = set(f"{PICTURE_FOLDER}/{other}" for other in Storage(f"{storage.url}/{PICTURE_FOLDER}").names())
        for row in rows:
            if picture_name(row.id, form) in names:
                yield row.key, next(iter(storage.read([picture_name(row.id, form)]).values()))
        return
    content = storage.read([f"{name}.tar"])[f"{name}.tar"]
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            key, _, suffix = member.name.rpartition(".")
            file = archive.extractfile(member)
            if suffix == form.picture and file is not None:
                yield key, file.read()
