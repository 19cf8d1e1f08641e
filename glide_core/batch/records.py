"""Inputs of all kinds as one stream of records."""

from __future__ import annotations

import csv
import io
import json
import posixpath
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..errors import GlideWarning, OptionError
from ..prompts import parse_prompt
from .packages import need
from .reach import reaching

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif")
ROWS_AT_A_TIME = 256  # that are decoded of a parquet file


class Record(NamedTuple):
    """One row as the input has it: its columns, and what is wrong where it cannot be read."""

    values: dict[str, Any]
    problem: str = ""


def read_records(source: str) -> Iterator[Record]:
    """Stream the rows of an input.

    Args:
        source: the path or URL of a .txt, .jsonl, .csv, .parquet or .tar file, or of a folder with .parquet files, .tar
            files or pictures.
    Raises:
        OptionError: it is missing, of no such kind, or broken; the message says where.
        OSError: it cannot be reached.
    """
    with reaching(source):
        opened = _Source(source)
        yield from _of_folder(opened) if opened.is_folder else _reader(source)(opened, opened.path)


def folder_of(source: str) -> str:
    """What relative paths in an input are relative to."""
    opened = _Source(source)
    path = opened.path if opened.is_folder else posixpath.dirname(opened.path)
    return str(opened.files.unstrip_protocol(path)) if "://" in source else path


class _Source:
    """An input and the file system that it is on."""

    def __init__(self, source: str) -> None:
        fsspec = need("fsspec")
        try:
            self.files, self.path = fsspec.core.url_to_fs(source)
            exists = self.files.exists(self.path)
        except (ImportError, ValueError) as error:
            raise OptionError(f"{source}: {error}") from error
        if not exists:
            raise OptionError(f"{source} does not exist")
        self.is_folder = self.files.isdir(self.path)

    def open(self, path: str) -> Any:
        return self.files.open(path, "rb")

    def text(self, path: str, newline: str | None = None) -> io.TextIOWrapper:
        """A text file, UTF-8 or UTF-16 with its mark; bytes that are no such text become single surrogates."""
        with self.open(path) as file:
            wide = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
        encoding, errors = ("utf-16", "replace") if wide else ("utf-8-sig", "surrogateescape")
        return io.TextIOWrapper(self.open(path), encoding=encoding, errors=errors, newline=newline)


Reader = Callable[[_Source, str], Iterator[Record]]


def _reader(path: str) -> Reader:
    suffix = posixpath.splitext(path)[1].lower()
    if suffix not in READERS:
        raise OptionError(
            f"{path}: give a {', '.join(READERS)} file, or a folder of .parquet files, .tar files or pictures"
        )
    return READERS[suffix]


def _of_folder(source: _Source) -> Iterator[Record]:
    names = sorted(source.files.ls(source.path, detail=False))
    for suffix in (".parquet", ".tar"):
        found = [name for name in names if name.lower().endswith(suffix)]
        if found:
            return (record for name in found for record in READERS[suffix](source, name))
    return _pictures(source)


def _pictures(source: _Source) -> Iterator[Record]:
    """A folder of pictures, each with its prompt in a .txt file of the same name, or without one."""
    empty = True
    for folder, folders, names in source.files.walk(source.path):
        folders.sort()
        for name in sorted(names):
            stem, suffix = posixpath.splitext(name)
            if suffix.lower() not in PICTURES:
                continue
            empty = False
            text = posixpath.join(folder, f"{stem}.txt")
            prompt = source.files.cat(text).decode("utf-8", "replace").strip() if f"{stem}.txt" in names else ""
            place = posixpath.relpath(posixpath.join(folder, stem), source.path)
            yield Record(
                {"id": place, "prompt": prompt, "image": posixpath.relpath(posixpath.join(folder, name), source.path)}
            )
    if empty:
        raise OptionError(f"{source.path}: there are no .parquet files, .tar files or pictures in this folder")


def _not_text(values: Any) -> bool:
    return any(isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value) for value in values)


def _lines(source: _Source, path: str) -> Iterator[Record]:
    """A prompt a line, as ``glide generate --prompts`` reads them."""
    with source.text(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", GlideWarning)  # of another tool's syntax: there may be a million of them
        for number, line in enumerate(file, start=1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            place = f"line {number}"
            if _not_text([line]):
                yield Record({}, f"{place}: this is not UTF-8 text")
                continue
            try:
                prompt = parse_prompt(line, place)
            except OptionError as error:
                yield Record({}, str(error))
                continue
            given = {"prompt": prompt.text, "negative": prompt.negative, "seed": prompt.seed}
            yield Record({name: value for name, value in given.items() if value is not None})


def _json_lines(source: _Source, path: str) -> Iterator[Record]:
    with source.text(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield Record({}, f"line {number}: this is not a JSON object ({error})")
                continue
            if _not_text([line]) or not isinstance(values, dict):
                yield Record({}, f"line {number}: this is not a JSON object in UTF-8")
                continue
            yield Record(values)


def _table(source: _Source, path: str) -> Iterator[Record]:
    """A .csv file with a line of names; empty cells are left out."""
    with source.text(path, newline="") as file:
        rows = csv.DictReader(file)
        try:
            for row in rows:
                values = {name: cell for name, cell in row.items() if name is not None}
                if None in row or None in values.values():
                    yield Record({}, f"line {rows.line_num}: it has not as many cells as the first line")
                elif _not_text(values.values()):
                    yield Record({}, f"line {rows.line_num}: this is not UTF-8 text")
                else:
                    yield Record({name: cell for name, cell in values.items() if cell != ""})
        except csv.Error as error:
            raise OptionError(f"{path}, line {rows.line_num}: {error}") from error


def _parquet(source: _Source, path: str) -> Iterator[Record]:
    pyarrow, parquet = need("pyarrow"), need("pyarrow.parquet")
    with source.open(path) as file:
        done = 0
        try:
            table = parquet.ParquetFile(file, pre_buffer=False)
            for part in table.iter_batches(ROWS_AT_A_TIME):
                for values in part.to_pylist():
                    yield Record(values)
                done += len(part)
        except (pyarrow.ArrowException, OSError) as error:
            raise OptionError(f"{path} is a broken parquet file, after row {done}: {error}") from error


def _tar(source: _Source, path: str) -> Iterator[Record]:
    """The samples of a webdataset: NAME.json with columns, NAME.txt is the prompt, NAME.mask.png the mask."""
    import tarfile

    iterators = need("webdataset.tariterators")
    with source.open(path) as file:
        try:
            members = ({**member, "__url__": path} for member in iterators.tar_file_iterator(file))
            for sample in iterators.group_by_keys(members):
                yield _of_sample(sample)
        except (tarfile.TarError, ValueError, EOFError) as error:
            raise OptionError(f"{path} is a broken tar file: {error}") from error


def _of_sample(sample: dict[str, Any]) -> Record:
    try:
        values = json.loads(sample.get("json", b"{}"))
        if not isinstance(values, dict):
            raise ValueError("it is not an object")
        if "txt" in sample:
            values["prompt"] = sample["txt"].decode("utf-8-sig").strip()
    except ValueError as error:
        return Record({}, f"{sample['__key__']}: its .json or .txt cannot be read ({error})")
    for suffix, content in sample.items():
        if f".{suffix}".endswith(PICTURES):
            values["mask" if suffix.startswith("mask.") else "image"] = content
    return Record({"id": sample["__key__"], **values})


READERS: dict[str, Reader] = {".txt": _lines, ".jsonl": _json_lines, ".csv": _table, ".parquet": _parquet, ".tar": _tar}
