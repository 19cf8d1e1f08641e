"""The page of a study: one file that opens from disk, without a network."""

from __future__ import annotations

import base64
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ..errors import counted
from ..images import write_text_whole
from . import plots
from .cells import Cell
from .figures import FIGURES, VARYING
from .results import SectionResult
from .sections import Placed
from .store import CELLS, Store

PAGE = "index.html"
MOST_EMBEDDED = 600  # pictures in the page itself; of more, the page shows the files beside it
CELLS_BESIDE = (
    "On the same machine the pictures are the same, bit for bit. The file cells.csv beside this page has the "
    "parameters and the figures of each picture."
)
PIXELATED = 64  # pixels: up to this side a picture is kept exactly, and shown pixel by pixel
QUALITY = 80  # of larger ones


@dataclass(frozen=True)
class Notes:
    """What the page says of how it was made.

    Attributes:
        command: the words of the command line.
        machine: lines about models, versions and hardware, by their names.
        made: how many pictures there are of what, unless they are those that the page shows, by the machine's models.
        beside: what is in the folder of the page.
    """

    command: Sequence[str]
    machine: Mapping[str, str]
    made: str = ""
    beside: str = CELLS_BESIDE


def write(results: Sequence[SectionResult], store: Store, notes: Notes, folder: Path) -> Path:
    """Write the page, all or nothing. Raises OSError: it cannot be written."""
    view = _View(results, store)
    sections = [section_view(result, view.grids(result)) for result in results]
    return render(sections, view.details, results, notes, folder)


def render(
    sections: Sequence[Mapping[str, Any]],
    details: Mapping[str, Mapping[str, Any]],
    results: Sequence[SectionResult],
    notes: Notes,
    folder: Path,
) -> Path:
    """Write the page of some sections, all or nothing.

    Args:
        sections: see ``section_view``.
        details: of each picture by its key, for the large view.
        results: of the sections.
    Raises:
        OSError: it cannot be written.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    text = environment.get_template("page.html.j2").render(
        title="A study of GLIDE",
        sections=sections,
        details=json.dumps(details, ensure_ascii=False).replace("<", "\\u003c"),
        made=notes.made or f"{counted(len(details), 'picture')} by {notes.machine['models']}",
        beside=notes.beside,
        failed=sum(len(result.errors) for result in results),
        command=shlex.join(notes.command),
        machine=notes.machine,
        figures=[FIGURES[name] for name in FIGURES if any(name in result.names for result in results)],
    )
    write_text_whole(folder / PAGE, text)
    return folder / PAGE


class _View:
    """What the template shows, in its words.

    Attributes:
        details: of each picture by its key, for the large view.
    """

    def __init__(self, results: Sequence[SectionResult], store: Store) -> None:
        self.store = store
        self.details: dict[str, dict[str, Any]] = {}
        self._sources: dict[Cell, str] = {}
        self._embeds = len({cell for result in results for cell in result.figures}) <= MOST_EMBEDDED

    def grids(self, result: SectionResult) -> list[dict[str, Any]]:
        """The pictures of a section."""
        return [self._grid(result, title) for title in dict.fromkeys(each.grid for each in result.section.placed)]

    def _grid(self, result: SectionResult, title: str) -> dict[str, Any]:
        placed = [each for each in result.section.placed if each.grid == title]
        columns, rows = (list(dict.fromkeys(getattr(each, name) for each in placed)) for name in ("column", "row"))
        places = {(each.row, each.column): self._picture(result, each) for each in placed}
        return {
            "title": title,
            "columns": columns,
            "rows": [{"label": row, "pictures": [places.get((row, column)) for column in columns]} for row in rows],
        }

    def _picture(self, result: SectionResult, placed: Placed) -> dict[str, Any]:
        cell = placed.cell
        place = [part for part in (placed.row, placed.column) if part and part != cell.prompt]
        if cell in result.errors:
            return {"error": result.errors[cell]}
        key = self.store.machine.fingerprint(cell)
        figures = {
            FIGURES[name].title: f"{number(name, value)} {FIGURES[name].unit}".strip()
            for name, value in result.figures[cell].items()
        }
        parameters = {name: str(value) for name, value in self.store.machine.parameters(cell).items()}
        hidden = ("command", "version", "device", "dtype", "stage")
        parameters = {name: value for name, value in parameters.items() if value and name not in hidden}
        parameters = {name: value for name, value in parameters.items() if not name.endswith("sha256")}
        self.details[key] = {**parameters, **figures, "file": f"{CELLS}/{self.store.path(cell).name}"}
        alt = ", ".join([cell.prompt, *place])
        return {"key": key, "source": self._source(cell), "alt": alt, "small": cell.upsampler is None}

    def _source(self, cell: Cell) -> str:
        """The picture as a data URI, or its file beside the page."""
        if cell not in self._sources:
            self._sources[cell] = embedded(self.store.path(cell)) if self._embeds else self._beside(cell)
        return self._sources[cell]

    def _beside(self, cell: Cell) -> str:
        return f"{CELLS}/{self.store.path(cell).name}"


def section_view(result: SectionResult, grids: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A section in the words of the template.

    Args:
        grids: each with title, columns, and rows of label and pictures; a picture has key, source, alt and small.
    """
    section = result.section
    return {
        "name": section.name,
        "title": section.title,
        "text": section.text,
        "wall": section.wall,
        "axis": section.axis,
        "grids": grids,
        "plots": [plots.plot(result, name) for name in _plotted(result)],
        "points": _points(result),
        "histogram": plots.histogram(result.counts) if result.counts else "",
        "counts": [_count(count) for count in result.counts],
        "counted_by": result.counted_by,
        "verdict": _verdict(result),
    }


