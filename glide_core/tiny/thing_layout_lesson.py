"""A lesson for a base model's U-Net, beside the diffusion loss: what lies where in a scene of things or shapes.

``layout_lesson`` says why; this one tells things and shapes, with their styles, and the shapes' colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.text2im import Text2Im
from . import layout_lesson as layout
from . import scenes as shapes
from .layout_lesson import SCALE, UNKNOWN, VALUE_WEIGHTS, VALUES
from .thing_scenes import SIDE, ThingScene
from .things import STYLES, THINGS

CLASSES = [1 + len(THINGS) + len(shapes.SHAPES), len(shapes.COLOURS), len(STYLES) + len(shapes.STYLES)]
CLASS_WEIGHTS = (1.0, 0.5, 0.25)
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
            value[near] = np.broadcast_to(part, near.shape)[near]
    return classes, values


class ThingLayout(nn.Module):
    """The heads, one for each decoder block whose features have the grid's side; see ``layout_lesson.Layout``."""

    def __init__(self, model: Text2Im):
        super().__init__()
        self.features: list[Tensor] = []
        self.heads = nn.ModuleList()
        side = model.config.image_size >> (len(model.config.channel_mult) - 1)
        for block in model.unet.output_blocks:
            if getattr(block[-1], "resample", None) == "up":
                side *= 2
            if side * SCALE == model.config.image_size:
                channels = block[0].out_layers[-1].out_channels
                block.register_forward_hook(lambda module, args, output: self.features.append(output))
                norm = nn.GroupNorm(layout.NORM_GROUPS, channels)
                self.heads.append(nn.Sequential(norm, nn.Conv2d(channels, sum(CLASSES) + VALUES, 1)))

    def loss(self, classes: Tensor, values: Tensor) -> Tensor:
        """See ``targets``."""
        features, self.features = self.features[-len(self.heads) :], []
        return sum(_loss(head(part.float()).float(), classes, values) for head, part in zip(self.heads, features))


def _loss(output: Tensor, classes: Tensor, values: Tensor) -> Tensor:
    logits, pose = output.split([sum(CLASSES), VALUES], dim=1)
    near = classes[:, :1] > 0
    count = near.sum().clamp(min=1)
    total = CLASS_WEIGHTS[0] * F.cross_entropy(logits[:, : CLASSES[0]], classes[:, 0])
    for k, part in enumerate(logits[:, CLASSES[0] :].split(CLASSES[1:], dim=1), 1):
        total = total + CLASS_WEIGHTS[k] * F.cross_entropy(part, classes[:, k], reduction="sum") / count
    error = (F.smooth_l1_loss(pose, values, reduction="none", beta=0.3) * near).sum(dim=(0, 2, 3)) / count
    return total + (error * error.new_tensor(VALUE_WEIGHTS)).sum()
