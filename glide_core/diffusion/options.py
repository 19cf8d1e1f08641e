"""How to sample: the settings that every stage of the cascade takes."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass

from ..choices import MOST_OFFSETS, SAMPLERS
from ..errors import OptionError


@dataclass(frozen=True)
class Sampling:
    """How to sample. The defaults are for base models (OpenAI took 100 steps); ``UPSAMPLING`` is for upsamplers.

    Attributes:
        steps: how many, or a respacing string: see ``schedule.respace``.
        sampler: a name in ``samplers.SAMPLERS``.
        guidance_scale: 1 follows the prompt loosely; 3 to 5 closely, with less variety.
        eta: DDIM's noise, 0 to 1; other samplers ignore it.
        threshold: None clips x_start at every step; 0..1 is dynamic thresholding.
        temperature: scale of the initial noise.
        guidance_from, guidance_until: the shares of the steps after which guidance begins and ends, 0 and 1 for all;
            steps outside take half the time.
        cache_interval: in how many steps the deep layers of the U-Net are computed once; 1 is in each.
        noise_offset: low frequencies of the initial noise, as in ``glide train --noise-offset``: see
            ``noise.add_low_frequencies``. A model that was trained with them, as the embedded base with (0.15, 0.15),
            needs them to paint what the prompt leaves open as varied as its training data.
        as_reference: walk exactly as OpenAI's code does, with what the network gets wrong at strong noise: see
            ``prediction``.
    """

    steps: str | int = "50"
    sampler: str = "ddpm"
    guidance_scale: float = 3.0
    eta: float = 0.0
    threshold: float | None = None
    temperature: float = 1.0
    as_reference: bool = False
    guidance_from: float = 0.0
    guidance_until: float = 1.0
    cache_interval: int = 1
    noise_offset: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise OptionError(f"unknown sampler {self.sampler!r}: use one of {', '.join(SAMPLERS)}")
        for name in ("guidance_scale", "eta", "temperature"):
            if not math.isfinite(getattr(self, name)):
                raise OptionError(f"{name} is {getattr(self, name)}: give a finite number")
        if not 0 <= self.eta <= 1:
            raise OptionError(f"eta is {self.eta}: give a number from 0 to 1")
        if len(self.noise_offset) > MOST_OFFSETS or not all(0 <= value <= 1 for value in self.noise_offset):
            raise OptionError(f"noise_offset is {self.noise_offset}: give up to {MOST_OFFSETS} numbers from 0 to 1")
        if not 0 <= self.guidance_from <= self.guidance_until <= 1:
            raise OptionError(
                f"guidance_from is {self.guidance_from} and guidance_until {self.guidance_until}: give shares of the "
                "steps from 0 to 1, the first not above the second"
            )
        if not isinstance(self.cache_interval, numbers.Integral) or self.cache_interval < 1:
            raise OptionError(f"cache_interval is {self.cache_interval}: give a whole number, 1 or more")
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise OptionError(f"threshold is {self.threshold}: give a number above 0 and up to 1, or None to clip")


SAMPLING = Sampling()
UPSAMPLING = Sampling(steps="fast27", sampler="ddim", guidance_scale=1.0, temperature=0.997)


def parse_noise_offset(text: str) -> tuple[float, ...]:
    """``Sampling.noise_offset`` of a text such as "0.15,0.15"; "0" is none. Raises OptionError: it is no such thing."""
    try:
        values = tuple(float(part) for part in text.split(","))
        return Sampling(noise_offset=values if any(values) else ()).noise_offset
    except ValueError as error:
        raise OptionError(
            f"{text[:40]!r} is not up to {MOST_OFFSETS} numbers from 0 to 1, with commas between them"
        ) from error
