"""How well the pictures of finished shards fit their prompts, in a table of each shard: ``scores/00000.parquet``."""

from __future__ import annotations

import hashlib
import heapq
import io
import json
import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..diffusion.clip_guidance import resized
from ..errors import ImageError, OptionError
from ..images import read_image
from ..scoring import Scorer
from . import run_record
from .packages import need
from .records import read_records
from .rows import file_key
from .shards import PICTURE_FOLDER, shard_name
from .storage import Storage

FOLDER = "scores"
MARK = b"glide_scores"  # of the table's metadata: what was scored with what
AT_A_TIME = 64
LOWEST_NAMED = 5


@dataclass(frozen=True)
class Item:
    """A picture to score: its row's number in the input where that is known, and its id; and its prompt and content."""

    index: int | None
    id: str
    prompt: str
    content: bytes


@dataclass(frozen=True)
class Shard:
    """A shard to score.

    Attributes:
        name: of its table.
        mark: what changes where its pictures change.
        items: reads its pictures.
    """

    name: str
    mark: str
    items: Callable[[], Iterator[Item]]


@dataclass
class Summary:
    """The scores of all shards.

    Attributes:
        scores: of all pictures that could be scored.
        failed: how many could not.
        lowest: the lowest scores with the ids and the prompts of their pictures, the worst first.
    """

    scores: list[float] = field(default_factory=list)
    failed: int = 0
    lowest: list[tuple[float, str, str]] = field(default_factory=list)

    def add(self, table: Any) -> None:
        """Count a shard's table."""
        rows = table.to_pylist()
        good = [(row["score"], row["id"], row["prompt"]) for row in rows if row["score"] is not None]
        self.scores += [score for score, _, _ in good]
        self.failed += len(rows) - len(good)
        self.lowest = heapq.nsmallest(LOWEST_NAMED, [*self.lowest, *good])

    def to_dict(self) -> dict[str, Any]:
        """The numbers, for JSON."""
        shares = (0.1, 0.5, 0.9)
        values = torch.tensor(self.scores, dtype=torch.float64)
        found = values.quantile(torch.tensor(shares, dtype=torch.float64)).tolist() if self.scores else [None] * 3
        return {
            "scored": len(self.scores),
            "failed": self.failed,
            "mean": float(values.mean()) if self.scores else None,
            **{f"quantile {share:g}": value for share, value in zip(shares, found)},
            "lowest": [{"score": score, "id": id, "prompt": prompt} for score, id, prompt in self.lowest],
        }


