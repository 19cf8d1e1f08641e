"""From the U-Net's prediction to the x_start that samplers walk towards."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import OptionError
from ..models.text2im import Text2Im, unet_input
from .clip_guidance import ClipGradient
from .composition import Composition, compose
from .finite import FiniteCheck
from .prediction import network_sigma, predict_x_start, reference_x_start
from .question import Question
from .samplers import Variance
from .schedule import NoiseSchedule


class TextEncoding(NamedTuple):
    """A batch of texts as the U-Net reads them: xf_out [B, N, xf_width], xf_proj [B, 4 * num_channels]."""

    xf_out: Tensor
    xf_proj: Tensor


def guide(cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance (paper eq. 6): scale 1 is the conditional prediction alone."""
    return uncond + scale * (cond - uncond)


def guided_sigmas(sigmas: Tensor, begin: float, end: float) -> tuple[float, float]:
    """The sigmas above the first and up to the second of which guidance is wanted.

    Args:
        sigmas: [steps + 1] of a run, descending to 0.
        begin, end: shares of the steps, 0..1.
    """
    steps = len(sigmas) - 1
    first, last = (math.ceil(share * steps) for share in (begin, end))
    return float(sigmas[last]), float(sigmas[first]) if first else math.inf


def clip(x_start: Tensor) -> Tensor:
    """Keep x_start in the pixels' range, as the reference does at every step."""
    return x_start.clamp(-1, 1)


def dynamic_threshold(x_start: Tensor, threshold: float) -> Tensor:
    """Scale each picture so that this part (0..1) of its values is within -1..1 (Saharia 2022, section 2.3)."""
    limit = torch.quantile(x_start.flatten(1).abs().float(), threshold, dim=1).clamp(min=1).to(x_start)
    limit = limit.view(-1, *[1] * (x_start.ndim - 1))
    return x_start.clamp(-limit, limit) / limit


EVERY_SIGMA = (0.0, math.inf)


