"""Samples in the tar files of a WebDataset, where a picture and its caption have one name (0001.jpg, 0001.txt)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import webdataset
from webdataset.shardlists import expand_urls

from ..errors import DatasetError
from .decoding import CAPTIONS, EXTENSIONS, Sample
from .folder import is_hidden
from .left_out import DAMAGED, HIDDEN, NO_CAPTION, NO_PICTURE, LeftOut


def read_shards(files: Sequence[str], left_out: LeftOut) -> Iterator[Sample]:
    """The samples of tar files, one by one. What cannot be used is counted, and the next file is read."""
    for name in files:
        tar = webdataset.DataPipeline(
            webdataset.SimpleShardList([name]), webdataset.tarfile_to_samples(handler=_Damage(name, left_out))
        )
        for raw in tar:
            yield from _samples(raw, left_out)


@dataclass(frozen=True)
class _Damage:
    """What webdataset calls with an error in a file."""

    name: str
    left_out: LeftOut

    def __call__(self, error: Exception) -> bool:
        """Count the error. True means to go on."""
        self.left_out.add(DAMAGED, self.name, str(next(iter(error.args), error)).split(" @ ")[0])
        return True


def _samples(raw: dict[str, Any], left_out: LeftOut) -> Iterator[Sample]:
    """The samples in what webdataset takes for one, because it ends names at their first dot.

    So photo.v1.png and photo.v2.png come as the extensions v1.png and v2.png of one sample.
    """
    place = f"{raw['__url__']}: {raw['__key__']}"
    files = {f".{extension}": content for extension, content in raw.items() if isinstance(content, bytes)}
    pictures = [name for name in files if name.lower().endswith(EXTENSIONS)]
    if is_hidden(PurePosixPath(raw["__key__"])):
        left_out.add(HIDDEN, place)
        return
    if not pictures:
        left_out.add(NO_PICTURE, place)
    for picture in pictures:
        caption = _caption(files, picture, alone=len(pictures) == 1)
        if caption is None:
            left_out.add(NO_CAPTION, place + picture)
        else:
            kind = PurePosixPath(f"a{caption}").suffix.lower()
            yield Sample(place + picture, files[picture], files[caption], place + caption, f"{kind} in tars")


def _caption(files: dict[str, bytes], picture: str, *, alone: bool) -> str | None:
    """The name of the caption that belongs to a picture; that of another name where there is but one picture."""
    stem = picture.rpartition(".")[0]
    for extension in CAPTIONS:
        names = [name for name in files if name.lower().endswith(extension)]
        same = [name for name in names if name[: -len(extension)] in (stem, picture)]
        if same or (alone and names):
            return (same or names)[0]
    return None


def shard_files(source: str) -> list[str]:
    """The tar files or URLs that a folder, one name or a pattern means. Raises DatasetError: one does not exist."""
    if Path(source).is_dir():
        return [str(path) for path in sorted(Path(source).glob("*.tar"))]
    urls: list[str] = expand_urls(source)
    for url in urls:
        if ":" not in url and not Path(url).is_file():
            raise DatasetError(f"{url} does not exist")
    return urls
