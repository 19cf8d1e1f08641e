"""The host's IMAGE, MASK and LATENT as GLIDE reads them, one function for each conversion.

IMAGE is [B, H, W, C] in 0..1, MASK is [B, H, W] in 0..1, and the samples of GLIDE's LATENT are pixels, [B, 3, H, W] in
-1..1.
"""

from __future__ import annotations

import comfy.model_management
import comfy.utils
import torch
from torch import Tensor

from ...glide_core.diffusion.inpainting import fit_mask
from ...glide_core.editing import regions
from ...glide_core.models.config import ModelConfig


def to_image(samples: Tensor) -> Tensor:
    """LATENT samples [B, 3, H, W] in -1..1 -> IMAGE [B, H, W, 3], clipped to 0..1."""
    return ((samples.movedim(1, -1) + 1) / 2).clamp(0, 1)


def from_image(image: Tensor) -> Tensor:
    """IMAGE [B, H, W, 3 or 4] in 0..1 -> LATENT samples [B, 3, H, W] in -1..1. Transparency is dropped."""
    return image[..., :3].movedim(-1, 1) * 2 - 1


def blank_canvas(batch: int, height: int, width: int) -> Tensor:
    """LATENT samples [batch, 3, height, width] of zeros, where the host keeps what nodes hand on."""
    return torch.zeros(batch, 3, height, width, device=comfy.model_management.intermediate_device())


def hard_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """MASK [B, H, W] -> [B, 1, height, width] of the size (height, width), with the values 0 and 1 only."""
    return comfy.utils.common_upscale(mask[:, None], size[1], size[0], "bilinear", "disabled").round()


def fit_noise_mask(latent: dict, size: tuple[int, int]) -> Tensor | None:
    """The noise mask of a LATENT as [B, 1, height, width], or None if it has none.

    A pixel that the mask touches at all is repainted.
    """
    mask = latent.get("noise_mask")
    return None if mask is None else fit_mask(mask.reshape(-1, 1, *mask.shape[-2:]), size)


def shrink_to_model(image: Tensor, config: ModelConfig) -> Tensor:
    """IMAGE in the size that a base model paints -> [B, h, w, 3] in 0..1.

    The shorter side becomes the model's size, and the longer one the nearest multiple that the model can paint.
    """
    scale = config.image_size / min(image.shape[1:3])
    height, width = (
        max(1, round(side * scale / config.size_multiple)) * config.size_multiple for side in image.shape[1:3]
    )
    return torch.stack([regions.resize(picture[..., :3], (height, width)) for picture in image])


def picture_to_enlarge(latent: dict | None, image: Tensor | None) -> Tensor:
    """The one of the two that is connected -> [B, 3, h, w] in -1..1.

    Raises:
        ValueError: both or neither are connected, the LATENT belongs to another model family, or pixels are NaN.
    """
    if (latent is None) == (image is None):
        raise ValueError("connect either latent or image, the picture to enlarge")
    picture = from_image(image) if latent is None else latent["samples"]
    if picture.shape[1] != 3:
        raise ValueError(
            f"latent has {picture.shape[1]} channels, but GLIDE's latents are pictures with 3: decode it with the VAE "
            "of its own model and connect the result to image"
        )
    if picture.isnan().any():
        raise ValueError("the picture to enlarge has pixels that are not numbers (NaN): look at the node it comes from")
    return picture
