"""Named ways to sample, from fastest to closest to OpenAI's: chosen by the table in docs/benchmarks.md.

A preset stands for options; an option that is given goes before it. Free of torch, as ``options`` is.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ..choices import PRESETS
from ..errors import OptionError
from .options import Sampling

Changes = dict[str, Any]

# For base models and for upsamplers; what is not named stays as it is.
BASE: dict[str, Changes] = {
    "draft": {"steps": "ays10", "sampler": "dpmpp_2m"},
    "standard": {"steps": "20", "sampler": "ddim"},
    "fine": {"steps": "50", "sampler": "ddpm"},
    "reference": {"steps": "100", "sampler": "ddpm"},
}
UPSAMPLER: dict[str, Changes] = {
    "draft": {"steps": "5", "sampler": "ddim"},
    "standard": {"steps": "10", "sampler": "ddim"},
    "fine": {"steps": "27", "sampler": "ddim"},
    "reference": {"steps": "fast27", "sampler": "ddim"},
}


def changes(preset: str, *, upsampler: bool) -> Changes:
    """What a preset says for one kind of model, by the names of ``Sampling``. Raises OptionError: there is none."""
    if preset not in PRESETS:
        raise OptionError(f"unknown preset {preset!r}: use one of {', '.join(PRESETS)}")
    return (UPSAMPLER if upsampler else BASE)[preset]


def with_preset(options: Sampling, preset: str, *, upsampler: bool) -> Sampling:
    """Options with what a preset says in their place. Raises OptionError: there is no such preset."""
    return dataclasses.replace(options, **changes(preset, upsampler=upsampler))
