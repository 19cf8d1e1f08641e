"""Configs of models so small that a test can train them."""

import dataclasses
from pathlib import Path

import torch

from glide_core.files import checkpoints
from glide_core.models.config import TINY_BASE, TINY_UPSAMPLE
from glide_core.models.text2im import Text2Im
from glide_core.train import lora

SMALL = {"num_channels": 8, "num_head_channels": 8, "norm_groups": 4, "xf_width": 16, "xf_layers": 1, "xf_heads": 2}
BASE = dataclasses.replace(TINY_BASE, image_size=16, channel_mult=(1, 2), attention_resolutions=(8,), **SMALL)
UPSAMPLE = dataclasses.replace(
    TINY_UPSAMPLE, image_size=32, channel_mult=(1, 1, 2), attention_resolutions=(8,), **SMALL
)


def write_base(path):
    """A checkpoint of ``BASE``, which trains in milliseconds."""
    torch.manual_seed(0)
    model = Text2Im(BASE)
    for embedding in (model.text.positional_embedding, model.text.padding_embedding):
        torch.nn.init.normal_(embedding, std=0.02)
    checkpoints.save(model.state_dict(), BASE, path)
    return path


def small_lora(path: Path, size: float = 0.05) -> Path:
    """Write a LoRA for tiny-base that visibly changes what it paints."""
    model = checkpoints.load_model("tiny-base").requires_grad_(True)
    torch.manual_seed(0)
    lora.add(model, 2)
    for layer in model.modules():
        if isinstance(layer, lora.LowRank):
            layer.up.data += size
    lora.save(model, path)
    return path
