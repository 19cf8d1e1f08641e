"""A data set of the pictures in a folder, each with its caption in a .txt or .caption file of the same name."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import DatasetError
from .decoding import CAPTIONS, EXTENSIONS, choose_line, square, warn

THREADS = min(8, os.cpu_count() or 1)


class Folder:
    """Every picture in a folder and its subfolders that has a caption: its centre square, scaled to ``side``.

    A picture that cannot be read is reported once, and another one is drawn in its place.

    Raises:
        DatasetError: the folder does not exist or holds no picture with a caption.
    """

    position = 0

    def __init__(self, path: Path, side: int) -> None:
        self.side, self.path = side, path
        if not path.is_dir():
            raise DatasetError(f"{path} is not a folder: give a folder of pictures, or tar shards")
        files = sorted(path.rglob("*"))
        found = [p for p in files if p.suffix.lower() in EXTENSIONS]
        pictures = [p for p in found if not _is_hidden(p.relative_to(path))]
        texts = {p.with_suffix(""): p for p in files if p.suffix.lower() in CAPTIONS}
        self.captions = {p: texts[p.with_suffix("")] for p in pictures if p.with_suffix("") in texts}
        self.pictures = list(self.captions)
        if not self.pictures:
            raise DatasetError(f"{path}: no picture in it has a caption (picture.png needs picture.txt beside it)")
        if len(found) > len(pictures):
            warn(f"{len(found) - len(pictures)} pictures in hidden folders or with hidden names are left out")
        without = [p.name for p in pictures if p not in self.captions]
        if without:
            examples = ", ".join(without[:3])
            warn(f"{len(without)} of {len(pictures)} pictures have no caption and are left out: {examples}")
        self.unreadable: set[Path] = set()
        self.pool = ThreadPoolExecutor(THREADS)

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[str]]:
        """Draw random pictures, uint8 [size, side, side, 3], and for each a random line of its caption file.

        Raises:
            DatasetError: none of the pictures can be read.
        """
        samples: list[tuple[np.ndarray, str]] = []
        while len(samples) < size:
            chosen = [self.pictures[i] for i in rng.integers(len(self.pictures), size=size - len(samples))]
            samples += [sample for sample in self.pool.map(self._read, chosen) if sample]
            if len(self.unreadable) == len(self.pictures):
                raise DatasetError(f"{self.path}: none of the {len(self.pictures)} pictures can be read")
        return np.stack([pixels for pixels, _ in samples]), [choose_line(text, rng) for _, text in samples]

    def seek(self, position: int) -> None:
        """Do nothing: the pictures are drawn at random."""

    def _read(self, path: Path) -> tuple[np.ndarray, str] | None:
        if path in self.unreadable:
            return None
        try:
            with Image.open(path) as file:
                return square(file, self.side), self.captions[path].read_text(encoding="utf-8-sig")
        except Exception as error:  # a damaged file can raise anything
            if path not in self.unreadable:
                self.unreadable.add(path)
                warn(f"{path} is left out: {error}")
            return None


def _is_hidden(path: Path) -> bool:
    """Whether a path inside of the data set is a stale copy that a program keeps, such as .ipynb_checkpoints."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
