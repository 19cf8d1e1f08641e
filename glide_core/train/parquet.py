"""Samples in the rows of parquet files, which have a column of pictures and one of captions."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import DatasetError
from .decoding import CAPTION_KEYS, Sample, caption_in
from .folder import visible_files
from .left_out import BAD_PICTURE, DAMAGED, NO_CAPTION, NO_COLUMNS, LeftOut

PICTURES = ("image", "img", "picture", "jpg", "png", "webp")  # names of columns, the usual one first
BUFFER = 1 << 20  # bytes of a column that are read from the disk at a time
ROWS = 16  # that are turned into samples at a time


class _NoColumns(Exception):
    """A file has no column of pictures or of captions."""


def read_parquet(files: Sequence[str], left_out: LeftOut) -> Iterator[Sample]:
    """The samples of parquet files, row by row. What cannot be used is counted, and the next file is read."""
    for name in files:
        try:
            with pq.ParquetFile(name, buffer_size=BUFFER, page_checksum_verification=True) as file:
                picture, caption = _columns(file.schema_arrow)
                for row, values in enumerate(_rows(file, [picture, caption])):
                    sample = _sample(f"{name}, row {row}", values[picture], {"text": values[caption]}, left_out)
                    if sample:
                        yield sample
        except _NoColumns as error:
            left_out.add(NO_COLUMNS, name, error)
        except Exception as error:  # a damaged file can raise anything
            left_out.add(DAMAGED, name, _first_line(error))


def _rows(file: pq.ParquetFile, columns: list[str]) -> Iterator[dict[str, Any]]:
    """The rows of a file, of which one row group at a time is in memory."""
    for group in range(file.num_row_groups):
        for batch in file.iter_batches(ROWS, row_groups=[group], columns=columns, use_threads=False):
            yield from batch.to_pylist()


def _sample(name: str, picture: Any, caption: dict[str, Any], left_out: LeftOut) -> Sample | None:
    content = picture.get("bytes") if isinstance(picture, dict) else picture
    if not content:
        left_out.add(BAD_PICTURE, name, "the row holds no bytes of it")
        return None
    try:
        text = caption_in(caption)
    except KeyError:
        left_out.add(NO_CAPTION, name)
        return None
    return Sample(name, content, text, "", "parquet")


def _columns(schema: pa.Schema) -> tuple[str, str]:
    """The names of the columns of pictures and of captions."""
    names = {field.name.lower(): field for field in reversed(schema)}
    holding = [field.name for field in schema if _holds_bytes(field.type)]
    usual = [names[name].name for name in PICTURES if name in names and _holds_bytes(names[name].type)]
    pictures = usual or (holding if len(holding) == 1 else [])
    captions = [names[name].name for name in CAPTION_KEYS if name in names and _holds_text(names[name].type)]
    there = ", ".join(f"{field.name} ({field.type})" for field in schema) or "none"
    if not pictures:
        raise _NoColumns(f"no column image of bytes, or of structs with bytes; its columns: {there[:200]}")
    if not captions:
        raise _NoColumns(f"no column of text named {', '.join(CAPTION_KEYS)}; its columns: {there[:200]}")
    return pictures[0], captions[0]


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return any(is_kind(kind) for is_kind in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view))


def _holds_text(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_dictionary(kind):
        return _holds_text(kind.value_type)
    return any(is_kind(kind) for is_kind in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def parquet_files(source: str) -> list[str]:
    """The parquet files that a folder with its subfolders, one name or a pattern means.

    Raises:
        DatasetError: there are none, or none has the columns that are needed; the message says what the first one has.
    """
    path = Path(source)
    if path.is_dir():
        files = [str(file) for file in visible_files(path) if file.suffix.lower() == ".parquet"]
    else:
        files = sorted(glob.glob(source, recursive=True)) if not path.is_file() else [source]
    if not files:
        raise DatasetError(f"{source} does not exist")
    problems = LeftOut()
    for name in files:
        try:
            _columns(pq.read_schema(name))
            return files
        except _NoColumns as error:
            problems.add(NO_COLUMNS, name, error)
        except Exception as error:  # as above
            problems.add(DAMAGED, name, _first_line(error))
    raise DatasetError(f"{source}: there is nothing to train on; {problems}")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
