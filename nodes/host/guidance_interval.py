"""Guidance in a part of the steps alone. It is a part of the MODEL, so that it holds for every sampler."""

from __future__ import annotations

from dataclasses import dataclass

from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...glide_core.diffusion.guidance import guided_sigmas

KEY = "glide_guidance_interval"


@dataclass(frozen=True)
class GuidanceInterval:
    """A wrapper around what the host does to predict x_start. Outside of the interval it asks for a scale of 1, for
    which the host leaves out the negative prompt.

    Attributes:
        begin, end: shares of the steps, 0..1.
    """

    begin: float
    end: float

    def __call__(self, predict_noise, x: Tensor, timestep: Tensor, model_options: dict, *args, **kwargs) -> Tensor:
        low, high = guided_sigmas(model_options["transformer_options"]["sample_sigmas"], self.begin, self.end)
        guider = predict_noise.class_obj
        if low < float(timestep.max()) <= high or not hasattr(guider, "cfg"):
            return predict_noise(x, timestep, model_options, *args, **kwargs)
        scale, guider.cfg = guider.cfg, 1.0
        try:
            return predict_noise(x, timestep, model_options, *args, **kwargs)
        finally:
            guider.cfg = scale


def with_guidance_interval(model, begin: float, end: float):
    """A clone of the MODEL that is guided in these steps, in the place of those that it was guided in. Raises
    ValueError: the shares are in the wrong order."""
    if begin > end:
        raise ValueError(f"guidance_from is {begin} and guidance_until {end}: the first must not be above the second")
    model = model.clone()
    model.wrappers.setdefault(WrappersMP.PREDICT_NOISE, {})[KEY] = [GuidanceInterval(begin, end)]
    return model
