"""Pictures and captions to train on: drawn scenes, or a folder of images with same-named .txt captions."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from .scenes import caption, render, sample_scene

EXTENSIONS = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
CHUNK = 250


class Scenes:
    """Scenes 0..count-1, rendered ahead into a memory-mapped file; their captions are drawn anew each time."""

    def __init__(self, side: int, count: int, cache: Path | None = None):
        self.side, self.count = side, count
        self.pictures = _rendered(side, count, cache or Path(tempfile.gettempdir()) / "glide-scenes")

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[str]]:
        """Random pictures, uint8 [size, side, side, 3], and a caption for each."""
        chosen = rng.integers(self.count, size=size)
        return self.pictures[chosen], [caption(sample_scene(int(i)), rng) for i in chosen]


def _rendered(side: int, count: int, cache: Path) -> np.ndarray:
    path = cache / f"scenes-{side}-{count}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        pictures = np.lib.format.open_memmap(partial, "w+", np.uint8, (count, side, side, 3))
        starts = range(0, count, CHUNK)
        with ProcessPoolExecutor() as pool:
            jobs = pool.map(_render_chunk, ((start, min(start + CHUNK, count), side) for start in starts))
            for start, chunk in zip(starts, tqdm(jobs, "drawing scenes", total=len(starts))):
                pictures[start : start + len(chunk)] = chunk
        pictures.flush()
        os.replace(partial, path)
    return np.load(path, mmap_mode="r")


def _render_chunk(span: tuple[int, int, int]) -> np.ndarray:
    cv2.setNumThreads(1)
    start, stop, side = span
    return np.stack([render(sample_scene(seed), side) for seed in range(start, stop)])


class Folder:
    """Every image below a folder that has a caption: the centre square, scaled to ``side``.

    Raises:
        ValueError: the folder holds no image with a caption.
    """

    def __init__(self, path: Path, side: int):
        self.side = side
        images = (p for p in sorted(Path(path).rglob("*")) if p.suffix.lower() in EXTENSIONS)
        self.images = [p for p in images if p.with_suffix(".txt").exists()]
        if not self.images:
            raise ValueError(f"{path}: no image with a caption (picture.png needs picture.txt beside it)")

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[str]]:
        """Random pictures, uint8 [size, side, side, 3], and a caption for each (a random line of its file)."""
        chosen = [self.images[i] for i in rng.integers(len(self.images), size=size)]
        return np.stack([_square(p, self.side) for p in chosen]), [_caption(p, rng) for p in chosen]


def _square(path: Path, side: int) -> np.ndarray:
    with Image.open(path) as image:
        short = min(image.size)
        left, top = (image.width - short) // 2, (image.height - short) // 2
        box = (left, top, left + short, top + short)
        return np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BOX, box=box))


def _caption(path: Path, rng: np.random.Generator) -> str:
    lines = path.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    return lines[rng.integers(len(lines))].strip() if lines else ""