def _points(result: SectionResult) -> dict[str, Any]:
    """The means as a table."""
    series = any(point.series for point in result.points)
    head = [*(["series"] if series else []), result.section.axis, "pictures"]
    titles = [f"{FIGURES[name].title} ({FIGURES[name].unit})".replace(" ()", "") for name in result.names]
    rows = []
    for point in result.points:
        labels = [*([point.series] if series else []), point.point, str(point.count)]
        shown = [number(name, point.means[name]) if name in point.means else "" for name in result.names]
        rows.append({"labels": labels, "figures": shown})
    return {"head": head, "titles": titles, "rows": rows}


def _count(count: Any) -> dict[str, Any]:
    inside = {True: "yes", False: "no", None: ""}
    return {
        "label": count.label,
        "count": count.count,
        "share": f"{100 * count.share:.1f}",
        "interval": f"{100 * count.low:.1f} to {100 * count.high:.1f}",
        "uniform": f"{100 * count.uniform:.1f}",
        "holds_uniform": inside[count.holds_uniform],
        "known": "" if count.known is None else f"{100 * count.known:.1f}",
        "holds_known": inside[count.holds_known],
    }


def _plotted(result: SectionResult) -> list[str]:
    """The figures that have a plot: not the time of things that take equally long."""
    if result.section.wall or len(result.points) < 2:
        return []
    return [name for name in result.names if result.section.numbers or name not in VARYING]


def _verdict(result: SectionResult) -> str:
    """What the counts of a section say, in a sentence or two."""
    counts = result.counts
    if not counts:
        return "None of the pictures shows one of the labels." if result.section.tally and result.figures else ""
    left_out = len(result.figures) - counts[0].of
    parts = [f"{counts[0].of} of {counted(len(result.figures), 'picture')} show one of the labels."] if left_out else []
    outside = [count.label for count in counts if not count.holds_uniform]
    if outside:
        parts.append(f"More or less frequent than if all were equally frequent: {', '.join(outside)}.")
    else:
        parts.append("So few pictures do not show that any label is more frequent than the others.")
    if counts[0].known is not None:
        inside = sum(bool(count.holds_known) for count in counts)
        parts.append(
            f"The frequency in the training data lies inside the interval for {inside} of {len(counts)} labels."
        )
    return " ".join(parts)


def number(name: str, value: float) -> str:
    """A figure as the page shows it."""
    return f"{value:.{FIGURES[name].decimals}f}"


def embedded(file: Path | io.BytesIO) -> str:
    """A picture as a data URI, without its notes."""
    stream = io.BytesIO()
    with Image.open(file) as image:
        exact = max(image.size) <= PIXELATED
        image.convert("RGB").save(stream, "WEBP", lossless=exact, quality=100 if exact else QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
