"""The figures of a study as a table: ``cells.csv``, and Parquet where pyarrow is."""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..images import write_text_whole
from .figures import FIGURES, VARYING
from .results import SectionResult
from .store import CELLS, Store

CSV, PARQUET, COUNTS, MEANS = "cells.csv", "cells.parquet", "counts.csv", "means.csv"
PLACES = ("section", "grid", "row", "column")
OWN = [name for name in FIGURES if name not in (*VARYING, "diversity")]  # diversity is of several pictures


def rows(results: Sequence[SectionResult], store: Store) -> list[dict[str, Any]]:
    """A row for each picture in its place: where it lies, its parameters, its figures, and what varies from run to run.

    Every row has the same columns; what a picture has not is None.
    """
    found = []
    for result in results:
        for placed in result.section.placed:
            figures = result.figures.get(placed.cell, {})
            error = result.errors.get(placed.cell)
            found.append(
                {
                    **dict(zip(PLACES, (result.section.name, placed.grid, placed.row, placed.column))),
                    **store.machine.parameters(placed.cell),
                    "file": None if error else f"{CELLS}/{store.path(placed.cell).name}",
                    "error": error,
                    **{name: _rounded(figures.get(name)) for name in OWN},
                    **{name: _rounded(figures.get(name)) for name in VARYING},
                }
            )
    columns = list(dict.fromkeys(column for row in found for column in row))
    last = ["file", "error", *OWN, *VARYING]
    ordered = [column for column in columns if column not in last] + last
    return [{column: row.get(column) for column in ordered} for row in found]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


def write(table: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Write the table, all or nothing, and return the files. Raises OSError: they cannot be written."""
    _write_csv(table, folder / CSV)
    if importlib.util.find_spec("pyarrow") is None:
        return [folder / CSV]
    return [folder / CSV, _write_parquet(table, folder / PARQUET)]


def write_counts(results: Sequence[SectionResult], folder: Path) -> list[Path]:
    """Write what was counted, a row for each label, where anything was. Raises OSError: it cannot be written."""
    table = [
        {"section": result.section.name, "prompt": result.section.tally.prompt, **asdict(count), "share": count.share}
        for result in results
        if result.section.tally
        for count in result.counts
    ]
    if table:
        _write_csv(table, folder / COUNTS)
    return [folder / COUNTS] if table else []


def write_means(result: SectionResult, folder: Path, x: str, y: str) -> Path:
    """Write the means of a section's points, a row for each. Raises OSError: it cannot be written.

    Args:
        x, y: what the columns with the point and the series are called; y is "" where there is one series.
    """
    rows = [
        {**({y: point.series} if y else {}), x: point.point, "pictures": point.count}
        | {name: _rounded(point.means.get(name)) for name in result.names}
        for point in result.points
    ]
    _write_csv(rows, folder / MEANS)
    return folder / MEANS


def _write_csv(table: Sequence[dict[str, Any]], path: Path) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    write_text_whole(path, text.getvalue())


def _write_parquet(table: Sequence[dict[str, Any]], path: Path) -> Path:
    import pyarrow
    import pyarrow.parquet

    numbers = {column for column in table[0] if any(isinstance(row[column], float) for row in table)}
    columns = {column: [_plain(row[column], column in numbers) for row in table] for column in table[0]}
    temporary = path.with_name(f".{path.name}.tmp")
    pyarrow.parquet.write_table(pyarrow.table(columns), temporary)
    temporary.replace(path)
    return path


def _plain(value: Any, number: bool) -> Any:
    """A value of a column of one type: numbers, or text; seeds above 63 bits are no numbers of Parquet's."""
    if value is None:
        return None
    return float(value) if number else str(value)
