"""Configs of models so small that a test can train them."""

import dataclasses

from glide_core.models.config import TINY_BASE, TINY_UPSAMPLE

SMALL = {"num_channels": 8, "num_head_channels": 8, "norm_groups": 4, "xf_width": 16, "xf_layers": 1, "xf_heads": 2}
BASE = dataclasses.replace(TINY_BASE, image_size=16, channel_mult=(1, 2), attention_resolutions=(8,), **SMALL)
UPSAMPLE = dataclasses.replace(
    TINY_UPSAMPLE, image_size=32, channel_mult=(1, 1, 2), attention_resolutions=(8,), **SMALL
)
