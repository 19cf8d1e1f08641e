"""How well the pictures of finished shards fit their prompts, in a table of each shard: ``scores/00000.parquet``."""

from __future__ import annotations

import hashlib
import heapq
import json
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..diffusion.clip_guidance import resized
from ..diffusion.composition import leads_somewhere
from ..errors import ImageError, OptionError
from ..scoring import Scorer
from .finished import Item, Shard, finished_shards, kept_table
from .packages import need
from .storage import Storage

FOLDER = "scores"
MARK = b"glide_scores"  # of the table's metadata: what was scored with what
AT_A_TIME = 64
LOWEST_NAMED = 5


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
    storage, found = finished_shards(source)
    out = Storage(posixpath.join(storage.url, FOLDER))
    out.make()
    for shard in found:
        whole = {MARK: json.dumps({**mark, "of": shard.mark}, sort_keys=True).encode()}
        yield shard.name, kept_table(out, shard.name, whole, partial(_table, shard, scorer))


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
            score_waiting(waiting, scorer, "score")
    score_waiting(waiting, scorer, "score")
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
    try:
        if not leads_somewhere(item.prompt):
            return "the prompt says nothing of what the picture should show", None
        return None, resized(item.pixels(), side)
    except (ImageError, OptionError, OSError) as error:
        return str(error), None


def score_waiting(waiting: list[tuple[dict[str, Any], Tensor]], scorer: Scorer, column: str) -> None:
    """Put scores into a column of the rows that wait with their pictures [1, 3, side, side]; then none waits."""
    if waiting:
        pixels = torch.cat([each for _, each in waiting])
        for (row, _), score in zip(waiting, scorer.scores(pixels, [row["prompt"] for row, _ in waiting]).tolist()):
            row[column] = score
        waiting.clear()
