"""The host's IMAGE, MASK and LATENT as GLIDE reads them; the ranges are converted by ``glide_core.images``.

IMAGE is [B, H, W, C] in 0..1, MASK is [B, H, W] in 0..1, and the samples of GLIDE's LATENT are pixels, [B, 3, H, W] in
-1..1.
"""

from __future__ import annotations

from collections.abc import Sequence

import comfy.model_management
import comfy.utils
import torch
from torch import Tensor

from ...glide_core.diffusion.inpainting import fit_mask
from ...glide_core.editing import regions
from ...glide_core.images import to_channels_first
from ...glide_core.models.config import ModelConfig


def blank_canvas(batch: int, height: int, width: int) -> Tensor:
    """LATENT samples [batch, 3, height, width] of zeros, where the host keeps what nodes hand on."""
    return torch.zeros(batch, 3, height, width, device=comfy.model_management.intermediate_device())


def hard_mask(mask: Tensor, size: Sequence[int]) -> Tensor:
    """MASK [B, H, W] -> [B, 1, height, width] of the size (height, width), with the values 0 and 1 only."""
    return comfy.utils.common_upscale(mask[:, None], size[1], size[0], "bilinear", "disabled").round()


def fit_noise_mask(latent: dict, size: Sequence[int]) -> Tensor | None:
    """The noise mask of a LATENT as [B, 1, height, width], or None if it has none.

    A pixel that the mask touches at all is repainted.
    """
    mask = latent.get("noise_mask")
    return None if mask is None else fit_mask(mask.reshape(-1, 1, *mask.shape[-2:]), (size[0], size[1]))


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
    if latent is not None and image is not None:
        raise ValueError("latent and image are both connected: connect either latent or image, the picture to enlarge")
    if latent is not None:
        picture: Tensor = latent["samples"]
    elif image is not None:
        picture = to_channels_first(image)
    else:
        raise ValueError("there is no picture to enlarge: connect either latent or image")
    if picture.shape[1] != 3:
        raise ValueError(
            f"latent has {picture.shape[1]} channels, but GLIDE's latents are pictures with 3: decode it with the VAE "
            "of its own model and connect the result to image"
        )
    if picture.isnan().any():
        raise ValueError("the picture to enlarge has pixels that are not numbers (NaN): look at the node it comes from")
    return picture
