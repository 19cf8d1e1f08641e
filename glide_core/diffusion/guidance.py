"""From the U-Net's prediction to the x_start that samplers walk towards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from ..models.text2im import Text2Im, unet_input
from .cuda_graph import Replay
from .samplers import Variance
from .schedule import NoiseSchedule
from .tiles import tiled


class TextEncoding(NamedTuple):
    """A batch of prompts as the U-Net reads them: xf_out [B, N, xf_width], xf_proj [B, 4 * num_channels]."""

    xf_out: Tensor
    xf_proj: Tensor


def guide(cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance (paper eq. 6): scale 1 is the conditional prediction alone."""
    return uncond + scale * (cond - uncond)


def clip(x_start: Tensor) -> Tensor:
    """Keep x_start in the pixels' range, as the reference does at every step."""
    return x_start.clamp(-1, 1)


def dynamic_threshold(x_start: Tensor, threshold: float) -> Tensor:
    """Scale each picture so that this part (0..1) of its values is within -1..1 (Saharia 2022, section 2.3)."""
    limit = torch.quantile(x_start.flatten(1).abs().float(), threshold, dim=1).clamp(min=1).to(x_start)
    limit = limit.view(-1, *[1] * (x_start.ndim - 1))
    return x_start.clamp(-limit, limit) / limit


@dataclass
class Denoiser:
    """model(x, sigma) -> x_start, in the samplers' convention, of one GLIDE model with its conditions.

    Attributes:
        model, schedule: the checkpoint and the noise schedule it was trained on.
        cond, uncond: the encoded prompts; uncond may be None where guidance_scale is 1.
        threshold: None clips x_start, else ``dynamic_threshold``.
        conditions: image, known, low_res: see ``model.unet_input``. With an known the known
            pixels are pinned in x_start at every step, as the reference does.
        tile: pictures with longer sides are denoised in windows of this side.
        variance: gets the learned variance of the conditional half.
    """

    model: Text2Im
    schedule: NoiseSchedule
    cond: TextEncoding
    uncond: TextEncoding | None = None
    guidance_scale: float = 1.0
    threshold: float | None = None
    conditions: dict[str, Tensor] = field(default_factory=dict)
    tile: int | None = None
    variance: Variance = field(default_factory=Variance)

    def __post_init__(self):
        text = [self.cond] if self.guidance_scale == 1 else [self.uncond, self.cond]
        self._text = [torch.cat(parts) for parts in zip(*text)]
        self._unet = Replay(self.model.unet) if self.cond.xf_out.is_cuda else self.model.unet

    def __call__(self, x: Tensor, sigma: Tensor, **conditions: Tensor) -> Tensor:
        """x [B, 3, H, W], sigma [B] -> x_start [B, 3, H, W]. conditions: more of them, for this call."""
        conditions = {**self.conditions, **conditions}
        # Guiding x_start is guiding eps, and rounds as ComfyUI does: both paint the same picture.
        *uncond, cond = (x - sigma.view(-1, 1, 1, 1) * eps for eps in self._eps(x, sigma, conditions))
        x_start = guide(cond, *uncond, self.guidance_scale) if uncond else cond
        return _pinned(self._bounded(x_start), **conditions)

    def _eps(self, x: Tensor, sigma: Tensor, conditions: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """One call of the U-Net -> eps [B, 3, H, W] of each half, the conditional one last."""
        scaled = x / (1 + sigma.view(-1, 1, 1, 1) ** 2).sqrt()
        halves = len(self._text[0]) // x.shape[0]
        inputs = unet_input(self.model.config, scaled, **conditions).to(self.model.unet.dtype)
        inputs, timesteps = inputs.repeat(halves, 1, 1, 1), self.schedule.timestep(sigma).repeat(halves)
        out = tiled(lambda part: self._unet(part, timesteps, *self._text), inputs, self.tile).to(x)
        eps, variance = out.chunk(2, dim=1)
        self.variance.put(variance[-x.shape[0] :])
        return eps.chunk(halves)

    def _bounded(self, x_start: Tensor) -> Tensor:
        return clip(x_start) if self.threshold is None else dynamic_threshold(x_start, self.threshold)


def _pinned(x_start: Tensor, image: Tensor | None = None, known: Tensor | None = None, **_) -> Tensor:
    return x_start if known is None else x_start * (1 - known) + image * known
