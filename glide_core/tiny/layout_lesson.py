"""A lesson for a base model's U-Net, beside the diffusion loss: where each object of a drawn scene is.

From the features of the decoder, at a quarter of the picture's side, small heads tell which shape is near, how it looks
and where its centre is. The heads are thrown away afterwards. A shape covers a few percent of the pixels, so the
diffusion loss hardly asks for it. This loss does, and where the noise hides everything, only the caption can answer
it. Aligning features with what a picture means is known to speed up diffusion training (REPA, Yu 2024).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import OptionError
from ..models.text2im import Text2Im
from ..models.unet import ResBlock
from .scenes import COLOURS, SHAPES, SIDE, STYLES, Object, Scene

SCALE = 4  # the picture's side divided by the grid's
REACH = 1.45  # an object counts as near within so many of its radii from its centre
UNKNOWN = -100  # the class that cross_entropy ignores
CLASSES = [len(SHAPES) + 1, len(COLOURS), len(STYLES)]  # class 0 of the shapes means that nothing is near
CLASS_WEIGHTS = (1.0, 0.5, 0.25)
VALUES = 4  # x and y from the centre, log radius, rotation, each about -1..1
VALUE_WEIGHTS = (1.0, 1.0, 1.0, 0.3)
RADIUS, ROTATION = 40.0, 0.12  # units of the values: a medium radius in pixels of 256, an angle in radians
NORM_GROUPS = 4


def targets(scenes: Sequence[Scene], grid: int) -> tuple[Tensor, Tensor]:
    """What the heads should tell about scenes, in cells of a grid over the picture.

    Returns:
        The classes of shape, colour and style, [B, 3, grid, grid]: where nothing is near the shape is 0 and the others
        are ``UNKNOWN``. And the values, float32 [B, 4, grid, grid]: 0 where nothing is near.
    """
    classes, values = zip(*(_target(scene, grid) for scene in scenes))
    return torch.from_numpy(np.stack(classes)), torch.from_numpy(np.stack(values))


def _target(scene: Scene, grid: int) -> tuple[np.ndarray, np.ndarray]:
    classes = np.full((len(CLASSES), grid, grid), UNKNOWN)
    classes[0] = 0
    values = np.zeros((VALUES, grid, grid), np.float32)
    centres = (np.arange(grid) + 0.5) * SIDE / grid
    nearest = np.full((grid, grid), REACH)
    for item in reversed(scene.objects):  # of nested objects the inner one comes first, and its cells must be told last
        x, y = centres[None, :] - item.centre[0], centres[:, None] - item.centre[1]
        distance = np.hypot(x, y) / item.radius
        near = distance < nearest
        if scene.relation == "inside" and item is scene.objects[0]:
            near = distance < REACH
        nearest[near] = distance[near]
        classes[:, near] = np.array(_classes(item))[:, None]
        size, rotation = np.array(math.log(item.radius / RADIUS)), np.array(item.rotation / ROTATION)
        for value, part in zip(values, (x / RADIUS, y / RADIUS, size, rotation)):
            value[near] = np.broadcast_to(part, near.shape)[near]
    return classes, values


def _classes(item: Object) -> list[int]:
    return [1 + list(SHAPES).index(item.shape), list(COLOURS).index(item.colour), STYLES.index(item.style)]


def pixel_weights(classes: Tensor, values: Tensor) -> Tensor:
    """What to add to the weight of pixels near objects, [B, 1, side, side], from what ``targets`` returns.

    With it a small object counts as much as a large one, and every object more than the background.
    """
    smallness = torch.exp(-2 * values[:, 2:3])  # (RADIUS / radius)^2
    return F.interpolate(smallness * (classes[:, :1] > 0), scale_factor=SCALE, mode="nearest")


class LayoutLesson(nn.Module):
    """The heads, and their loss as a ``train.auxiliary.AuxiliaryLoss``.

    There is a head for each decoder block whose features have the grid's side. A forward pass of the model that is
    trained on leaves its features here, and ``loss`` takes them.

    Args:
        model: a base model.
        weight: of the loss beside the diffusion loss.
    Raises:
        OptionError: the model is an upsampler.
    """

    sizes: ClassVar[list[int]] = CLASSES  # of the groups of classes that the heads tell

    def __init__(self, model: Text2Im, weight: float = 1.0) -> None:
        super().__init__()
        if model.config.low_res:
            raise OptionError("--layout teaches base models only: leave it out for an upsampler")
        self.weight = weight
        self.features: list[Tensor] = []
        self.heads = nn.ModuleList()

        def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            if torch.is_grad_enabled():  # the averaged copy of the model has this hook, too, but it only draws
                self.features.append(output)

        side = model.config.image_size >> (len(model.config.channel_mult) - 1)
        for block in model.unet.output_blocks:
            layers = list(block.children())
            if isinstance(layers[-1], ResBlock) and layers[-1].resample == "up":
                side *= 2
            if side * SCALE == model.config.image_size:
                block.register_forward_hook(keep)
                channels = _channels(layers[0])
                norm = nn.GroupNorm(NORM_GROUPS, channels)
                self.heads.append(nn.Sequential(norm, nn.Conv2d(channels, sum(self.sizes) + VALUES, 1)))

    def targets(self, labels: Sequence[Scene], side: int) -> tuple[Tensor, Tensor]:
        """``targets`` of the scenes in a batch of pictures of this side."""
        return targets(labels, side // SCALE)

    def pixel_weights(self, targets: Sequence[Tensor]) -> Tensor:
        """``pixel_weights`` from what ``targets`` returned."""
        classes, values = targets
        return pixel_weights(classes, values)

    def loss(self, targets: Sequence[Tensor]) -> Tensor:
        """The loss of what the last forward pass left here. With a weight of 1 it is about 5 for each head at first."""
        classes, values = targets
        features = self.features[-len(self.heads) :]  # a backward pass that computes blocks again leaves some, too
        self.features = []
        outputs = [head(part.float()).float() for head, part in zip(self.heads, features)]
        losses = [head_loss(output, classes, values, self.sizes) for output in outputs]
        return self.weight * sum(losses, values.new_zeros(()))


def _channels(block: nn.Module) -> int:
    """The channels of what a residual block returns."""
    assert isinstance(block, ResBlock)
    convolution = block.out_layers[-1]
    assert isinstance(convolution, nn.Conv2d)
    return convolution.out_channels


def head_loss(output: Tensor, classes: Tensor, values: Tensor, sizes: list[int]) -> Tensor:
    """The loss of one head's output [B, sum(sizes) + VALUES, grid, grid]."""
    logits, pose = torch.split(output, [sum(sizes), VALUES], dim=1)
    shape, *others = torch.split(logits, sizes, dim=1)
    near = classes[:, :1] > 0
    count = near.sum().clamp(min=1)  # nothing is near where all objects lie between the centres of the cells
    total = F.cross_entropy(shape, classes[:, 0]) * CLASS_WEIGHTS[0]
    for k, part in enumerate(others, 1):
        total = total + CLASS_WEIGHTS[k] * F.cross_entropy(part, classes[:, k], reduction="sum") / count
    error = (F.smooth_l1_loss(pose, values, reduction="none", beta=0.3) * near).sum(dim=(0, 2, 3)) / count
    return total + (error * error.new_tensor(VALUE_WEIGHTS)).sum()
