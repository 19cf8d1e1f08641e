"""Keeping x_start in the pixels' range in every step. It is a part of the MODEL, so that it holds for every sampler."""

from __future__ import annotations

from dataclasses import dataclass

from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...glide_core.diffusion.guidance import clip, dynamic_threshold

OFF, CLIP, DYNAMIC = "off", "clip", "dynamic"
KEY = "glide_threshold"


@dataclass(frozen=True)
class Threshold:
    """A wrapper around all that the host does to predict x_start: guidance, and what other nodes add to it.

    Attributes:
        mode: OFF, CLIP to -1..1, or DYNAMIC thresholding.
        threshold: for DYNAMIC, the share of the values (0..1) that must fit into -1..1.
    """

    mode: str = CLIP
    threshold: float = 0.995

    def __call__(self, predict_noise, *args, **kwargs) -> Tensor:
        return self.keep(predict_noise(*args, **kwargs))

    def keep(self, x_start: Tensor) -> Tensor:
        """x_start within the range that ``mode`` asks for."""
        if self.mode == OFF:
            return x_start
        return clip(x_start) if self.mode == CLIP else dynamic_threshold(x_start, self.threshold)


def of(guider) -> Threshold:
    """The threshold of the MODEL that a guider of the host samples with."""
    wrappers = guider.model_options.get("transformer_options", {}).get("wrappers", {})
    found = wrappers.get(WrappersMP.PREDICT_NOISE, {}).get(KEY)
    return found[0] if found else Threshold()


def with_threshold(model, threshold: Threshold):
    """A clone of the MODEL with this threshold in the place of the one that it has.

    The loader adds the first one, before any node can add a wrapper: the host calls it outermost, so it has the last
    word.
    """
    model = model.clone()
    model.wrappers.setdefault(WrappersMP.PREDICT_NOISE, {})[KEY] = [threshold]
    return model
