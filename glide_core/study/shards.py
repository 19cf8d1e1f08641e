"""A study of pictures that are there already: the shards of ``glide batch``, measured, grouped, and shown on a page."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..batch.finished import Item
from ..errors import OptionError, counted
from ..scoring import Scorer
from . import page, table
from .figures import FIGURES
from .grouped_shards import NONE, Grouped, Place, grouped, label, usual_axes
from .measured_shards import SourceShard, first_row, shards_of, tables
from .results import Figures, SectionResult
from .sections import Section

MOST_SHOWN = 600  # pictures on the page
HIDDEN = ("warnings", "rest", "picture_sha256", "url", "__url__")  # of the columns, in the large view
BESIDE = "The file means.csv beside this page has the figures of each group, and figures/ has those of each picture."


@dataclass(frozen=True)
class ShardStudy:
    """A study of shards.

    Attributes:
        sources: folders of runs, folders of tar files, or tar files; paths or URLs.
        folder: for the tables and the page.
        x, y: the columns by which pictures are grouped; without x they are found, and y is left out where it is "".
        examples: pictures that are shown of each group.
        scorer: for CLIP scores, or None; mark: what tells it from others, for JSON.
        notes: how the study was made, for the page.
    """

    sources: Sequence[str]
    folder: Path
    x: str
    y: str
    examples: int
    scorer: Scorer | None
    mark: Mapping[str, Any]
    notes: page.Notes


def run(study: ShardStudy) -> list[Path]:
    """Measure what is not measured yet, and write the page and the table of means.

    Raises:
        OptionError: a source has no finished shard or a broken one, or no such column, or one with too many values.
        OSError: something cannot be read or written.
    """
    shards = shards_of(study.sources)
    _require_columns(study, shards)
    measuring = tables(shards, study.folder, study.scorer, study.mark)
    for _ in tqdm(measuring, "measuring", len(shards), unit="shard"):
        pass
    x, y = study.x, study.y
    if not x:
        x, y = usual_axes(tables(shards, study.folder, study.scorer, study.mark))
    found = grouped(tables(shards, study.folder, study.scorer, study.mark), x, y)
    result = _result(found, len(shards))
    notes = replace(study.notes, made=f"{counted(found.pictures, 'picture')} of {_shards(len(shards))}", beside=BESIDE)
    means = table.write_means(result, study.folder, x or "group", y)
    return [_page(result, found, shards, study.examples, notes, study.folder), means]


def _require_columns(study: ShardStudy, shards: Sequence[SourceShard]) -> None:
    """Raise OptionError where the first row has no such column."""
    if study.y and not study.x:
        raise OptionError(f"--y {study.y}: give --x, too")
    if study.x and study.x == study.y:
        raise OptionError(f"--y: {study.y} is the column of --x, too: take another one")
    columns = first_row(shards[0])
    for option, name in (("--x", study.x), ("--y", study.y)):
        if name and name not in columns:
            raise OptionError(f"{option}: the shards have no column {name!r}: use one of {', '.join(columns)}")


def _shards(count: int) -> str:
    return counted(count, "shard")


def _result(found: Grouped, shards: int) -> SectionResult:
    names = [name for name in (found.x, found.y) if name]
    by = f"grouped by {' and '.join(names)}" if names else "in one group, since no column has several values"
    text = f"{counted(found.pictures, 'picture')} of {_shards(shards)}, {by}."
    if found.unread:
        text += f" {counted(len(found.unread), 'picture')} could not be measured; the first: {found.unread[0]}."
    title = " and ".join(names) or "All pictures"
    section = Section("shards", title, text, found.x or "group", (), found.numbers)
    return SectionResult(section, {}, {}, found.points, found.names)


def _page(
    result: SectionResult,
    found: Grouped,
    shards: Sequence[SourceShard],
    examples: int,
    notes: page.Notes,
    folder: Path,
) -> Path:
    """Write the page. Raises OSError."""
    count = max(1, min(examples, MOST_SHOWN // len(found.groups)))
    shown = found.shown(count)
    items = _read(shards, {place for places in shown.values() for place in places})
    figures = {place: known for group in found.groups.values() for place, known in group.figures.items()}
    details = {_key(place): _detail(item) | _shown(figures[place]) for place, item in items.items()}
    grids = [
        {"title": y, "columns": found.columns, "rows": _rows(found, y, shown, items, count)}
        for y in dict.fromkeys(y for y, _ in found.groups)
    ]
    return page.render([page.section_view(result, grids)], details, [result], notes, folder)


def _rows(
    found: Grouped,
    y: str,
    shown: Mapping[tuple[str, str], Sequence[Place]],
    items: Mapping[Place, Item],
    count: int,
) -> list[dict[str, Any]]:
    """The pictures of one value of y: so many rows, and a column for each value of x."""
    rows = []
    for number in range(count):
        places = [dict(enumerate(shown.get((y, x), ()))).get(number) for x in found.columns]
        prompts = {items[place].prompt for place in places if place}
        pictures = [None if place is None else _picture(place, items[place]) for place in places]
        if any(pictures):
            rows.append({"label": prompts.pop() if len(prompts) == 1 else "", "pictures": pictures})
    return rows


def _picture(place: Place, item: Item) -> dict[str, Any]:
    small = max(item.pixels().shape[-2:]) <= page.PIXELATED
    source = page.embedded(io.BytesIO(item.content))
    return {"key": _key(place), "source": source, "alt": item.prompt or item.id, "small": small}


def _key(place: Place) -> str:
    return f"{place.shard}-{place.row}"


def _detail(item: Item) -> dict[str, str]:
    """What the large view says of a picture."""
    named = {name: label(item.values, name) for name in item.values if name not in HIDDEN}
    return {name: text for name, text in named.items() if text != NONE}


def _shown(figures: Figures) -> dict[str, str]:
    return {FIGURES[name].title: page.number(name, value) for name, value in figures.items()}


def _read(shards: Sequence[SourceShard], places: Iterable[Place]) -> dict[Place, Item]:
    """The pictures in some places, from the shards again."""
    wanted: dict[int, set[int]] = {}
    for place in places:
        wanted.setdefault(place.shard, set()).add(place.row)
    found = {}
    for shard, rows in wanted.items():
        for row, item in enumerate(shards[shard].shard.items()):
            if row in rows:
                found[Place(shard, row)] = item
            if row >= max(rows):
                break
    return found
