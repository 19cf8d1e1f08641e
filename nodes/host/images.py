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


def shrink_to_model(image: Tensor, config: ModelConfig, *, refuse: bool = False) -> Tensor:
    """IMAGE in the size that a base model paints -> [B, h, w, 3] in 0..1.

    The shorter side becomes the model's size, and the longer one the nearest multiple that the model can paint.

    Args:
        refuse: raise ValueError where this would change the size.
    """
    scale = config.image_size / min(image.shape[1:3])
    height, width = (
        max(1, round(side * scale / config.size_multiple)) * config.size_multiple for side in image.shape[1:3]
    )
    if refuse and (height, width) != tuple(image.shape[1:3]):
        raise ValueError(
            f"image is {image.shape[2]}x{image.shape[1]} pixels, but the model paints {width}x{height}: put GlideCrop "
            "before this node and GlideStitch after it, or set fit to 'crop around mask' or 'shrink'"
        )
    return torch.stack([regions.resize(picture[..., :3], (height, width)) for picture in image])


def require_one_picture(latent: bool, image: bool) -> None:
    """Raise ValueError unless exactly one of the two inputs is connected."""
    if latent and image:
        raise ValueError("latent and image are both connected: connect either latent or image, the picture to enlarge")
    if not latent and not image:
        raise ValueError("there is no picture to enlarge: connect either latent or image")


def picture_to_enlarge(latent: dict | None, image: Tensor | None) -> Tensor:
    """The one of the two that is connected -> [B, 3, h, w] in -1..1.

    Raises:
        ValueError: both or neither are connected, the LATENT belongs to another model family, or pixels are NaN.
    """
    require_one_picture(latent is not None, image is not None)
    if latent is not None:
        picture: Tensor = latent["samples"]
    if image is not None:
        picture = to_channels_first(image)
    if picture.shape[1] != 3:
        raise ValueError(
            f"latent has {picture.shape[1]} channels, but GLIDE's latents are pictures with 3: decode it with the VAE "
            "of its own model and connect the result to image"
        )
    if picture.isnan().any():
        raise ValueError("the picture to enlarge has pixels that are not numbers (NaN): look at the node it comes from")
    return picture
