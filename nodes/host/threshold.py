"""Keeping x_start in the pixels' range at every step, as a part of the MODEL: every sampler of the host gets it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...glide_core.diffusion.guidance import clip, dynamic_threshold

OFF, CLIP, DYNAMIC = "off", "clip", "dynamic"


@dataclass(frozen=True)
class Threshold:
    """What the host calls with each guided x_start.

    Attributes:
        mode: OFF, CLIP to -1..1, or DYNAMIC thresholding.
        threshold: of DYNAMIC, 0..1.
    """

    mode: str = CLIP
    threshold: float = 0.995

    def __call__(self, args: dict) -> Tensor:
        denoised = args["denoised"]
        if self.mode == OFF:
            return denoised
        return clip(denoised) if self.mode == CLIP else dynamic_threshold(denoised, self.threshold)


def with_threshold(model, threshold: Threshold):
    """A clone of the MODEL with this threshold in the place of the one it has."""
    model = model.clone()
    functions = model.model_options.get("sampler_post_cfg_function", [])
    others = [f for f in functions if not isinstance(f, Threshold)]
    model.model_options["sampler_post_cfg_function"] = [threshold, *others]
    return model
