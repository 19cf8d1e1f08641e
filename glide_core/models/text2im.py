"""One GLIDE checkpoint: the U-Net and the text transformer that was trained with it."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import OptionError
from .config import ModelConfig
from .text import TextTransformer
from .unet import Attention, Device, Factory, Operations, UNet, sdpa

TEXT_PREFIXES = (
    "transformer.",
    "final_ln.",
    "token_embedding.",
    "positional_embedding",
    "padding_embedding",
    "transformer_proj.",
)


def split_state_dict(state_dict: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A published state dict is flat: return its U-Net and its text transformer part."""
    unet: dict[str, Tensor] = {}
    text: dict[str, Tensor] = {}
    for name, tensor in state_dict.items():
        (text if name.startswith(TEXT_PREFIXES) else unet)[name] = tensor
    return unet, text


def with_inpaint_inputs(state_dict: dict[str, Tensor], config: ModelConfig) -> tuple[dict[str, Tensor], ModelConfig]:
    """The inpainting model that computes the same as this plain one (paper section 2.4).

    The first convolution gets weights of zero for the 4 channels of the masked picture and its mask, which an
    upsampler reads before low_res. Fine-tuning grows them.
    """
    name = "input_blocks.0.0.weight"
    weight = state_dict[name]
    new = weight.new_zeros(weight.shape[0], 4, *weight.shape[2:])
    widened = torch.cat([weight[:, :3], new, weight[:, 3:]], dim=1)
    return {**state_dict, name: widened}, dataclasses.replace(config, inpaint=True)


def without_inpaint_inputs(state_dict: dict[str, Tensor], config: ModelConfig) -> tuple[dict[str, Tensor], ModelConfig]:
    """Return the plain model that computes the same as this inpainting model where everything is erased.

    The 4 channels of the masked picture and its mask are then zero, so that dropping their weights changes nothing.
    """
    name = "input_blocks.0.0.weight"
    weight = state_dict[name]
    narrowed = torch.cat([weight[:, :3], weight[:, 7:]], dim=1)
    return {**state_dict, name: narrowed}, dataclasses.replace(config, inpaint=False)


class Text2Im(nn.Module):
    """U-Net and text transformer with the flat state dict of the published checkpoints."""

    def __init__(
        self,
        config: ModelConfig,
        *,
        operations: Operations = nn,
        attention: Attention = sdpa,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See ``UNet``: both parts get the same operations, attention, device and dtype."""
        super().__init__()
        self.config = config
        factory: Factory = {"operations": operations, "attention": attention, "device": device, "dtype": dtype}
        self.unet = UNet(config, **factory)
        self.text = TextTransformer(config, **factory)

    def state_dict(  # type: ignore[override]
        self, *, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        destination = OrderedDict() if destination is None else destination
        for part in (self.unet, self.text):
            part.state_dict(destination=destination, prefix=prefix, keep_vars=keep_vars)
        return destination

    def load_state_dict(  # type: ignore[override]
        self, state_dict: dict[str, Tensor], strict: bool = True, assign: bool = False
    ) -> None:
        unet, text = split_state_dict(state_dict)
        self.unet.load_state_dict(unet, strict=strict, assign=assign)
        self.text.load_state_dict(text, strict=strict, assign=assign)

    def forward(self, x: Tensor, timesteps: Tensor, tokens: Tensor, mask: Tensor, **conditions: Tensor) -> Tensor:
        """Text and U-Net in one call, as training needs it; sampling encodes the text once and calls ``unet``.

        Args:
            x: [B, 3, H, W] noisy picture; conditions: see ``unet_input``. Others: see ``UNet`` and ``TextTransformer``.
        """
        xf_out, xf_proj = self.text(tokens, mask)
        return self.unet(unet_input(self.config, x, **conditions), timesteps, xf_out, xf_proj)


def unet_input(
    config: ModelConfig,
    x: Tensor,
    *,
    image: Tensor | None = None,
    known: Tensor | None = None,
    low_res: Tensor | None = None,
) -> Tensor:
    """Join the noisy picture with its conditions in the channel order of the published models.

    Args:
        x: [B, 3, H, W].
        image: [B, 3, H, W] in -1..1, read where ``known`` is 1 (inpainting models; default: nothing is known).
        known: [B, 1, H, W], 1 where a pixel of the image is known, 0 where it is to be painted.
        low_res: [B, 3, h, w] in -1..1 (upsamplers), as ``images.quantize`` leaves it.
    Returns:
        [B, config.in_channels, H, W].
    Raises:
        OptionError: the model is an upsampler and there is no low_res.
    """
    parts = [x]
    if config.inpaint:
        mask = torch.zeros_like(x[:, :1]) if known is None else known
        image = torch.zeros_like(x) if image is None else image
        parts += [image * mask, mask]
    if config.low_res:
        if low_res is None:
            raise OptionError("an upsampler reads a small picture: give low_res")
        parts.append(F.interpolate(low_res, x.shape[-2:], mode="bilinear", align_corners=False))
    return torch.cat(parts, dim=1)
