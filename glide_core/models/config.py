"""Every number of every GLIDE model, in one place."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

UPSCALE = 4  # how many times larger the upsampler makes a picture's sides


@dataclass(frozen=True)
class ModelConfig:
    """The shape of one text-conditional diffusion model (a U-Net and its text transformer).

    The defaults are the published 64x64 base model (paper section 4 and the released code).

    Attributes:
        image_size: side of the square pictures the model was trained on, in pixels.
        num_channels: U-Net width at full resolution; level i has ``num_channels * channel_mult[i]``.
        attention_resolutions: feature-map sides, in pixels at ``image_size``, that get attention.
        num_head_channels: channels of one U-Net attention head.
        norm_groups: groups of every GroupNorm.
        text_ctx, xf_width, xf_layers, xf_heads: tokens, width, depth and heads of the text transformer.
        vocab_size: number of token ids; the last one is the padding id.
        noise_schedule: "squaredcos_cap_v2" or "linear" (see ``schedule``).
        low_res: the model is an upsampler and reads a low-resolution picture (3 more input channels).
        inpaint: the model reads a picture with a hole and its mask (4 more input channels).
    """

    image_size: int = 64
    num_channels: int = 192
    num_res_blocks: int = 3
    channel_mult: tuple[int, ...] = (1, 2, 3, 4)
    attention_resolutions: tuple[int, ...] = (32, 16, 8)
    num_head_channels: int = 64
    norm_groups: int = 32
    text_ctx: int = 128
    xf_width: int = 512
    xf_layers: int = 16
    xf_heads: int = 8
    vocab_size: int = 50257
    noise_schedule: str = "squaredcos_cap_v2"
    low_res: bool = False
    inpaint: bool = False

    @property
    def in_channels(self) -> int:
        """Channels the first convolution reads: x, then [masked image, mask], then low_res."""
        return 3 + 4 * self.inpaint + 3 * self.low_res

    @property
    def kind(self) -> str:
        """ "base", "base-inpaint", "upsample" or "upsample-inpaint"."""
        return ("upsample" if self.low_res else "base") + ("-inpaint" if self.inpaint else "")

    @property
    def size_multiple(self) -> int:
        """Picture sides must be a multiple of this: the U-Net halves them once per level."""
        return 2 ** (len(self.channel_mult) - 1)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        values = json.loads(text)
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


BASE = ModelConfig()
UPSAMPLE = ModelConfig(
    image_size=256,
    num_res_blocks=2,
    channel_mult=(1, 1, 2, 2, 4, 4),
    noise_schedule="linear",
    low_res=True,
)
TINY_BASE = ModelConfig(
    num_channels=32,
    num_res_blocks=1,
    channel_mult=(1, 1, 2, 4),
    attention_resolutions=(16, 8),
    num_head_channels=32,
    norm_groups=4,  # of 8 channels and more: smaller groups normalise flat colours away
    text_ctx=32,
    xf_width=128,
    xf_layers=3,
    xf_heads=4,
    vocab_size=512,
)
TINY_UPSAMPLE = dataclasses.replace(
    TINY_BASE,
    image_size=256,
    num_channels=16,
    norm_groups=2,
    channel_mult=(1, 1, 2, 2, 4, 4),
    noise_schedule="linear",
    low_res=True,
)


def _family(*models: ModelConfig) -> dict[str, ModelConfig]:
    """The models and their inpainting variants, by kind."""
    return {config.kind: config for model in models for config in (model, dataclasses.replace(model, inpaint=True))}


PUBLISHED = _family(BASE, UPSAMPLE)
TINY = _family(TINY_BASE, TINY_UPSAMPLE)
