"""A data set of the pictures in a folder, whose captions are in files of the same names or in a metadata file."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath

import numpy as np

from ..errors import DatasetError
from .decoding import CAPTIONS, EXTENSIONS, Decoded, Sample, choose, decode, warn
from .left_out import CLOSED, HIDDEN, NO_CAPTION, NO_FILE, NO_PICTURE, NOT_THERE, OTHER_KINDS, LeftOut, Unusable
from .metadata import NAMES, read_metadata

THREADS = min(8, os.cpu_count() or 1)
COPIES = ("__MACOSX", "@eaDir", "$RECYCLE.BIN")  # folders of other programs' copies whose names have no dot
METADATA = "metadata"
KINDS = (".txt", ".caption", METADATA, ".json")  # where a caption is looked for, the best first
HELPERS = (*NAMES, "thumbs.db", "desktop.ini", "readme.md", "license")


class Folder:
    """Every picture in a folder and its subfolders that has a caption: its centre square, scaled to ``side``.

    Where a picture has several captions, a .txt file counts before a .caption file, a line of metadata, and a .json
    file. A picture that cannot be read is counted in ``left_out``, and another one is drawn in its place.

    Args:
        path: the folder.
        side: of the pictures, in pixels.
        background: the colour on which transparency is laid.
    Raises:
        DatasetError: the folder does not exist or holds no picture with a caption.
    """

    position = 0

    def __init__(self, path: Path, side: int, background: str = "white") -> None:
        self.place, self.side, self.background = str(path), side, background
        self.left_out = LeftOut()
        if not path.is_dir():
            raise DatasetError(f"{path} is not a folder: give a folder of pictures, tar shards or parquet files")
        self.samples = _samples(visible_files(path, self.left_out), self.left_out)
        self.total: int | None = len(self.samples)
        if not self.samples:
            raise DatasetError(
                f"{path}: no picture in it has a caption (picture.png needs picture.txt beside it, or a line in "
                f"metadata.jsonl); left out: {str(self.left_out) or 'nothing, there are no pictures'}"
            )
        self.unusable: set[str] = set()
        self.pool = ThreadPoolExecutor(THREADS)

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[str]]:
        """Draw random pictures, uint8 [size, side, side, 3], and for each one of its captions.

        Raises:
            DatasetError: none of the pictures can be read.
        """
        read: list[Decoded] = []
        while len(read) < size:
            chosen = [self.samples[i] for i in rng.integers(len(self.samples), size=size - len(read))]
            read += [decoded for decoded in self.pool.map(self._read, chosen) if decoded]
            if len(self.unusable) == len(self.samples):
                raise DatasetError(
                    f"{self.place}: none of the {len(self.samples)} pictures can be read ({self.left_out})"
                )
        return np.stack([decoded.pixels for decoded in read]), [choose(decoded.captions, rng) for decoded in read]

    def seek(self, position: int) -> None:
        """Do nothing: the pictures are drawn at random."""

    def in_order(self, most: int | None = None) -> Iterator[Sample]:
        """The samples as they lie in the folder; or at most so many of them, evenly spread."""
        step = 1 if most is None else -(-len(self.samples) // most)
        return iter(self.samples[::step])

    def _read(self, sample: Sample) -> Decoded | None:
        if sample.name in self.unusable:
            return None
        try:
            return decode(sample, self.side, self.background)
        except Unusable as error:
            self.unusable.add(sample.name)
            if self.left_out.add(error.reason, error.name, error.detail):
                warn(f"{error.name} is left out ({error.detail}); further {error.reason} are counted at the end")
            return None


def visible_files(folder: Path, left_out: LeftOut | None = None) -> list[Path]:
    """All files in a folder and its subfolders, also linked ones, but for hidden ones, in order.

    Args:
        left_out: counts the pictures that are hidden and those that are no files, and closed folders.
    """

    def count_closed(error: OSError) -> None:
        if left_out is not None:
            left_out.add(CLOSED, str(error.filename), error.strerror)

    files, seen = [], set()
    for place, subfolders, names in os.walk(folder, onerror=count_closed, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link to a folder above it
            subfolders.clear()
            continue
        seen.add(real)
        files += [Path(place, name) for name in names]
    visible = []
    for path in sorted(files):
        hidden, picture = is_hidden(path.relative_to(folder)), path.suffix.lower() in EXTENSIONS
        if not hidden and path.is_file():
            visible.append(path)
        elif picture and left_out is not None:
            left_out.add(HIDDEN if hidden else NO_FILE, str(path))
    return visible


def is_hidden(path: PurePath) -> bool:
    """Whether a path inside of the data set is a stale copy that a program keeps, such as .ipynb_checkpoints."""
    return any(part.startswith(".") or part in COPIES for part in path.parts)


def _samples(files: Sequence[Path], left_out: LeftOut) -> list[Sample]:
    pictures = [path for path in files if path.suffix.lower() in EXTENSIONS]
    texts = {(path.with_suffix(""), path.suffix.lower()): path for path in files if path.suffix.lower() in CAPTIONS}
    noted = _noted([path for path in files if path.name.lower() in NAMES], pictures, left_out)
    samples = []
    for picture in pictures:
        sample = _sample(picture, texts, noted)
        if sample:
            samples.append(sample)
        else:
            left_out.add(NO_CAPTION, str(picture))
    named = {*(path.with_suffix("") for path in pictures), *pictures}
    for (stem, extension), path in texts.items():
        if stem not in named and extension != ".json":
            left_out.add(NO_PICTURE, str(path))
    for path in files:
        if path.suffix.lower() not in (*EXTENSIONS, *CAPTIONS) and path.name.lower() not in HELPERS:
            left_out.add(OTHER_KINDS, str(path))
    return samples


def _sample(picture: Path, texts: Mapping[tuple[Path, str], Path], noted: Mapping[Path, str]) -> Sample | None:
    for kind in KINDS:
        if kind == METADATA and picture in noted:
            return Sample(str(picture), picture, noted[picture], "", kind)
        path = texts.get((picture.with_suffix(""), kind)) or texts.get((picture, kind))
        if path:
            return Sample(str(picture), picture, path, str(path), kind)
    return None


def _noted(files: Sequence[Path], pictures: Sequence[Path], left_out: LeftOut) -> dict[Path, str]:
    """The captions in metadata files, by their pictures. Several lines for one picture are several captions."""
    there = {_key(path): path for path in pictures} if files else {}
    noted: dict[Path, str] = {}
    for file in files:
        for path, caption in read_metadata(file, left_out):
            picture = there.get(_key(path))
            if picture is None:
                left_out.add(NOT_THERE, str(path))
            else:
                noted[picture] = f"{noted[picture]}\n{caption}" if picture in noted else caption
    return noted


def _key(path: Path) -> str:
    """A path as it is compared: macOS writes accents in file names as characters of their own."""
    return unicodedata.normalize("NFC", os.path.normpath(path))
