"""Pictures of shards in groups, by the values of one or two of their columns."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..errors import OptionError
from .figures import FIGURES, THUMBNAIL, diversity
from .labels import plain_number
from .measured_shards import SOURCE
from .results import Figures, Point

MOST_COLUMNS, MOST_ROWS = 40, 8  # groups along the axes: of the second, each is a line of the plots
MOST_THUMBNAILS = 2000  # of a group, whose pictures are compared
MOST_CANDIDATES = 256  # of a group, for the pictures that are shown
# Which columns are the axes unless the user says: the first that have several values, but not too many.
USUAL = (SOURCE, "guidance_scale", "steps", "sampler", "task", "negative", "prompt")
NONE = "none"  # the label of no value
MEASURED = ("clip", "saturation", "contrast")


class Place(NamedTuple):
    """Where a picture is: the number of its shard, and of its row there."""

    shard: int
    row: int


@dataclass
class Group:
    """The pictures with equal values.

    Attributes:
        values: of each figure, by its name.
        thumbnails: by the prompts, of the first pictures, which are compared.
        candidates: by the prompts, the first pictures, of which some are shown; figures: of these.
    """

    values: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in MEASURED})
    thumbnails: dict[str, list[np.ndarray]] = field(default_factory=dict)
    candidates: dict[str, list[Place]] = field(default_factory=dict)
    figures: dict[Place, Figures] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any], place: Place) -> None:
        """Count a row of a table that has a picture."""
        figures = {name: row[name] for name in MEASURED if row[name] is not None}
        for name, value in figures.items():
            self.values[name].append(value)
        if self.pictures <= MOST_THUMBNAILS:
            small = np.frombuffer(row["thumbnail"], np.uint8).reshape(THUMBNAIL, THUMBNAIL, 3)
            self.thumbnails.setdefault(row["prompt"], []).append(small)
        if self.pictures <= MOST_CANDIDATES:
            self.candidates.setdefault(row["prompt"], []).append(place)
            self.figures[place] = figures

    @property
    def pictures(self) -> int:
        """How many were counted."""
        return len(self.values["saturation"])

    def point(self, series: str, point: str) -> Point:
        """The means of its figures."""
        known = {name: values for name, values in self.values.items() if values}
        means = {name: float(np.mean(values)) for name, values in known.items()}
        varied = [found for some in self.thumbnails.values() if (found := diversity(some)) is not None]
        if varied:
            means["diversity"] = float(np.mean(varied))
        lows, highs = ({name: pick(values) for name, values in known.items()} for pick in (min, max))
        return Point(series, point, self.pictures, means, lows, highs)


@dataclass(frozen=True)
class Grouped:
    """All pictures of some shards.

    Attributes:
        x, y: the columns; y is "" where there is one axis, and both are "" where no column has several values.
        groups: by the values of y and x as labels, in their order.
        pictures: how many there are; unread: why pictures could not be measured, one reason for each.
    """

    x: str
    y: str
    groups: dict[tuple[str, str], Group]
    pictures: int
    unread: list[str]

    @property
    def columns(self) -> list[str]:
        """The labels of x."""
        return list(dict.fromkeys(x for _, x in self.groups))

    @property
    def points(self) -> tuple[Point, ...]:
        """The means of each group."""
        return tuple(group.point(y, x) for (y, x), group in self.groups.items())

    @property
    def names(self) -> tuple[str, ...]:
        """The figures that any group has."""
        points = self.points
        return tuple(name for name in FIGURES if any(name in point.means for point in points))

    @property
    def numbers(self) -> dict[str, float]:
        """The labels of x as numbers, if they all are."""
        found = {label: number for label in self.columns if (number := _number(label)) is not None}
        return found if len(found) == len(self.columns) else {}

    def shown(self, count: int) -> dict[tuple[str, str], list[Place]]:
        """So many pictures of each group; those of the prompts that most groups have come first."""
        groups = self.groups.values()
        common = {prompt: sum(prompt in each.candidates for each in groups) for g in groups for prompt in g.candidates}
        return {key: _first(group, common, count) for key, group in self.groups.items()}


def _first(group: Group, common: Mapping[str, int], count: int) -> list[Place]:
    ranked = [
        (number, -common[prompt], place)
        for prompt, places in group.candidates.items()
        for number, place in enumerate(places)
    ]
    return [place for _, _, place in sorted(ranked)[:count]]


def grouped(tables: Iterable[Any], x: str, y: str) -> Grouped:
    """Bring the rows of tables into groups.

    Args:
        tables: see ``measured_shards.tables``.
        x, y: columns, see ``Grouped``.
    Raises:
        OptionError: a column has too many values, or no picture could be measured.
    """
    groups: dict[tuple[str, str], Group] = {}
    unread = []
    for shard, table in enumerate(tables):
        for place, row in enumerate(table.to_pylist()):
            if row["error"]:
                unread.append(row["error"])
                continue
            columns = json.loads(row["row"])
            key = (label(columns, y), label(columns, x))
            if key not in groups:
                groups[key] = Group()
                _require_few(groups, x, y)
            groups[key].add(row, Place(shard, place))
    if not groups:
        raise OptionError(f"none of the {len(unread)} pictures can be measured: {unread[0] if unread else 'no shards'}")
    pictures = sum(group.pictures for group in groups.values())
    return Grouped(x, y, _in_order(groups), pictures, unread)


def usual_axes(tables: Iterable[Any]) -> tuple[str, str]:
    """The columns that are the axes unless the user says; "" where there is none."""
    seen: dict[str, set[str]] = {name: set() for name in USUAL}
    for table in tables:
        for row in table.column("row").to_pylist():
            columns = json.loads(row)
            for name, labels in seen.items():
                if len(labels) <= MOST_COLUMNS:
                    labels.add(label(columns, name))
    x = next((name for name in USUAL if 1 < len(seen[name]) <= MOST_COLUMNS), "")
    y = next((name for name in USUAL if name != x and 1 < len(seen[name]) <= MOST_ROWS), "")
    return x, y


def label(columns: Mapping[str, Any], name: str) -> str:
    """What stands beside the value of a column; "" of no column."""
    if not name:
        return ""
    value = columns.get(name)
    shown = plain_number(value) if isinstance(value, float) else "" if value is None else str(value).strip()
    return shown or NONE


def _require_few(groups: Iterable[tuple[str, str]], x: str, y: str) -> None:
    for option, name, place, most in (("--x", x, 1, MOST_COLUMNS), ("--y", y, 0, MOST_ROWS)):
        if len({key[place] for key in groups}) > most:
            raise OptionError(f"{option}: {name} has more than {most} values: take a column with fewer")


def _in_order(groups: Mapping[tuple[str, str], Group]) -> dict[tuple[str, str], Group]:
    """Along each axis numbers ascend, and other values are in the order in which they came."""
    ranks = [_ranks(list(dict.fromkeys(key[place] for key in groups))) for place in (0, 1)]
    return {key: groups[key] for key in sorted(groups, key=lambda key: (ranks[0][key[0]], ranks[1][key[1]]))}


def _ranks(labels: Sequence[str]) -> dict[str, float]:
    numbers = [_number(label) for label in labels]
    known = [number for number in numbers if number is not None]
    return dict(zip(labels, known if len(known) == len(labels) else map(float, range(len(labels)))))


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
