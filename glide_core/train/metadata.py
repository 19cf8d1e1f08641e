"""Captions in ``metadata.jsonl`` or ``metadata.csv`` beside the pictures, as the library datasets lays them out."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .decoding import caption_in
from .left_out import BAD_METADATA, LeftOut

NAMES = ("metadata.jsonl", "metadata.csv")
FILE_NAME = "file_name"


def read_metadata(path: Path, left_out: LeftOut) -> Iterator[tuple[Path, str]]:
    """Read a file line by line: each picture's path and caption. Lines that cannot be used are counted.

    A line has the picture under "file_name", seen from the file's folder, and its caption under "text", "caption" or
    "prompt".
    """
    try:
        for number, row in _rows(path):
            try:
                fields = json.loads(row.decode("utf-8-sig")) if isinstance(row, bytes) else row
                yield _picture(path, fields), caption_in(fields)
            except KeyError as error:
                left_out.add(BAD_METADATA, f"{path}, line {number}", error.args[0])
            except (ValueError, RecursionError):
                left_out.add(BAD_METADATA, f"{path}, line {number}", "it is no JSON in UTF-8")
    except (OSError, ValueError, csv.Error) as error:
        left_out.add(BAD_METADATA, str(path), f"the file cannot be read on: {error}")


def _rows(path: Path) -> Iterator[tuple[int, bytes | dict[str, str]]]:
    """The lines of a .jsonl file as they are, or the fields of those of a .csv file, each with its number."""
    if path.suffix.lower() == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.DictReader(text)
            yield from ((reader.line_num, fields) for fields in reader)
    else:
        with path.open("rb") as file:
            yield from ((number, line) for number, line in enumerate(file, start=1) if line.strip())


def _picture(path: Path, fields: Any) -> Path:
    name = fields.get(FILE_NAME) if isinstance(fields, dict) else None
    if not isinstance(name, str) or not name:
        raise KeyError(f'it has no "{FILE_NAME}"')
    return path.parent / name.replace("\\", "/")
