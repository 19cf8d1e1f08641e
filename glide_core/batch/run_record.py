"""Which run a folder belongs to: what decides its pictures, and what is done already."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from .. import __version__
from ..errors import OptionError
from ..files import checkpoints
from ..scoring import scorer_files
from .packages import need
from .reach import reaching
from .request import BatchRequest
from .storage import Storage

NAME = "run.json"
SHARD = re.compile(r"(\d{5,})\.json")


def fingerprint(request: BatchRequest, input_hash: str, tasks: Iterable[str]) -> dict[str, Any]:
    """What decides the pictures of a run and where they lie.

    Args:
        tasks: what the rows ask for; the models of others do not matter.
    Raises:
        CheckpointError: a model that is needed is missing.
    """
    painting = asdict(request.painting)
    for name in ("models", "clip", *(() if request.painting.best_of else ("best_of", "scorer"))):
        del painting[name]
    return {
        "version": __version__,
        "input": input_hash,
        "checkpoints": {} if request.painting.dry_run else _hashes_of_models(request, tasks),
        "columns": dict(request.columns),
        **painting,
        "shard_size": request.shard_size,
        "files": request.files,
        "format": request.format,
    }


def _hashes_of_models(request: BatchRequest, tasks: Iterable[str]) -> dict[str, str]:
    hashes = {}
    for task in sorted(tasks):
        for name, source in request.painting.models.of_task(task).items():
            with checkpoints.find(source).open("rb") as file:
                hashes[name] = _digest(file)
    if request.painting.best_of:
        for path in scorer_files(request.painting.scorer, request.painting.clip):
            with path.open("rb") as file:
                hashes[f"scorer {path.name}"] = _digest(file)
    return hashes


def hash_of_input(source: str) -> str:
    """The SHA-256 of a file; of a folder that of the names and sizes of its files. Raises OSError."""
    with reaching(source):
        files, path = need("fsspec").core.url_to_fs(source)
        if not files.isdir(path):
            with files.open(path, "rb") as file:
                return _digest(file)
        found = files.find(path, detail=True)
    listing = "".join(f"{name[len(path) :]} {found[name]['size']}\n" for name in sorted(found))
    return hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest()


def _digest(file: Any) -> str:
    digest = hashlib.sha256()
    while part := file.read(1 << 20):
        digest.update(part)
    return digest.hexdigest()


def read(storage: Storage) -> dict[str, Any]:
    """The content of run.json, or {} where there is none yet. Raises OptionError: it is damaged."""
    if NAME not in storage.names():
        return {}
    try:
        found = json.loads(storage.read([NAME])[NAME])
        return {"fingerprint": dict(found["fingerprint"]), "rows": int(found["rows"]), "tasks": list(found["tasks"])}
    except (ValueError, KeyError, TypeError) as error:
        raise OptionError(f"--output {storage.url}: its {NAME} is damaged: choose another folder") from error


def require_same(storage: Storage, old: Mapping[str, Any], mark: Mapping[str, Any]) -> None:
    """Raise OptionError unless the folder's fingerprint is that of this run; the message has the first difference."""
    new = json.loads(json.dumps(mark, default=str))
    different = [name for name in {**new, **old} if old.get(name) != new.get(name)]
    if different:
        raise OptionError(
            f"--output {storage.url} holds another run ({_difference(different[0], old, new)}): "
            "choose another folder, or the options of that run"
        )


def _difference(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if name in ("input", "checkpoints"):
        return f"of another {name.removesuffix('s')}"
    return f"its {name.replace('_', '-')} is {old.get(name)}, here it is {new.get(name)}"


def write(storage: Storage, mark: Mapping[str, Any], rows: int, tasks: Iterable[str]) -> None:
    """Write run.json. Raises OSError."""
    content = {"fingerprint": mark, "rows": rows, "tasks": sorted(tasks)}
    storage.write(NAME, (json.dumps(content, indent=1, default=str) + "\n").encode())


def finished(storage: Storage) -> dict[int, dict[str, Any]]:
    """The .json of each shard that is done. One that cannot be read does not count."""
    found = {}
    for content in storage.read(name for name in storage.names() if SHARD.fullmatch(name)).values():
        try:
            summary = json.loads(content)
            found[int(summary["shard"])] = dict(summary)
        except (ValueError, KeyError, TypeError):
            continue
    return found


@contextmanager
def locked(storage: Storage, index: int, count: int) -> Iterator[None]:
    """Keep a second driver of the same shards out of a folder of this machine, until this one ends or dies.

    Object stores have no locks. There two drivers do the same work twice and write the same bytes.

    Raises:
        OptionError: another driver is at work.
    """
    folder = storage.local
    if folder is None:
        yield
        return
    filelock = need("filelock")
    own = folder / (".run.lock" if count == 1 else f".run-{index}-of-{count}.lock")
    allies = set() if count == 1 else {f".run-{other}-of-{count}.lock" for other in range(count)}
    lock = filelock.FileLock(own, timeout=0)
    try:
        lock.acquire()
        for other in folder.glob(".run*.lock"):
            if other != own and other.name not in allies:
                with filelock.FileLock(other, timeout=0):
                    pass
    except filelock.Timeout as error:
        lock.release()
        raise OptionError(
            f"--output {storage.url}: another glide batch is at work in this folder: wait for its end, or give both "
            "--shard-index and the same --shard-count"
        ) from error
    try:
        yield
    finally:
        lock.release()
