"""The random weights that a noised CLIP's training starts with."""

from __future__ import annotations

import math
import re

import torch
from torch import nn

from ..models.clip import NoisedClip
from ..models.unet import timestep_embedding


@torch.no_grad()
def initialise(model: NoisedClip) -> None:
    """Set random initial weights as OpenAI's code does, but for the timesteps' vectors: those are sinusoids, so that
    neighbours are alike from the start."""
    config = model.config
    for encoder, width in ((model.text, config.text_width), (model.image, config.image_width)):
        for name, p in encoder.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(p)
            elif name.endswith("ln.weight"):
                nn.init.ones_(p)
            elif re.search(r"f_[12c]\.weight$|f\.weight$|f_[qkv]\.weight$", name):
                depth = 2 * encoder.layers if re.search(r"f_2\.|f_c\.", name) else 1
                nn.init.normal_(p, std=1 / (math.sqrt(width) * depth))
    text, image = model.text.blocks["input"], model.image.blocks["input"]
    nn.init.normal_(text.w_voc.weight, std=0.02)  # type: ignore[arg-type, union-attr]
    nn.init.normal_(text.w_pos, std=0.01)  # type: ignore[arg-type]
    nn.init.normal_(image.w_pos, std=1 / math.sqrt(config.image_width))  # type: ignore[arg-type]
    patch = image.patch_proj.weight  # type: ignore[union-attr]
    nn.init.normal_(patch, std=math.sqrt(2 / (config.image_width * config.patch_size**2)))  # type: ignore[arg-type]
    waves = timestep_embedding(torch.arange(config.timesteps), config.image_width)
    image.w_t.weight.copy_(waves * math.sqrt(2 / config.image_width))  # type: ignore[operator, union-attr]
