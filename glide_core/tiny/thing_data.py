"""Scenes of things, a quarter of them scenes of shapes, drawn as they are asked for."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import backgrounds, drawings, thing_scenes
from . import scenes as shapes
from .thing_scenes import Painter, ThingScene
from .things import TEXTURES

SHAPES_SHARE = 0.25


def textures(cache: Path = drawings.CACHE) -> np.ndarray:
    """Pictures of all textured backgrounds, uint8 [textures, VARIANTS, 256, 256, 3]; drawn once, then read."""
    generator = zlib.crc32(Path(backgrounds.__file__).read_bytes() + repr(list(TEXTURES)).encode())
    path = cache / f"textures-{thing_scenes.VARIANTS}-{generator:08x}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        drawn = [
            [backgrounds.draw(name, np.random.default_rng([k, variant])) for variant in range(thing_scenes.VARIANTS)]
            for k, name in enumerate(TEXTURES)
        ]
        partial = path.with_suffix(f".{os.getpid()}.npy")
        np.save(partial, np.array(drawn))
        os.replace(partial, path)
    return np.load(path, mmap_mode="r")


@dataclass(frozen=True)
class ThingSource:
    """The things as a ``train.dataset.DataSource``; opening them fetches the drawings where they are not there yet."""

    def open(self, side: int, *, seed: int, process: int, processes: int) -> Things:
        """Open the data set; it has no order, so that the seed and the processes make no difference."""
        return Things(side)


class Things:
    """A data set with labels, see ``train.dataset``; scenes are drawn anew each time.

    Args:
        side: of the pictures.
        painter: default: one with the published drawings, which are fetched where they are not there yet.
    """

    position = 0

    def __init__(self, side: int, painter: Painter | None = None, cache: Path = drawings.CACHE):
        self.side = side
        self.painter = painter or Painter(drawings.load(cache), textures(cache), side)

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[str]]:
        """Pictures uint8 [size, side, side, 3] and a caption for each."""
        pictures, captions, _ = self.labelled_batch(rng, size)
        return pictures, captions

    def labelled_batch(
        self, rng: np.random.Generator, size: int
    ) -> tuple[np.ndarray, list[str], list[ThingScene | shapes.Scene]]:
        """``batch``, and what the pictures are of."""
        found = [self._sample(rng) for _ in range(size)]
        pictures, captions, sampled = zip(*found)
        return np.stack(pictures), list(captions), list(sampled)

    def _sample(self, rng: np.random.Generator) -> tuple[np.ndarray, str, ThingScene | shapes.Scene]:
        if rng.random() < SHAPES_SHARE:
            drawn = shapes.sample_scene(int(rng.integers(2**40)))
            return shapes.render(drawn, self.side), shapes.caption(drawn, rng), drawn
        scene = thing_scenes.sample_scene(rng)
        return self.painter(scene), thing_scenes.caption(scene, rng).text, scene

    def seek(self, position: int) -> None:
        pass
