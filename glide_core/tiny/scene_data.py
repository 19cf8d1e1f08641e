"""The drawn scenes as a data set to train on, rendered ahead into a file."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from ..choices import SCENES
from . import scenes
from .scenes import Scene, caption, render, sample_scene

CHUNK = 250  # scenes that a process renders at a time


@dataclass(frozen=True)
class SceneSource:
    """The scenes as a ``train.dataset.DataSource``.

    Attributes:
        count: how many scenes to render ahead.
    """

    count: int = SCENES

    def open(self, side: int, *, seed: int, process: int, processes: int) -> Scenes:
        """Render the scenes or find them rendered; see ``DataSource.open``. They are drawn at random, so that the seed
        and the number of the process make no difference."""
        return Scenes(side, self.count)


class Scenes:
    """The scenes of the seeds 0 to count - 1. Their pictures are in a memory-mapped file; captions are always new.

    Args:
        side: of the pictures, in pixels.
        count: number of scenes.
        cache: the folder for the file; the default is ``glide-scenes`` in the system's folder for temporary files.
    """

    position = 0

    def __init__(self, side: int, count: int, cache: Path | None = None) -> None:
        self.count = count
        self.pictures = _rendered(side, count, cache or Path(tempfile.gettempdir()) / "glide-scenes")

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[str]]:
        """Draw random pictures, uint8 [size, side, side, 3], and a caption for each."""
        pictures, captions, _ = self.labelled_batch(rng, size)
        return pictures, captions

    def labelled_batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[str], list[Scene]]:
        """Draw samples as ``batch`` does. The third value holds the scene of each picture."""
        chosen = rng.integers(self.count, size=size)
        drawn = [sample_scene(int(seed)) for seed in chosen]
        return self.pictures[chosen], [caption(scene, rng) for scene in drawn], drawn

    def seek(self, position: int) -> None:
        """Do nothing: the scenes are drawn at random."""


def _rendered(side: int, count: int, cache: Path) -> np.ndarray:
    version = zlib.crc32(Path(scenes.__file__).read_bytes())  # another version of the module may draw other pictures
    path = cache / f"scenes-{side}-{count}-{version:08x}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        pictures = np.lib.format.open_memmap(partial, "w+", np.uint8, (count, side, side, 3))
        spans = [(start, min(start + CHUNK, count), side) for start in range(0, count, CHUNK)]
        for (start, stop, _), chunk in zip(spans, tqdm(_chunks(spans), "drawing scenes", total=len(spans))):
            pictures[start:stop] = chunk
        pictures.flush()
        os.replace(partial, path)
    rendered: np.ndarray = np.load(path, mmap_mode="r")
    return rendered


def _chunks(spans: list[tuple[int, int, int]]) -> Iterator[np.ndarray]:
    if len(spans) == 1:
        yield _render_chunk(spans[0])
        return
    # The processes are spawned, because a forked one could wait for ever for a lock that a thread of OpenCV or torch
    # held at that moment.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(mp_context=spawn, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        yield from pool.map(_render_chunk, spans)


def _render_chunk(span: tuple[int, int, int]) -> np.ndarray:
    """Render the scenes of the seeds ``start`` to ``stop`` - 1: uint8 [stop - start, side, side, 3]."""
    start, stop, side = span
    return np.stack([render(sample_scene(seed), side) for seed in range(start, stop)])
