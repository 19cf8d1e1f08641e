"""Pictures and captions to train on. ``open_data`` tells what a user's DATA is."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from ..images import converted
from ..tiny import scenes
from ..tiny.scenes import Scene, caption, render, sample_scene

CHUNK = 250


class Data(Protocol):
    """Attributes: position: how many samples of a stream were read; always 0 where samples are drawn at random."""

    position: int

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[str]]:
        """uint8 [size, S, S, 3] and a caption for each. Raises ValueError where there is none left that is good."""

    def seek(self, position: int) -> None:
        """Go on where the stream was at this position."""


def open_data(source: str, side: int, *, scenes: int, seed: int = 0, process: int = 0, processes: int = 1) -> Data:
    """DATA of the command line: "scenes", tar shards (a file, a folder of them, a pattern or URLs), or a folder.

    Args:
        side: of the pictures.
        scenes: how many to draw ahead.
        seed, process, processes: order of the shards' samples, and the part of them that this process reads.
    Raises:
        ValueError: it is none of these; the message says what is missing.
    """
    if source == "scenes":
        return Scenes(side, scenes)
    path = Path(source)
    if any(path.glob("*.tar")) if path.is_dir() else ".tar" in source:
        try:
            from .shards import Shards
        except ImportError as error:
            raise ValueError('tar shards need the package webdataset: pip install "glide-nodes[train]"') from error
        return Shards(source, side, seed=seed, process=process, processes=processes)
    from .folder import Folder

    return Folder(path, side)


def warn(text: str) -> None:
    """A line on stderr that leaves the progress bar whole."""
    tqdm.write(f"warning: {text}", file=sys.stderr)


def square(file: Image.Image, side: int) -> np.ndarray:
    """The centre square of an opened picture, scaled: uint8 [side, side, 3]."""
    image = converted(file, "RGB")
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    filter = Image.Resampling.BOX if short >= side else Image.Resampling.BICUBIC
    return np.asarray(image.resize((side, side), filter, box=(left, top, left + short, top + short)))


def choose_line(text: str, rng: np.random.Generator) -> str:
    """A caption file may hold several captions, one a line."""
    lines = text.splitlines()
    return lines[rng.integers(len(lines))].strip() if lines else ""


class Scenes:
    """Scenes 0..count-1, rendered ahead into a memory-mapped file; their captions are drawn anew each time."""

    position = 0

    def __init__(self, side: int, count: int, cache: Path | None = None):
        self.side, self.count = side, count
        self.pictures = _rendered(side, count, cache or Path(tempfile.gettempdir()) / "glide-scenes")

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[str]]:
        """Random pictures, uint8 [size, side, side, 3], and a caption for each."""
        pictures, captions, _ = self.known(rng, size)
        return pictures, captions

    def known(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[str], list[Scene]]:
        """``batch``, and what the pictures are of."""
        chosen = rng.integers(self.count, size=size)
        found = [sample_scene(int(i)) for i in chosen]
        return self.pictures[chosen], [caption(scene, rng) for scene in found], found

    def seek(self, position: int) -> None:
        pass


def _rendered(side: int, count: int, cache: Path) -> np.ndarray:
    generator = zlib.crc32(Path(scenes.__file__).read_bytes())  # another version of it draws other pictures
    path = cache / f"scenes-{side}-{count}-{generator:08x}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        pictures = np.lib.format.open_memmap(partial, "w+", np.uint8, (count, side, side, 3))
        spans = [(start, min(start + CHUNK, count), side) for start in range(0, count, CHUNK)]
        for (start, stop, _), chunk in zip(spans, tqdm(_chunks(spans), "drawing scenes", total=len(spans))):
            pictures[start:stop] = chunk
        pictures.flush()
        os.replace(partial, path)
    return np.load(path, mmap_mode="r")


def _chunks(spans: list[tuple[int, int, int]]) -> Iterator[np.ndarray]:
    if len(spans) == 1:
        yield _render_chunk(spans[0])
        return
    # Not forked: a child could wait for ever for a lock that a thread of OpenCV or torch held.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(mp_context=spawn, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        yield from pool.map(_render_chunk, spans)


def _render_chunk(span: tuple[int, int, int]) -> np.ndarray:
    start, stop, side = span
    return np.stack([render(sample_scene(seed), side) for seed in range(start, stop)])
