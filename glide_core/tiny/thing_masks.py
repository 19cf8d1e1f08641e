"""Holes for training an inpainting base that also draws whole pictures: what users paint over things and around them.

Half of the pictures are erased altogether, so that the plain model can be cut out of this one.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ..train import masks
from . import scenes as shapes
from .thing_scenes import SIDE, ThingScene

WHOLE, OBJECT, MIDDLE = 0.5, 0.2, 0.05  # shares; the rest are free forms
FREE_FORMS = (masks.boxes, masks.blobs, masks.half_plane, masks.strokes)
FREE_SHARES = (0.25, 0.25, 0.3, 0.2)


def random_masks(rng: np.random.Generator, scenes: Sequence[ThingScene | shapes.Scene], side: int) -> np.ndarray:
    """[B, 1, side, side] float32, 1 = known, 0 = erased; something is erased in each."""
    return np.stack([_known(rng, scene, side) for scene in scenes])[:, None]


def _known(rng: np.random.Generator, scene: ThingScene | shapes.Scene, side: int) -> np.ndarray:
    erased = np.zeros((side, side), np.uint8)
    chance = rng.random()
    if chance < OBJECT:
        over_object(erased, scene, rng)
    elif chance < OBJECT + MIDDLE:
        middle(erased, rng)
    elif chance < 1 - WHOLE:
        FREE_FORMS[rng.choice(len(FREE_FORMS), p=FREE_SHARES)](erased, rng)
    if not erased.any():  # also a form that fell between the pixels
        erased[:] = 1
    return 1 - erased.astype(np.float32)


def over_object(erased: np.ndarray, scene: ThingScene | shapes.Scene, rng: np.random.Generator) -> None:
    """A box or an ellipse over one object: the picture around it stays, the prompt says what was there."""
    x, y, radius = _place(scene, rng)
    scale = len(erased) / SIDE
    centre, half = (x * scale, y * scale), radius * scale * rng.uniform(1.05, 1.5, 2)
    if rng.random() < 0.5:
        first, last = (np.round(centre + sign * half).astype(int).tolist() for sign in (-1, 1))
        cv2.rectangle(erased, first, last, 1, cv2.FILLED)
    else:
        axes = tuple(np.round(1.3 * half).astype(int).tolist())
        cv2.ellipse(erased, tuple(np.round(centre).astype(int).tolist()), axes, 0, 0, 360, 1, cv2.FILLED)


def middle(erased: np.ndarray, rng: np.random.Generator) -> None:
    """As in a square that was cut from a photo around its hole (``regions.around``): half of it, in the middle."""
    side = len(erased)
    height, width = (round(side * part) for part in rng.uniform(0.35, 0.6, 2))
    top, left = (side - height) // 2, (side - width) // 2
    erased[top : top + height, left : left + width] = 1


def _place(scene: ThingScene | shapes.Scene, rng: np.random.Generator) -> tuple[float, float, float]:
    if isinstance(scene, ThingScene):
        item = scene.items[rng.integers(len(scene.items))]
        return *item.centre, item.extent / 2
    shape = scene.objects[rng.integers(len(scene.objects))]
    return *shape.centre, 1.2 * shape.radius
