"""Which pixels are repainted at which step, and how much of the others the model sees.

Masks here are [B, 1, H, W] in 0..1: 1 = repaint, 0 = known, between: repaint by degree.
"""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..choices import REPAINT_PASSES as REPAINT_PASSES
from ..errors import OptionError
from .guidance import Denoiser
from .samplers import Sampler, repainted_steps

DECISIVE = (1.0, 20.0)  # sigmas between which it is; two other ranges did as well: docs/benchmarks.md
FULL = 0.98  # from this degree on a pixel is repainted from the first step: masks in JPEGs are not quite white


def fit_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """A mask [B, 1, h, w] in another size: a pixel that a repainted one touches at all is repainted as much."""
    return mask if mask.shape[-2:] == size else F.adaptive_max_pool2d(mask, size)


def repainted(mask: Tensor, timestep: Tensor, first: float) -> Tensor:
    """The pixels that are repainted at a timestep (differential diffusion, Levin & Fried 2023) -> bool like mask.

    A pixel of degree d stays on the noised picture until the last d of the way, as if ``denoise`` were d there alone.

    Args:
        timestep: [B]; first: the one that sampling starts from.
    """
    return (mask > 0) & ((mask >= FULL) | (timestep.view(-1, 1, 1, 1) <= mask * first))


def visible_sigma(sigmas: Tensor, hide_until: float) -> float:
    """The largest sigma at which the model sees the surroundings.

    Args:
        sigmas: [steps + 1] descending to 0.
        hide_until: part of the steps to hide them for: 0 never, 1 always.
    """
    return float(sigmas[math.ceil(hide_until * (len(sigmas) - 1))])


def repainting(sampler: Sampler, times: int, shown: float) -> Sampler:
    """A sampler that takes decisive steps so many times until the surroundings are shown, at the sigma ``shown``."""
    low, high = DECISIVE
    return repainted_steps(sampler, times, max(low, shown), high)


@dataclass(frozen=True)
class Inpainting:
    """What to repaint.

    Attributes:
        image: [B, 3, H, W] in -1..1.
        mask: [B, 1, H, W], 1 = repaint.
        hide_until: part of the steps, 0..1, after which the model sees the known pixels. Until then it paints from
            the prompt alone, and pinning holds the picture together: the paper's implicit inpainting (appendix E).
        repaint_passes: how often each step that decides the picture is taken until then, see
            ``samplers.repainted_steps``. 1 is the paper's way, with which the hole's edge cuts off more objects.
    """

    image: Tensor
    mask: Tensor
    hide_until: float = 0.0
    repaint_passes: int = REPAINT_PASSES

    def __post_init__(self) -> None:
        if not 0 <= self.hide_until <= 1:
            raise OptionError(f"hide_until is {self.hide_until}: give a number from 0 (visible) to 1 (hidden)")
        if not isinstance(self.repaint_passes, numbers.Integral) or self.repaint_passes < 1:
            raise OptionError(f"repaint_passes is {self.repaint_passes}: give a whole number, 1 or more")

    def to(self, device: torch.device) -> Inpainting:
        """The same on another device."""
        return replace(self, image=self.image.to(device), mask=self.mask.to(device))


class InpaintDenoiser:
    """model(x, sigma) -> x_start that pins the known pixels in x_start at every step, as the reference does."""

    def __init__(self, denoiser: Denoiser, inpainting: Inpainting, sigmas: Tensor) -> None:
        self.denoiser, self.image, self.mask = denoiser, inpainting.image, inpainting.mask
        self.visible_sigma = visible_sigma(sigmas, inpainting.hide_until)
        self.first = float(denoiser.schedule.timestep(sigmas[:1]))

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        seen = (self.mask == 0) & (sigma <= self.visible_sigma).view(-1, 1, 1, 1)
        x_start = self.denoiser(x, sigma, image=self.image, known=seen.to(x))
        free = repainted(self.mask, self.denoiser.schedule.timestep(sigma), self.first)
        return torch.where(free, x_start, self.image)
