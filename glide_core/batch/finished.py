"""The pictures of finished shards, of ``glide batch`` or of any webdataset, as a stream."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..errors import ImageError, OptionError
from ..images import read_image
from . import run_record
from .packages import need
from .records import read_records
from .rows import file_key
from .shards import PICTURE_FOLDER, shard_name
from .storage import Storage


@dataclass(frozen=True)
class Item:
    """A picture of a shard.

    Attributes:
        index: its row's number in the input, where that is known; id: its name.
        values: all that its row says, without pictures.
        content: of the file.
    """

    index: int | None
    id: str
    prompt: str
    values: Mapping[str, Any]
    content: bytes

    def pixels(self) -> Tensor:
        """The picture: [1, 3, H, W] in -1..1. Raises ImageError: there is none, or it cannot be read."""
        if not self.content:
            raise ImageError("there is no picture")
        try:
            return read_image(io.BytesIO(self.content))
        except (ImageError, OSError, ValueError) as error:
            raise ImageError(f"the picture cannot be read: {error}") from error


@dataclass(frozen=True)
class Shard:
    """A finished shard.

    Attributes:
        name: of its files, without a suffix.
        mark: what changes where its pictures change.
        items: reads its pictures.
    """

    name: str
    mark: str
    items: Callable[[], Iterator[Item]]


def finished_shards(source: str) -> tuple[Storage, list[Shard]]:
    """The folder of some shards, and those of them that are finished.

    Args:
        source: the folder of a run, a folder of tar files, or a tar file; a path or a URL.
    Raises:
        OptionError: there are no shards.
    """
    folder, name = posixpath.split(source) if source.lower().endswith(".tar") else (source, "")
    storage = Storage(folder or ".")
    if not storage.there(name):
        raise OptionError(f"{source} does not exist")
    names = set(storage.names())
    run = {} if name else run_record.read(storage)
    if run:
        finished = run_record.finished(storage)
        return storage, [_of_run(storage, run["fingerprint"], finished[shard]) for shard in sorted(finished)]
    tars = sorted(each for each in names if each.lower().endswith(".tar") and name in ("", each))
    if not tars:
        raise OptionError(
            f"{source}: there are no shards: give the folder of a `glide batch`, or .tar files; glide score also takes "
            "single pictures"
        )
    return storage, [_of_tar(storage, each, _state(storage, each)) for each in tars]


def kept_table(out: Storage, name: str, mark: Mapping[bytes, bytes], make: Callable[[], Any]) -> Any:
    """A pyarrow table of a shard, which is made and written, all or nothing, unless it is there with the same mark.

    Args:
        out: the folder of such tables; it is there.
        mark: the table's metadata.
    Raises:
        OSError: it cannot be written.
    """
    pyarrow, parquet, file = need("pyarrow"), need("pyarrow.parquet"), f"{name}.parquet"
    try:
        table = parquet.read_table(io.BytesIO(out.read([file])[file]))
        if table.schema.metadata == mark:
            return table
    except (pyarrow.ArrowException, OSError):  # it is not there, or damaged
        pass
    table = make().replace_schema_metadata(mark)
    content = io.BytesIO()
    parquet.write_table(table, content)
    out.write(file, content.getvalue())
    return table


def _of_run(storage: Storage, fingerprint: Mapping[str, Any], summary: Mapping[str, Any]) -> Shard:
    name = shard_name(summary["shard"])
    if not fingerprint["files"]:
        return _of_tar(storage, f"{name}.tar", summary["sha256"][f"{name}.tar"])

    def items() -> Iterator[Item]:
        content = storage.read([f"{name}.parquet"])[f"{name}.parquet"]
        for row in need("pyarrow.parquet").read_table(io.BytesIO(content)).to_pylist():
            if not row["error"]:
                file = f"{PICTURE_FOLDER}/{file_key(row['id'])}.{fingerprint['format']}"
                yield _item(row, _content(storage, file))

    return Shard(name, summary["sha256"][f"{name}.parquet"], items)


def _content(storage: Storage, file: str) -> bytes:
    """A picture's file, empty where somebody has removed it: that is told of its row alone."""
    try:
        return storage.read([file])[file]
    except FileNotFoundError:
        return b""


def _of_tar(storage: Storage, name: str, mark: str) -> Shard:
    def items() -> Iterator[Item]:
        for record in read_records(posixpath.join(storage.url, name)):
            image = record.values.get("image")
            yield _item(record.values, image if isinstance(image, bytes) else b"")

    return Shard(posixpath.splitext(name)[0], mark, items)


def _item(row: Mapping[str, Any], content: bytes) -> Item:
    index, prompt = row.get("index"), row.get("prompt")
    return Item(
        index if isinstance(index, int) else None,
        str(row.get("id", "")),
        prompt if isinstance(prompt, str) else "",
        {name: value for name, value in row.items() if not isinstance(value, bytes)},
        content,
    )


def _state(storage: Storage, name: str) -> str:
    """What changes when a file is written anew, from its size, its time or its tag."""
    return str(storage.files.ukey(posixpath.join(storage.path, name)))
