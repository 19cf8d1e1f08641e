"""What came out of a study: figures for each picture, and means for each point of the plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .cells import Cell
from .counting import Count
from .figures import FIGURES, diversity
from .sections import Placed, Section

Figures = Mapping[str, float]
Thumbnails = Mapping[Cell, np.ndarray]


@dataclass(frozen=True)
class Point:
    """The pictures of one point of a plot.

    Attributes:
        series, point: see ``Placed``.
        count: of the pictures.
        means, lows, highs: of each figure, over the pictures.
    """

    series: str
    point: str
    count: int
    means: Figures
    lows: Figures
    highs: Figures


@dataclass(frozen=True)
class SectionResult:
    """A section with what was found.

    Attributes:
        figures: of each cell that has a picture, by the keys of ``FIGURES``.
        errors: of each that has none.
        points: in the order of the section.
        names: of the figures that its points have.
        counts: of its labels; counted_by: who told the labels apart.
    """

    section: Section
    figures: Mapping[Cell, Figures]
    errors: Mapping[Cell, str]
    points: tuple[Point, ...]
    names: tuple[str, ...]
    counts: tuple[Count, ...] = ()
    counted_by: str = ""


def result_of(
    section: Section,
    figures: Mapping[Cell, Figures],
    errors: Mapping[Cell, str],
    thumbnails: Thumbnails,
    counted: tuple[Sequence[Count], str] = ((), ""),
) -> SectionResult:
    """Put the figures of a section together.

    Args:
        figures, errors, thumbnails: of all cells of the study; a cell has an error, or the others.
        counted: of its labels, and who told them apart.
    """
    cells = {placed.cell for placed in section.placed}
    points = tuple(_point(key, group, figures, thumbnails) for key, group in _groups(section.placed).items())
    names = tuple(name for name in FIGURES if any(name in point.means for point in points))
    return SectionResult(
        section,
        {cell: values for cell, values in figures.items() if cell in cells},
        {cell: error for cell, error in errors.items() if cell in cells},
        points,
        names,
        tuple(counted[0]),
        counted[1],
    )


def _groups(placed: Sequence[Placed]) -> dict[tuple[str, str], list[Placed]]:
    groups: dict[tuple[str, str], list[Placed]] = {}
    for each in placed:
        groups.setdefault((each.series, each.point), []).append(each)
    return groups


def _point(
    key: tuple[str, str], group: Sequence[Placed], figures: Mapping[Cell, Figures], thumbnails: Thumbnails
) -> Point:
    made = [figures[placed.cell] for placed in group if placed.cell in figures]
    names = [name for name in FIGURES if any(name in each for each in made)]
    values = {name: [each[name] for each in made if name in each] for name in names}
    means = {name: float(np.mean(some)) for name, some in values.items()}
    varied = _diversity(group, thumbnails)
    if varied is not None:
        means["diversity"] = varied
    lows, highs = ({name: pick(some) for name, some in values.items()} for pick in (min, max))
    return Point(*key, count=len(made), means=means, lows=lows, highs=highs)


def _diversity(group: Sequence[Placed], thumbnails: Thumbnails) -> float | None:
    """The mean over the prompts of a point of how much the pictures of several seeds differ."""
    prompts: dict[str, list[np.ndarray]] = {}
    for placed in group:
        if placed.cell in thumbnails:
            prompts.setdefault(placed.cell.prompt, []).append(thumbnails[placed.cell])
    found = [diversity(pictures) for pictures in prompts.values()]
    known = [each for each in found if each is not None]
    return float(np.mean(known)) if known else None
