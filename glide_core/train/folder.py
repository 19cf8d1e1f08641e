"""A folder of images with same-named .txt captions."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from .data import choose_line, square, warn

EXTENSIONS = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
THREADS = min(8, os.cpu_count() or 1)


class Folder:
    """Every image below a folder that has a caption: the centre square, scaled to ``side``.

    An image that cannot be read is reported once, and others are drawn in its place.

    Raises:
        ValueError: the folder holds no image with a caption.
    """

    position = 0

    def __init__(self, path: Path, side: int):
        self.side, self.path = side, path
        if not path.is_dir():
            raise ValueError(f"{path} is not a folder: give 'scenes', a folder of pictures, or tar shards")
        images = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in EXTENSIONS]
        self.images = [p for p in images if p.with_suffix(".txt").exists()]
        if not self.images:
            raise ValueError(f"{path}: no image with a caption (picture.png needs picture.txt beside it)")
        without = [p.name for p in images if not p.with_suffix(".txt").exists()]
        if without:
            warn(f"{len(without)} of {len(images)} pictures have no caption and are left out: {', '.join(without[:3])}")
        self.bad: set[Path] = set()
        self.pool = ThreadPoolExecutor(THREADS)

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[str]]:
        """Random pictures, uint8 [size, side, side, 3], and a caption for each (a random line of its file)."""
        samples = []
        while len(samples) < size:
            chosen = [self.images[i] for i in rng.integers(len(self.images), size=size - len(samples))]
            samples += [sample for sample in self.pool.map(self._read, chosen) if sample]
            if len(self.bad) == len(self.images):
                raise ValueError(f"{self.path}: none of the {len(self.images)} pictures can be read")
        return np.stack([pixels for pixels, _ in samples]), [choose_line(text, rng) for _, text in samples]

    def seek(self, position: int) -> None:
        pass

    def _read(self, path: Path) -> tuple[np.ndarray, str] | None:
        if path in self.bad:
            return None
        try:
            with Image.open(path) as file:
                return square(file, self.side), path.with_suffix(".txt").read_text(encoding="utf-8-sig")
        except Exception as error:  # damaged files raise anything
            if path not in self.bad:
                self.bad.add(path)
                warn(f"{path} is left out: {error}")
            return None
