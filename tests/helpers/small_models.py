"""Configs of models so small that a test can train them."""

import dataclasses

import torch

from glide_core.files import checkpoints
from glide_core.models.config import TINY_BASE, TINY_UPSAMPLE
from glide_core.models.text2im import Text2Im

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
