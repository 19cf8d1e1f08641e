"""Every number of every GLIDE model, in one place."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from ..errors import OptionError

UPSCALE = 4  # how many times larger the upsampler makes a picture's sides
NOISE_SCHEDULES = ("squaredcos_cap_v2", "linear")

# The largest value of each number, far above any published model; the smallest is 1. A file that asks for more than
# this is broken or was made to fill the memory.
LARGEST = {
    "image_size": 4096,
    "num_channels": 4096,
    "num_res_blocks": 16,
    "channel_mult": 64,
    "attention_resolutions": 4096,
    "num_head_channels": 4096,
    "norm_groups": 4096,
    "text_ctx": 4096,
    "xf_width": 16384,
    "xf_layers": 128,
    "xf_heads": 256,
    "vocab_size": 1_000_000,
}
MAX_LEVELS = 10


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

    Raises:
        OptionError: a value is of another type, outside its range, or does not fit the others.
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

    def __post_init__(self) -> None:
        for name, largest in LARGEST.items():
            value = getattr(self, name)
            if name in ("channel_mult", "attention_resolutions"):
                if not isinstance(value, tuple) or len(value) > MAX_LEVELS:
                    raise OptionError(f"{name} must be a list of at most {MAX_LEVELS} numbers, not {_short(value)}")
                for number in value:
                    _check_number(name, number, largest)
            else:
                _check_number(name, value, largest)
        for name in ("low_res", "inpaint"):
            if not isinstance(getattr(self, name), bool):
                raise OptionError(f"{name} must be true or false, not {_short(getattr(self, name))}")
        if not isinstance(self.noise_schedule, str) or self.noise_schedule not in NOISE_SCHEDULES:
            known = " or ".join(NOISE_SCHEDULES)
            raise OptionError(f"noise_schedule must be {known}, not {_short(self.noise_schedule)}")
        if not self.channel_mult:
            raise OptionError("channel_mult must have a number for each level, but it is empty")
        if self.xf_width % self.xf_heads:
            raise OptionError(f"xf_width ({self.xf_width}) must be a multiple of xf_heads ({self.xf_heads})")
        for level, factor in enumerate(self.channel_mult):
            channels = self.num_channels * factor
            attends = factor == self.channel_mult[-1] or self.image_size >> level in self.attention_resolutions
            if attends and channels > self.num_head_channels and channels % self.num_head_channels:
                raise OptionError(f"{channels} channels cannot be divided into heads of {self.num_head_channels}")
            if channels % self.norm_groups:
                raise OptionError(f"a level of {channels} channels cannot be divided into {self.norm_groups} groups")

    @property
    def in_channels(self) -> int:
        """Channels the first convolution reads: x, then [masked image, mask], then low_res."""
        return 3 + (4 if self.inpaint else 0) + (3 if self.low_res else 0)

    @property
    def kind(self) -> str:
        """ "base", "base-inpaint", "upsample" or "upsample-inpaint"."""
        return ("upsample" if self.low_res else "base") + ("-inpaint" if self.inpaint else "")

    @property
    def size_multiple(self) -> int:
        """Picture sides must be a multiple of this: the U-Net halves them once per level."""
        return 1 << (len(self.channel_mult) - 1)

    def to_json(self) -> str:
        """The text that ``from_json`` reads."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """Read what ``to_json`` wrote. Raises OptionError where the text is anything else."""
        try:
            values: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise OptionError(f"it is not JSON ({type(error).__name__})") from error
        if not isinstance(values, dict):
            raise OptionError(f"it must be an object of names and values, not {_short(values)}")
        unknown = values.keys() - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise OptionError(f"a model has no {_short(min(unknown))}")
        fields: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
        return cls(**fields)


def _check_number(name: str, value: object, largest: int) -> None:
    if type(value) is not int or not 1 <= value <= largest:
        raise OptionError(f"{name} must be a whole number from 1 to {largest}, not {_short(value)}")


def _short(value: object) -> str:
    """A value as a message shows it."""
    if isinstance(value, dict | list | tuple):
        return f"a {type(value).__name__} of {len(value)} things"
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "..."


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
TINY_NOISE_OFFSET = (0.15, 0.15)  # of the training of the embedded base models, see ``train.options``


def _family(*models: ModelConfig) -> dict[str, ModelConfig]:
    """The models and their inpainting variants, by kind."""
    return {config.kind: config for model in models for config in (model, dataclasses.replace(model, inpaint=True))}


PUBLISHED = _family(BASE, UPSAMPLE)
TINY = _family(TINY_BASE, TINY_UPSAMPLE)
