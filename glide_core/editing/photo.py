"""Repainting squares of a photo: base, upsampler, and for large squares the upsampler again on tiles."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import pipeline
from ..diffusion.clip_guidance import ClipGuide
from ..diffusion.inpainting import REPAINT_PASSES, fit_mask
from ..images import to_channels_first, to_channels_last
from ..models.config import UPSCALE
from ..pipeline import UPSAMPLING, Sampling, Stage
from ..scoring import Scorer
from . import regions
from .blending import FEATHERED, Blend

Progress = Callable[[str], AbstractContextManager[pipeline.Callback | None]]


@dataclass(frozen=True)
class Editor:
    """Both inpainting models and how to use them.

    Attributes:
        hide_until, repaint_passes: see ``inpainting.Inpainting``.
        denoise: below 1 the base starts from what is under the mask.
        detail: the longest side that is painted with the photo's own pixels; of larger squares the repainted part is
            enlarged, and comes back blurred.
        clip, upsample_clip: what guides the two models, see ``Stage.sample``.
        progress: gives a context with the ``pipeline.Callback`` of the stage that it names.
    """

    base: Stage
    upsampler: Stage
    sampling: Sampling = Sampling()
    upsampling: Sampling = UPSAMPLING
    negative: str = ""
    hide_until: float = 0.0
    repaint_passes: int = REPAINT_PASSES
    denoise: float = 1.0
    detail: int = 1024
    clip: ClipGuide | None = None
    upsample_clip: ClipGuide | None = None
    progress: Progress = lambda name: nullcontext()

    def __call__(self, prompt: str, image: Tensor, mask: Tensor, region: regions.Region, seed: int = 0) -> Tensor:
        """Repaint one square of a photo.

        Args:
            image: [B, H, W, 3] in 0..1; mask: [B, H, W], 1 = repaint; region: a square of them.
        Returns:
            [1, side, side, 3] in 0..1, for ``regions.stitch``.
        """
        size = self.base.model.config.image_size
        crop, hole = self._cut(image, mask, region, size)
        with self.progress("base") as callback:
            painted = pipeline.inpaint(
                self.base,
                [prompt],
                crop,
                hole,
                self.sampling,
                hide_until=self.hide_until,
                repaint_passes=self.repaint_passes,
                denoise=self.denoise,
                negative=self.negative,
                seed=seed,
                clip=self.clip,
                callback=callback,
            )
        for name, size in self._sizes(region.side):
            crop, hole = self._cut(image, mask, region, size)
            low_res = to_channels_first(
                regions.resize(to_channels_last(painted)[0], (size // UPSCALE, size // UPSCALE))[None]
            )
            with self.progress(name) as callback:
                painted = pipeline.upsample(
                    self.upsampler,
                    [prompt],
                    low_res,
                    self.upsampling,
                    image=crop,
                    mask=hole,
                    negative=self.negative,
                    seed=seed,
                    clip=self.upsample_clip,
                    callback=callback,
                )
        return to_channels_last(painted).cpu()

    def _sizes(self, side: int) -> list[tuple[str, int]]:
        """Names and sizes of the upsampler's passes."""
        size, multiple = self.upsampler.model.config.image_size, 2 * self.upsampler.model.config.size_multiple
        large = min(side, self.detail) // multiple * multiple
        return [("upsampler", size)] + ([("detail", large)] if large > size else [])

    def _cut(self, image: Tensor, mask: Tensor, region: regions.Region, size: int) -> tuple[Tensor, Tensor]:
        """What is under a square: [1, 3, size, size] in -1..1, and its mask [1, 1, size, size].

        Only by area: a known pixel must not get anything of what is masked.
        """
        crops, holes = regions.cut(image, mask, [region], size)
        return to_channels_first(crops), fit_mask(holes[:, None], (size, size))


def squares(
    mask: Tensor, *, crop_factor: float = 2.0, each: bool = False, walk: int | None = None
) -> list[regions.Region]:
    """The squares to repaint: around the mask, or for outpainting ``walk`` pixels wide and half overlapping."""
    if not mask.any():
        return []
    return list(regions.walk(mask, walk, walk // 2)) if walk else regions.around(mask, crop_factor, each)


def scored(scorer: Scorer, image: Tensor, mask: Tensor, found: list[regions.Region], prompt: str) -> float:
    """How well what was repainted fits its prompt: the mean score of the squares.

    Args:
        image: [1, H, W, 3 or 4] in 0..1; mask: [1, H, W]; found: parts of it.
    """
    crops, _ = regions.cut(image[..., :3], mask, found, scorer.side)
    return float(scorer.scores(to_channels_first(crops), [prompt] * len(crops)).mean())


def edit(
    editor: Editor,
    prompt: str,
    image: Tensor,
    mask: Tensor,
    found: list[regions.Region],
    *,
    seed: int = 0,
    blend: Blend = FEATHERED,
) -> Tensor:
    """Repaint squares one after the other, each seeing the ones before.

    Args:
        image: [B, H, W, 3 or 4] in 0..1; mask: [B, H, W] in 0..1, 1 = repaint.
        found: the squares, as ``squares`` gives them.
    Returns:
        [B, H, W, C]. Outside of the mask and its feather the values are the image's very own. Where the image is
        transparent, what was painted is as opaque as the mask is strong.
    """
    rest = mask.clone()
    for region in found:
        crop = editor(prompt, image[..., :3], rest, region, seed)
        image = regions.stitch(image, [region], crop, blend=blend)
        rest[region.batch_index][region.own] = 0
    if image.shape[-1] == 4:
        image = torch.cat([image[..., :3], torch.maximum(image[..., 3], mask)[..., None]], dim=-1)
    return image