def score_shards(source: str, scorer: Scorer, mark: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Score the shards of a run of ``glide batch``, or any webdataset, one after the other.

    What is scored already by the same scorer is not scored again. A table is written all or nothing.

    Args:
        source: the folder of the run, a folder of tar files, or a tar file; a path or a URL.
        scorer: what tells how well a picture fits.
        mark: what tells scorers apart, for JSON.
    Yields:
        the name of each shard and its pyarrow table: index, id, prompt, sha256, score and error.
    Raises:
        OptionError: there are no shards, or one is broken.
        OSError: something cannot be read or written.
    """
    storage, found = _shards(source)
    out = Storage(posixpath.join(storage.url, FOLDER))
    out.make()
    there = set(out.names())
    for shard in found:
        name = f"{shard.name}.parquet"
        whole = json.dumps({**mark, "of": shard.mark}, sort_keys=True).encode()
        table = _known(out, name, whole) if name in there else None
        if table is None:
            table = _table(shard, scorer).replace_schema_metadata({MARK: whole})
            content = io.BytesIO()
            need("pyarrow.parquet").write_table(table, content)
            out.write(name, content.getvalue())
        yield shard.name, table


def _known(out: Storage, name: str, mark: bytes) -> Any:
    """The table of a shard, or None where it is of other pictures or another scorer, or damaged."""
    pyarrow = need("pyarrow")
    try:
        table = need("pyarrow.parquet").read_table(io.BytesIO(out.read([name])[name]))
    except (pyarrow.ArrowException, OSError):
        return None
    return table if (table.schema.metadata or {}).get(MARK) == mark else None


def _shards(source: str) -> tuple[Storage, list[Shard]]:
    """The folder of some shards, and those of them that are finished."""
    folder, name = posixpath.split(source) if source.lower().endswith(".tar") else (source, "")
    storage = Storage(folder or ".")
    try:
        names = set(storage.names())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise OptionError(f"{source} does not exist") from error
    run = {} if name else run_record.read(storage)
    if run:
        finished = run_record.finished(storage)
        return storage, [_of_run(storage, run["fingerprint"], finished[shard]) for shard in sorted(finished)]
    tars = sorted(each for each in names if each.lower().endswith(".tar") and name in ("", each))
    if not tars:
        raise OptionError(f"{source}: there are no shards: give the folder of a `glide batch`, or .tar files")
    return storage, [_of_tar(storage, each, str(_size(storage, each))) for each in tars]


def _of_run(storage: Storage, fingerprint: Mapping[str, Any], summary: Mapping[str, Any]) -> Shard:
    name = shard_name(summary["shard"])
    if not fingerprint["files"]:
        return _of_tar(storage, f"{name}.tar", summary["sha256"][f"{name}.tar"])

    def items() -> Iterator[Item]:
        content = storage.read([f"{name}.parquet"])[f"{name}.parquet"]
        for row in need("pyarrow.parquet").read_table(io.BytesIO(content)).to_pylist():
            if not row["error"]:
                file = f"{PICTURE_FOLDER}/{file_key(row['id'])}.{fingerprint['format']}"
                yield Item(row["index"], row["id"], row["prompt"], next(iter(storage.read([file]).values())))

    return Shard(name, summary["sha256"][f"{name}.parquet"], items)


def _of_tar(storage: Storage, name: str, mark: str) -> Shard:
    def items() -> Iterator[Item]:
        for record in read_records(posixpath.join(storage.url, name)):
            values = record.values
            index, image, prompt = values.get("index"), values.get("image"), values.get("prompt")
            yield Item(
                index if isinstance(index, int) else None,
                str(values.get("id", "")),
                prompt if isinstance(prompt, str) else "",
                image if isinstance(image, bytes) else b"",
            )

    return Shard(posixpath.splitext(name)[0], mark, items)


def _size(storage: Storage, name: str) -> int:
    return int(storage.files.size(posixpath.join(storage.path, name)))


def _table(shard: Shard, scorer: Scorer) -> Any:
    """The scores of a shard's pictures. What is wrong with one stands in its row."""
    pyarrow = need("pyarrow")
    rows: list[dict[str, Any]] = []
    waiting: list[tuple[dict[str, Any], Tensor]] = []
    for item in shard.items():
        digest = hashlib.sha256(item.content).hexdigest()
        row = {"index": item.index, "id": item.id, "prompt": item.prompt, "sha256": digest, "score": None}
        row["error"], pixels = _pixels(item, scorer.side)
        rows.append(row)
        if pixels is not None:
            waiting.append((row, pixels))
        if len(waiting) == AT_A_TIME:
            _score(waiting, scorer)
    _score(waiting, scorer)
    text = pyarrow.string()
    types = {
        "index": pyarrow.int64(),
        "id": text,
        "prompt": text,
        "sha256": text,
        "score": pyarrow.float64(),
        "error": text,
    }
    return pyarrow.table({name: pyarrow.array([row[name] for row in rows], kind) for name, kind in types.items()})


def _pixels(item: Item, side: int) -> tuple[str | None, Tensor | None]:
    """A picture as the scorer reads it [1, 3, side, side], or why there is none."""
    if not item.prompt.strip():
        return "there is no prompt", None
    if not item.content:
        return "there is no picture", None
    try:
        return None, resized(read_image(io.BytesIO(item.content)), side)
    except (ImageError, OSError, ValueError) as error:
        return f"the picture cannot be read: {error}", None


def _score(waiting: list[tuple[dict[str, Any], Tensor]], scorer: Scorer) -> None:
    if waiting:
        pixels = torch.cat([each for _, each in waiting])
        for (row, _), score in zip(waiting, scorer.scores(pixels, [row["prompt"] for row, _ in waiting]).tolist()):
            row["score"] = score
        waiting.clear()
