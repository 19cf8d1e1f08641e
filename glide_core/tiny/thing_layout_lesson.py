"""The layout lesson for scenes of things and shapes: what lies where; ``layout_lesson`` says why.

Its heads tell things and shapes, with their styles, and the shapes' colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from . import layout_lesson as layout
from . import scenes as shapes
from .layout_lesson import SCALE, UNKNOWN, VALUES, LayoutLesson
from .thing_scenes import SIDE, ThingScene
from .things import STYLES, THINGS

CLASSES = [1 + len(THINGS) + len(shapes.SHAPES), len(shapes.COLOURS), len(STYLES) + len(shapes.STYLES)]
REACH = 1.0  # of a thing, in halves of its longer side


def targets(scenes: Sequence[ThingScene | shapes.Scene], grid: int) -> tuple[Tensor, Tensor]:
    """Classes [B, 3, grid, grid] and values [B, 4, grid, grid], with the meaning of ``layout_lesson.targets``."""
    made = [_of_things(scene, grid) if isinstance(scene, ThingScene) else _of_shapes(scene, grid) for scene in scenes]
    classes, values = zip(*made)
    return torch.from_numpy(np.stack(classes)), torch.from_numpy(np.stack(values))


def _of_shapes(scene: shapes.Scene, grid: int) -> tuple[np.ndarray, np.ndarray]:
    classes, values = (part[0].numpy() for part in layout.targets([scene], grid))
    classes[0, classes[0] > 0] += len(THINGS)
    classes[2, classes[2] >= 0] += len(STYLES)
    return classes, values


def _of_things(scene: ThingScene, grid: int) -> tuple[np.ndarray, np.ndarray]:
    classes = np.full((len(CLASSES), grid, grid), UNKNOWN)
    classes[0] = 0
    values = np.zeros((VALUES, grid, grid), np.float32)
    centres = (np.arange(grid) + 0.5) * SIDE / grid
    for item in scene.items:
        radius = item.extent / 2
        x, y = centres[None, :] - item.centre[0], centres[:, None] - item.centre[1]
        near = np.hypot(x, y) < REACH * radius
        look = [1 + THINGS.index(item.thing), UNKNOWN, list(STYLES).index(scene.style)]
        classes[:, near] = np.array(look)[:, None]
        pose = (x / layout.RADIUS, y / layout.RADIUS, math.log(radius / layout.RADIUS), 0.0)
        for value, part in zip(values, pose):
            value[near] = np.broadcast_to(np.asarray(part), near.shape)[near]
    return classes, values


class ThingLayout(LayoutLesson):
    """The heads and their loss; see ``LayoutLesson``."""

    sizes: ClassVar[list[int]] = CLASSES

    def targets(self, labels: Sequence[ThingScene | shapes.Scene], side: int) -> tuple[Tensor, Tensor]:
        """``targets`` of the scenes in a batch of pictures of this side."""
        return targets(labels, side // SCALE)
