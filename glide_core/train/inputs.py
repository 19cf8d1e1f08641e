"""The pictures that each kind of model is shown in training."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..images import from_uint8, quantize
from ..models.config import UPSCALE, ModelConfig
from .masks import random_masks


def prepare(
    config: ModelConfig,
    pictures: np.ndarray,
    resolution: int,
    rng: np.random.Generator,
    known: np.ndarray | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Turn the pictures of a data set into what the model is trained on.

    Args:
        pictures: uint8 [B, side, side, 3] with side = config.image_size.
        resolution: a base model sees whole pictures reduced to this side, an upsampler sees random crops of this side.
        rng: chooses the crops and masks.
        known: masks for an inpainting model; None draws ``random_masks``.
    Returns:
        The images to learn, [B, 3, resolution, resolution] in -1..1, and the model's other inputs by name.
    """
    conditions = {}
    if config.low_res:
        # A crop starts on the grid of low_res, as a whole picture does. What repeats every 4 pixels, such as stripes,
        # is a plain colour in low_res, so the model can know where it begins only from the grid.
        top, left = UPSCALE * rng.integers((pictures.shape[1] - resolution) // UPSCALE + 1, size=2)
        images = from_uint8(pictures[:, top : top + resolution, left : left + resolution])
        conditions["low_res"] = quantize(F.avg_pool2d(images, UPSCALE))
    else:
        images = from_uint8(pictures)
        if resolution != images.shape[-1]:
            images = F.interpolate(images, (resolution,) * 2, mode="area")
    if config.inpaint:  # an upsampler's low_res shows the erased part, too
        conditions["image"] = images
        conditions["known"] = torch.from_numpy(random_masks(rng, len(images), resolution) if known is None else known)
    return images, conditions
