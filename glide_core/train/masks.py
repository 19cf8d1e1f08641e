"""Regions to erase while an inpainting model is trained (paper section 2.4): what users might paint, or everything.

Each kind of region is a function that sets some pixels of ``erased``, uint8 [side, side], to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import cv2
import numpy as np

Draw = Callable[[np.ndarray, np.random.Generator], None]


class DrawMasks(Protocol):
    """Chooses what to erase from pictures whose content is known."""

    def __call__(self, rng: np.random.Generator, labels: Sequence[Any], side: int, /) -> np.ndarray:
        """Draw a mask, as ``random_masks`` returns them, for each label of a ``LabelledDataset``."""


def random_masks(rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    """Draw masks for a batch.

    Returns:
        float32 [count, 1, side, side], 1 where the picture is known and 0 where it is erased. Something is erased in
        every mask, and everything in a fifth of them.
    """
    return np.stack([_known(rng, side) for _ in range(count)])[:, None]


def _known(rng: np.random.Generator, side: int) -> np.ndarray:
    erased = np.zeros((side, side), np.uint8)
    draw = SHAPES[rng.choice(len(SHAPES), p=SHARES)]
    draw(erased, rng)
    if not erased.any():  # the shape fell between the pixels
        erased[:] = 1
    return 1 - erased.astype(np.float32)


def everything(erased: np.ndarray, rng: np.random.Generator) -> None:
    """Erase the whole picture, so that the model does not forget how to draw from text alone."""
    erased[:] = 1


def boxes(erased: np.ndarray, rng: np.random.Generator) -> None:
    """Erase one to three rectangles."""
    side = len(erased)
    for _ in range(rng.integers(1, 4)):
        height, width = (side * rng.uniform(0.15, 0.75, 2)).astype(int)
        top, left = rng.integers(side - height + 1), rng.integers(side - width + 1)
        erased[top : top + height, left : left + width] = 1


def blobs(erased: np.ndarray, rng: np.random.Generator) -> None:
    """Erase one to three ellipses."""
    side = len(erased)
    for _ in range(rng.integers(1, 4)):
        centre, axes = rng.uniform(0, side, 2), side * rng.uniform(0.1, 0.45, 2)
        cv2.ellipse(erased, _point(centre), _point(axes), rng.uniform(0, 180), 0, 360, 1, cv2.FILLED)


def half_plane(erased: np.ndarray, rng: np.random.Generator) -> None:
    """Erase all that lies on one side of a line. Half of these lines are parallel to a side of the picture."""
    angle = rng.uniform(0, 2 * math.pi) if rng.random() < 0.5 else rng.integers(4) * math.pi / 2
    y, x = np.mgrid[: len(erased), : len(erased)] / len(erased) - 0.5
    erased[x * math.cos(angle) + y * math.sin(angle) > rng.uniform(-0.25, 0.25)] = 1


def strokes(erased: np.ndarray, rng: np.random.Generator) -> None:
    """Erase one to three strokes, as of a hand with a brush."""
    side = len(erased)
    for _ in range(rng.integers(1, 4)):
        turns = rng.normal(0, 0.25 * side, (rng.integers(2, 6), 2))
        points = rng.uniform(0, side, 2) + np.cumsum(turns, axis=0)
        width = max(1, round(side * rng.uniform(0.03, 0.15)))
        cv2.polylines(erased, [points.round().astype(np.int32)], False, 1, width)


def _point(values: np.ndarray) -> tuple[int, int]:
    return int(values[0]), int(values[1])


SHAPES: tuple[Draw, ...] = (everything, boxes, blobs, half_plane, strokes)
SHARES = (0.2, 0.25, 0.25, 0.15, 0.15)  # how often each of them is chosen
