"""A lesson for a base model's U-Net, beside the diffusion loss: what lies where in a drawn scene.

Small heads, which are thrown away afterwards, tell from the features of the decoder, at a quarter of the picture's
side, which shape is near, how it looks and where its centre is. A shape is a few percent of the pixels, so the
diffusion loss hardly asks for it; this loss does, and where the noise hides everything it must be read from the
caption. (Aligning features with what a picture means is known to speed up diffusion training: REPA, Yu 2024.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.text2im import Text2Im
from .scenes import COLOURS, SHAPES, SIDE, STYLES, Object, Scene

SCALE = 4  # picture's side / grid's side
REACH = 1.45  # radii around an object's centre in which it is told
UNKNOWN = -100  # cross_entropy passes over it
CLASSES = [len(SHAPES) + 1, len(COLOURS), len(STYLES)]  # shape 0: nothing is near
CLASS_WEIGHTS = (1.0, 0.5, 0.25)
VALUES = 4  # x and y from the centre, log radius, rotation; each about -1..1
VALUE_WEIGHTS = (1.0, 1.0, 1.0, 0.3)
RADIUS, ROTATION = 40.0, 0.12  # units of the values: a medium radius in pixels of 256, an angle in radians
NORM_GROUPS = 4


def targets(scenes: Sequence[Scene], grid: int) -> tuple[Tensor, Tensor]:
    """Classes [B, 3, grid, grid] (``UNKNOWN`` where nothing is near) and values [B, 4, grid, grid] of scenes."""
    classes, values = zip(*(_target(scene, grid) for scene in scenes))
    return torch.from_numpy(np.stack(classes)), torch.from_numpy(np.stack(values))


def _target(scene: Scene, grid: int) -> tuple[np.ndarray, np.ndarray]:
    classes = np.full((len(CLASSES), grid, grid), UNKNOWN)
    classes[0] = 0
    values = np.zeros((VALUES, grid, grid), np.float32)
    centres = (np.arange(grid) + 0.5) * SIDE / grid
    nearest = np.full((grid, grid), REACH)
    for item in reversed(scene.objects):  # the one inside, which lies on top, comes first in the caption
        x, y = centres[None, :] - item.centre[0], centres[:, None] - item.centre[1]
        distance = np.hypot(x, y) / item.radius
        near = distance < nearest
        if scene.relation == "inside" and item is scene.objects[0]:
            near = distance < REACH
        nearest[near] = distance[near]
        classes[:, near] = np.array(_classes(item))[:, None]
        pose = (x / RADIUS, y / RADIUS, math.log(item.radius / RADIUS), item.rotation / ROTATION)
        for value, part in zip(values, pose):
            value[near] = np.broadcast_to(part, near.shape)[near]
    return classes, values


def _classes(item: Object) -> list[int]:
    return [1 + list(SHAPES).index(item.shape), list(COLOURS).index(item.colour), STYLES.index(item.style)]


def pixel_weights(classes: Tensor, values: Tensor) -> Tensor:
    """[B, 1, side, side], what to add to the weight of pixels near objects (see ``targets``): small ones count as much
    as large ones, and all of them more than the background."""
    smallness = torch.exp(-2 * values[:, 2:3])  # (RADIUS / radius)^2
    return F.interpolate(smallness * (classes[:, :1] > 0), scale_factor=SCALE, mode="nearest")


class Layout(nn.Module):
    """The heads, one for each decoder block whose features have the grid's side.

    A forward pass of the model leaves its features here; ``loss`` takes them.
    """

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
                norm = nn.GroupNorm(NORM_GROUPS, channels)
                self.heads.append(nn.Sequential(norm, nn.Conv2d(channels, sum(CLASSES) + VALUES, 1)))

    def loss(self, classes: Tensor, values: Tensor) -> Tensor:
        """See ``targets``; about 5 at first."""
        features, self.features = self.features[-len(self.heads) :], []  # recomputing blocks leaves older ones
        return sum(_loss(head(part.float()).float(), classes, values) for head, part in zip(self.heads, features))


def _loss(output: Tensor, classes: Tensor, values: Tensor) -> Tensor:
    logits, pose = output.split([sum(CLASSES), VALUES], dim=1)
    near = classes[:, :1] > 0
    count = near.sum().clamp(min=1)  # none is near where all scenes' objects fall between the cells' centres
    total = F.cross_entropy(logits[:, : CLASSES[0]], classes[:, 0]) * CLASS_WEIGHTS[0]
    for k, part in enumerate(logits[:, CLASSES[0] :].split(CLASSES[1:], dim=1), 1):
        total = total + CLASS_WEIGHTS[k] * F.cross_entropy(part, classes[:, k], reduction="sum") / count
    error = (F.smooth_l1_loss(pose, values, reduction="none", beta=0.3) * near).sum(dim=(0, 2, 3)) / count
    return total + (error * error.new_tensor(VALUE_WEIGHTS)).sum()
