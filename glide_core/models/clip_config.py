"""Every number of every noised CLIP, in one place."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from ..errors import OptionError

LARGEST = {
    "image_size": 4096,
    "patch_size": 256,
    "embed_width": 16384,
    "text_ctx": 4096,
    "vocab_size": 1_000_000,
    "text_width": 16384,
    "text_layers": 128,
    "text_heads": 256,
    "image_width": 16384,
    "image_layers": 128,
    "image_heads": 256,
    "timesteps": 100_000,
}


@dataclass(frozen=True)
class ClipConfig:
    """The shape of one noised CLIP; the defaults are the published one's.

    Attributes:
        image_size, patch_size: sides in pixels, of the pictures and of the squares that they are cut into.
        embed_width: numbers in an embedding.
        text_ctx: tokens of a text, with the one that starts and the one that ends it.
        vocab_size: rows of the text's embedding, at least as many as the tokenizer has ids.
        text_width, text_layers, text_heads, image_width, image_layers, image_heads: of the two transformers.
        timesteps: noise levels that the image transformer knows, of the noise schedule "squaredcos_cap_v2".
        logit_scale: what the similarity, a cosine, is multiplied by: its logarithm of a probability.

    Raises:
        OptionError: a value is of another type, outside its range, or does not fit the others.
    """

    image_size: int = 64
    patch_size: int = 4
    embed_width: int = 512
    text_ctx: int = 77
    vocab_size: int = 65536
    text_width: int = 512
    text_layers: int = 12
    text_heads: int = 8
    image_width: int = 768
    image_layers: int = 12
    image_heads: int = 12
    timesteps: int = 1000
    logit_scale: float = 100.0

    def __post_init__(self) -> None:
        for name, largest in LARGEST.items():
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= largest:
                raise OptionError(f"{name} must be a whole number from 1 to {largest}, not {str(value)[:40]}")
        scale = self.logit_scale
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale <= 10000:
            raise OptionError(f"logit_scale must be a number above 0 and up to 10000, not {str(scale)[:40]}")
        if self.image_size % self.patch_size:
            raise OptionError(f"image_size ({self.image_size}) must be a multiple of patch_size ({self.patch_size})")
        for part in ("text", "image"):
            width, heads = getattr(self, f"{part}_width"), getattr(self, f"{part}_heads")
            if width % heads:
                raise OptionError(f"{part}_width ({width}) must be a multiple of {part}_heads ({heads})")
        if self.text_ctx < 3:
            raise OptionError(f"text_ctx must be 3 or more: a start, a word and an end; it is {self.text_ctx}")

    def to_json(self) -> str:
        """The text that ``from_json`` reads."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ClipConfig:
        """Read what ``to_json`` wrote. Raises OptionError where the text is anything else."""
        try:
            values: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise OptionError(f"it is not JSON ({type(error).__name__})") from error
        if not isinstance(values, dict):
            raise OptionError("it must be an object of names and values")
        unknown = values.keys() - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise OptionError(f"a noised CLIP has no {min(unknown)[:40]!r}")
        return cls(**values)


PUBLISHED_CLIP = ClipConfig()
START_LOGIT_SCALE = 14.0  # of a new one (Radford 2021, section 2.5)
TINY_CLIP = ClipConfig(
    patch_size=8,
    embed_width=128,
    text_ctx=34,
    vocab_size=514,
    text_width=128,
    text_layers=3,
    text_heads=4,
    image_width=128,
    image_layers=5,
    image_heads=4,
)
