"""Sampling through the host: its guidance, progress, preview, cancel and memory management; our samplers and noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch
from torch import Tensor

from ...glide_core.diffusion.noise import StepNoise, picture_seed, seeded_noise
from ...glide_core.diffusion.samplers import SAMPLERS, Variance, sample_ddpm
from ...glide_core.pipeline import Sampling
from . import conditioning, masks
from .model import VARIANCE, GlideModel
from .threshold import DYNAMIC, Threshold, with_threshold

DOWNSCALE = "downscale_ratio_spacial"  # key of a LATENT that says for which latents its size was meant


def require_glide(model) -> None:
    """Raise ValueError unless the MODEL is GLIDE's."""
    if not isinstance(model.model, GlideModel):
        raise ValueError("model is not a GLIDE model: connect the MODEL of a GlideLoader")


def require_kind(model, kind: str) -> None:
    """Raise ValueError unless the MODEL is a GLIDE model of this kind."""
    require_glide(model)
    found = model.model.config.kind
    if found != kind:
        raise ValueError(f"model is a GLIDE {found} model, but this node needs the {kind} one")


def _sample_ddpm(model, x, sigmas, extra_args=None, **kwargs):
    variance = Variance()
    extra_args["model_options"]["transformer_options"][VARIANCE] = variance
    return sample_ddpm(model, x, sigmas, extra_args, variance=variance, **kwargs)


def sampler(name: str, eta: float, wrapper: Callable | None = None, noise: StepNoise | None = None):
    """GLIDE's sampler of this name as the host's SAMPLER.

    Args:
        eta: of ddim.
        wrapper: makes another function of the sampler's.
        noise: of its steps; without it the sampler makes it of the seed that the host passes.
    """
    function = _sample_ddpm if name == "ddpm" else SAMPLERS[name]
    if wrapper:
        function = wrapper(function)
    options = {"eta": eta} if name == "ddim" else {}
    return comfy.samplers.KSAMPLER(function, options if noise is None else {**options, "noise": noise})


def sigmas(model, steps: str, denoise: float) -> Tensor:
    """A respacing of the model's own schedule as SIGMAS; for denoise see ``NoiseSchedule.respaced_sigmas``."""
    return model.model.schedule.respaced_sigmas(steps, denoise)


@dataclass(frozen=True)
class SeededNoise:
    """GLIDE's noise as the host's NOISE: each picture of a batch has a seed of its own, see ``picture_seed``."""

    seed: int
    temperature: float = 1.0

    def generate_noise(self, latent: dict) -> Tensor:
        shape = latent["samples"].shape
        return seeded_noise(shape, seeds(latent, self.seed)) * self.temperature


def seeds(latent: dict, seed: int) -> list[int]:
    """The seed of each picture of a LATENT: LatentFromBatch and the like keep its place in the first batch."""
    return [picture_seed(seed, k) for k in latent.get("batch_index") or range(len(latent["samples"]))]


def empty(shape: tuple[int, ...]) -> Tensor:
    return torch.zeros(shape, device=comfy.model_management.intermediate_device())


def run(
    model, positive, negative, latent: dict, options: Sampling, seed: int, denoise=1.0, wrapper: Callable | None = None
) -> dict:
    """Sample a LATENT.

    Args:
        negative: None is GLIDE's unconditional, the empty prompt.
        latent: where it has a noise mask, the pixels that this leaves at 0 are kept exactly.
        denoise: below 1 the latent is noised only to timestep 1000 * denoise and sampled from there (SDEdit).
        wrapper: see ``sampler``.
    """
    samples = fixed_empty(model, latent)
    for name, part in (("positive", positive), ("negative", negative or positive)):
        conditioning.check_all(name, part, model.model, samples.shape[0])
    if options.threshold is not None:
        model = with_threshold(model, Threshold(DYNAMIC, options.threshold))
    steps = sigmas(model, options.steps, denoise)
    mask = masks.fitted(latent, tuple(samples.shape[-2:]))
    if mask is not None:
        model = masks.with_soft_masks(model, steps[:1])
    latent = {**latent, "samples": samples}
    step_noise = StepNoise(seeds(latent, seed), len(samples))
    samples = comfy.sample.sample_custom(
        model,
        SeededNoise(seed, options.temperature).generate_noise(latent),
        options.guidance_scale,
        sampler(options.sampler, options.eta, wrapper, step_noise),
        steps,
        positive,
        negative or conditioning.unconditional(positive),
        samples,
        noise_mask=mask,
        callback=latent_preview.prepare_callback(model, len(steps) - 1),
        seed=seed,
    )
    kept = {key: value for key, value in latent.items() if key != DOWNSCALE}
    return {**kept, "samples": samples}


def fixed_empty(model, latent: dict) -> Tensor:
    """The samples of a LATENT; those of ComfyUI's EmptyLatentImage get the model's channels and size."""
    ratio = {"downscale_ratio_spacial": latent[DOWNSCALE]} if DOWNSCALE in latent else {}  # newer hosts alone
    return comfy.sample.fix_empty_latent_channels(model, latent["samples"], **ratio)


def to_image(samples: Tensor) -> Tensor:
    """LATENT samples [B, 3, H, W] in -1..1 -> IMAGE [B, H, W, 3] in 0..1."""
    return ((samples.movedim(1, -1) + 1) / 2).clamp(0, 1)


def from_image(image: Tensor) -> Tensor:
    """IMAGE [B, H, W, 3 or 4] in 0..1 -> [B, 3, H, W] in -1..1."""
    return image[..., :3].movedim(-1, 1) * 2 - 1


def hard_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """MASK [B, H, W] -> [B, 1, height, width] of this size, 0 or 1."""
    return comfy.utils.common_upscale(mask[:, None], size[1], size[0], "bilinear", "disabled").round()
