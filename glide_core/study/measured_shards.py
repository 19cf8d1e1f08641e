"""The figures of the pictures in finished shards, in a table of each shard: ``figures/0-00000.parquet``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ..batch.finished import Item, Shard, finished_shards, kept_table
from ..batch.packages import need
from ..batch.scores import score_waiting
from ..batch.storage import Storage
from ..diffusion.clip_guidance import resized
from ..diffusion.composition import leads_somewhere
from ..errors import ImageError, OptionError
from ..images import to_uint8
from ..scoring import Scorer
from .figures import AT_A_TIME, contrast, saturation, thumbnail

FOLDER = "figures"
MARK = b"glide_figures"  # of the table's metadata: of what its figures are
SOURCE = "source"  # the column with the folder or file that a picture is from


@dataclass(frozen=True)
class SourceShard:
    """A finished shard of one of the sources.

    Attributes:
        source: as the user calls it.
        name: of its table, without a suffix.
        shard: reads its pictures.
    """

    source: str
    name: str
    shard: Shard


def shards_of(sources: Sequence[str]) -> list[SourceShard]:
    """All finished shards. Raises OptionError: a source has none."""
    found = []
    for place, source in enumerate(sources):
        shards = finished_shards(source)[1]
        if not shards:
            raise OptionError(f"{source}: none of its shards is finished yet")
        found += [SourceShard(source, f"{place}-{shard.name}", shard) for shard in shards]
    return found


def first_row(each: SourceShard) -> dict[str, Any]:
    """The columns of the first picture of a shard. Raises OptionError: it holds none, or is broken."""
    for item in each.shard.items():
        return _columns(each, item)
    raise OptionError(f"{each.source}: its shard {each.shard.name} holds no picture")


def tables(
    shards: Sequence[SourceShard], folder: Path, scorer: Scorer | None, mark: Mapping[str, Any]
) -> Iterator[Any]:
    """Measure shards, one after the other. A table is written all or nothing, and read where it is there already.

    Args:
        folder: of the study.
        scorer: for the CLIP score; mark: what tells scorers apart, for JSON.
    Yields:
        the pyarrow table of each shard: index, id, prompt, row (all columns as JSON), clip, saturation, contrast,
        thumbnail (uint8 [32, 32, 3]) and error.
    Raises:
        OptionError: a shard is broken.
        OSError: something cannot be read or written.
    """
    out = Storage(str(folder / FOLDER))
    out.make()
    for each in shards:
        whole = {**mark, SOURCE: each.source, "of": each.shard.mark}
        metadata = {MARK: json.dumps(whole, sort_keys=True).encode()}
        yield kept_table(out, each.name, metadata, partial(_measured, each, scorer))


def _columns(each: SourceShard, item: Item) -> dict[str, Any]:
    return {**item.values, SOURCE: each.source}


def _measured(each: SourceShard, scorer: Scorer | None) -> Any:
    pyarrow = need("pyarrow")
    rows: list[dict[str, Any]] = []
    waiting: list[tuple[dict[str, Any], Tensor]] = []
    for item in each.shard.items():
        row = _row(each, item)
        rows.append(row)
        try:
            samples = item.pixels()
            if scorer is not None and item.prompt.strip() and leads_somewhere(item.prompt):
                waiting.append((row, resized(samples, scorer.side)))
        except (ImageError, OptionError) as error:
            row["error"] = str(error)
            continue
        pixels = to_uint8(samples)[0].numpy()
        row |= {"saturation": saturation(pixels), "contrast": contrast(pixels)}
        row["thumbnail"] = thumbnail(pixels).tobytes()
        if scorer is not None and len(waiting) == AT_A_TIME:
            score_waiting(waiting, scorer, "clip")
    if scorer is not None:
        score_waiting(waiting, scorer, "clip")
    return pyarrow.table({name: pyarrow.array([row[name] for row in rows], kind) for name, kind in _types().items()})


def _row(each: SourceShard, item: Item) -> dict[str, Any]:
    columns = json.dumps(_columns(each, item), ensure_ascii=False, default=str)
    return {**dict.fromkeys(_types()), "index": item.index, "id": item.id, "prompt": item.prompt, "row": columns}


def _types() -> dict[str, Any]:
    pyarrow = need("pyarrow")
    text, number = pyarrow.string(), pyarrow.float64()
    return {
        "index": pyarrow.int64(),
        "id": text,
        "prompt": text,
        "row": text,
        "clip": number,
        "saturation": number,
        "contrast": number,
        "thumbnail": pyarrow.binary(),
        "error": text,
    }