@dataclass(kw_only=True)
class Denoiser:
    """model(x, sigma) -> x_start, in the samplers' convention, of one GLIDE model with its conditions.

    Attributes:
        model, schedule: the checkpoint and the noise schedule that it was trained on.
        cond: the encoded prompts: the ``cond_texts`` of the composition, or else one for each picture.
        uncond: what guidance moves away from; it may be None where guidance_scale is 1.
        composition: which of these texts make up the prediction for which picture. By default each has one.
        guidance_scale: see ``guide``.
        guided_sigmas: the sigmas above the first and up to the second of them are guided; outside the U-Net sees the
            prompts alone, in half the time (Kynkaanniemi 2024).
        cache_interval: see ``Question``.
        threshold: None clips x_start to -1..1, a number in 0..1 is for ``dynamic_threshold``.
        conditions: image, known and low_res, see ``unet_input``. The known pixels of the image are pinned in x_start at
            every step, as the reference does.
        tile: pictures with longer sides are denoised in windows of this side, in pixels.
        as_reference: x_start is computed as OpenAI's code does at every sigma, see ``prediction``.
        variance: gets the learned variance of each prompt's first part.
        clip: CLIP guidance; it moves x_start, but where the pixels are known.
        gradient: gets CLIP's gradient instead, for the sampler to move the mean by, as OpenAI's DDPM does.
        check: looks at the network's output in each step.
    """

    model: Text2Im
    schedule: NoiseSchedule
    cond: TextEncoding
    uncond: TextEncoding | None = None
    composition: Composition | None = None
    guidance_scale: float = 1.0
    guided_sigmas: tuple[float, float] = EVERY_SIGMA
    cache_interval: int = 1
    threshold: float | None = None
    conditions: dict[str, Tensor] = field(default_factory=dict)
    tile: int | None = None
    as_reference: bool = False
    variance: Variance = field(default_factory=Variance)
    clip: ClipGradient | None = None
    gradient: Variance | None = None
    check: FiniteCheck | None = None

    def __post_init__(self) -> None:
        if self.guidance_scale == 1:
            text = self.cond
        elif self.uncond is None:
            raise OptionError(f"guidance_scale is {self.guidance_scale}: give uncond, what it moves away from")
        else:
            text = TextEncoding(*(torch.cat(halves) for halves in zip(self.uncond, self.cond)))
        composition = self.composition
        if composition is None:
            plain = [""] * len(self.cond.xf_out)
            composition = compose(plain, None if self.guidance_scale == 1 else plain)
        composition = composition.to(self.cond.xf_out.device)
        self._guided = Question(self.model.unet, *text, composition, cache_interval=self.cache_interval)
        self._question = self._guided  # the one of the latest step

    def __call__(self, x: Tensor, sigma: Tensor, *, image: Tensor | None = None, known: Tensor | None = None) -> Tensor:
        """x [B, 3, H, W], sigma [B] -> x_start [B, 3, H, W].

        Args:
            image, known: in the place of those of ``conditions``, for this call.
        Raises:
            NotFiniteError: see ``FiniteCheck``.
        """
        conditions = dict(self.conditions)
        if image is not None and known is not None:
            conditions |= {"image": image, "known": known}
        self._question = self._question_at(sigma)
        eps = self._eps(x, sigma, conditions)
        # Mixing and guiding x_start is doing so with eps, and rounds as ComfyUI does: both paint the same picture.
        composition = self._question.composition
        rows = composition.pictures
        each = self._x_start(x[rows], sigma[rows], eps)
        x_start = composition.cond(each)
        if composition.uncond is not None:
            x_start = guide(x_start, composition.uncond(each), self.guidance_scale)
        x_start = self._in_range(x_start)
        if self.clip is not None and self.clip.wanted(float(sigma[0])):
            x_start = self._moved(self.clip, x_start, x, sigma, conditions.get("known"))
        if "known" in conditions:
            x_start = x_start * (1 - conditions["known"]) + conditions["image"] * conditions["known"]
        return x_start

    def _question_at(self, sigma: Tensor) -> Question:
        """The latest question, or another one where guidance begins or ends: old features say nothing there."""
        if self.guided_sigmas == EVERY_SIGMA or self._guided.composition.uncond is None:
            return self._question
        low, high = self.guided_sigmas
        is_guided = low < float(sigma[0]) <= high
        if is_guided == (self._question.composition.uncond is not None):
            return self._question
        if is_guided:
            return self._guided
        numbers, composition = self._guided.composition.unguided()
        return self._guided.rows(numbers, composition, cache_interval=self.cache_interval)

    def _moved(
        self, clip_gradient: ClipGradient, x_start: Tensor, x: Tensor, sigma: Tensor, known: Tensor | None
    ) -> Tensor:
        """x_start after CLIP guidance. What is known is as noisy in x as the rest: CLIP sees a whole picture."""
        if self.gradient is not None:
            gradient = clip_gradient.gradient(x, sigma)
            self.gradient.put(gradient if known is None else gradient * (1 - known))
            return x_start
        if self.as_reference:
            return x_start + clip_gradient.reference_shift(x, sigma)
        return self._in_range(x_start + clip_gradient.shift(x, sigma))

    def _in_range(self, x_start: Tensor) -> Tensor:
        return clip(x_start) if self.threshold is None else dynamic_threshold(x_start, self.threshold)

    def _x_start(self, x: Tensor, sigma: Tensor, eps: Tensor) -> Tensor:
        return reference_x_start(x, sigma, eps) if self.as_reference else predict_x_start(x, sigma, eps)

    def _eps(self, x: Tensor, sigma: Tensor, conditions: dict[str, Tensor]) -> Tensor:
        """One call of the U-Net -> eps [R, 3, H, W], one for each row of the composition."""
        rows = self._question.composition.pictures
        scaled = x / (1 + sigma.view(-1, 1, 1, 1) ** 2).sqrt()
        asked = sigma if self.as_reference else network_sigma(sigma)
        timesteps = self.schedule.timestep(asked)[rows]
        inputs = unet_input(self.model.config, scaled, **conditions).to(self.model.unet.dtype)[rows]
        out = self._question(inputs, timesteps, self.tile)
        if self.check is not None:
            self.check.look(out, sigma)
        eps, variance = out.to(x).chunk(2, dim=1)
        self.variance.put(variance[self._question.composition.cond.rows[:, 0]])
        return eps
