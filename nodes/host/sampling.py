"""Sampling through the host: its guidance, progress, preview, cancel and memory management; our samplers and noise."""

from __future__ import annotations

import comfy.model_management
import comfy.sample
import comfy.samplers
import latent_preview
import torch
from torch import Tensor

from ...glide_core.guidance import dynamic_threshold
from ...glide_core.inpainting import fit_mask, repainted, visible_from
from ...glide_core.pipeline import Sampling
from ...glide_core.samplers import SAMPLERS, Variance, sample_ddpm, seeded_noise
from ...glide_core.schedule import NUM_TIMESTEPS
from . import conditioning
from .model import VARIANCE, GlideModel, clip_denoised


def require(model, kind: str) -> None:
    """Raise ValueError unless the MODEL is a GLIDE model of this kind."""
    inner = model.model
    if not isinstance(inner, GlideModel):
        raise ValueError("model is not a GLIDE model: connect the MODEL of a GlideLoader")
    if inner.config.kind != kind:
        raise ValueError(f"model is a GLIDE {inner.config.kind} model, but this node needs the {kind} one")


def _sample_ddpm(model, x, sigmas, extra_args=None, **kwargs):
    variance = Variance()
    extra_args["model_options"]["transformer_options"][VARIANCE] = variance
    return sample_ddpm(model, x, sigmas, extra_args, variance=variance, **kwargs)


def sampler(options: Sampling):
    """GLIDE's sampler as the host's SAMPLER."""
    function = _sample_ddpm if options.sampler == "ddpm" else SAMPLERS[options.sampler]
    return comfy.samplers.KSAMPLER(function, {"eta": options.eta} if options.sampler == "ddim" else {})


def empty(shape: tuple[int, ...]) -> Tensor:
    return torch.zeros(shape, device=comfy.model_management.intermediate_device())


def _with_dynamic_threshold(model, percentile: float):
    model = model.clone()
    others = [f for f in model.model_options["sampler_post_cfg_function"] if f is not clip_denoised]
    model.model_options["sampler_post_cfg_function"] = others
    model.set_model_sampler_post_cfg_function(lambda args: dynamic_threshold(args["denoised"], percentile))
    return model


def _with_soft_masks(model, first: Tensor):
    """Pin the known pixels as ``glide_core.inpainting`` does: a soft mask is a denoise per pixel."""
    schedule = model.get_model_object("model_sampling").schedule
    start = float(schedule.timestep(first))

    def free(sigma, mask, extra_options):
        return repainted(mask, schedule.timestep(sigma), start).to(mask)

    model = model.clone()
    model.set_model_denoise_mask_function(free)
    return model


def inpaint(
    model, positive, negative, image: Tensor, mask: Tensor, options: Sampling, seed: int, denoise=1.0, context_from=0.0
) -> dict:
    """Repaint a part of pictures.

    Args:
        image: [B, 3, H, W] in -1..1; mask: [B, 1, H, W], 1 = repaint.
        context_from: part of the steps after which the model sees the surroundings.
    """
    schedule = model.get_model_object("model_sampling").schedule
    sigmas = schedule.respaced_sigmas(options.respacing, denoise)
    shown_at = _percent(schedule, sigmas, context_from)
    positive, negative = (
        conditioning.with_surroundings(part, image, mask, shown_at)
        for part in (positive, negative or conditioning.unconditional(positive))
    )
    latent = run(model, positive, negative, {"samples": image, "noise_mask": mask}, options, seed, denoise)
    return {"samples": latent["samples"]}


def _percent(schedule, sigmas: Tensor, context_from: float) -> float:
    """Part of the steps -> the host's part of the 1000 timesteps, between two steps."""
    shown = visible_from(sigmas, context_from)
    if shown == sigmas[0]:
        return 0.0
    if shown == 0:
        return 1.0
    before = sigmas[sigmas > shown][-1]
    return 1 - float(schedule.timestep(torch.stack([before, sigmas.new_tensor(shown)])).mean()) / (NUM_TIMESTEPS - 1)


def run(model, positive, negative, latent: dict, options: Sampling, seed: int, denoise: float = 1.0) -> dict:
    """Sample a LATENT.

    Args:
        negative: None is GLIDE's unconditional, the empty prompt.
        latent: where it has a noise mask, the pixels that this leaves at 0 are kept exactly.
        denoise: below 1 the latent is noised only to timestep 1000 * denoise and sampled from there (SDEdit).
    """
    samples = comfy.sample.fix_empty_latent_channels(model, latent["samples"])
    for name, part in (("positive", positive), ("negative", negative or positive)):
        conditioning.check_all(name, part, model.model, samples.shape[0])
    sigmas = model.get_model_object("model_sampling").schedule.respaced_sigmas(options.respacing, denoise)
    preview = latent_preview.prepare_callback(model, len(sigmas) - 1)
    mask = latent.get("noise_mask")
    if mask is not None:
        mask = fit_mask(mask.reshape(-1, 1, *mask.shape[-2:]), tuple(samples.shape[-2:]))
        model = _with_soft_masks(model, sigmas[:1])
    samples = comfy.sample.sample_custom(
        model if options.percentile is None else _with_dynamic_threshold(model, options.percentile),
        seeded_noise(samples.shape, seed) * options.temperature,
        options.guidance_scale,
        sampler(options),
        sigmas,
        positive,
        negative or conditioning.unconditional(positive),
        samples,
        noise_mask=mask,
        callback=preview,
        seed=seed,
    )
    return {**latent, "samples": samples}


def to_image(samples: Tensor) -> Tensor:
    """LATENT samples [B, 3, H, W] in -1..1 -> IMAGE [B, H, W, 3] in 0..1."""
    return ((samples.movedim(1, -1) + 1) / 2).clamp(0, 1)


def from_image(image: Tensor) -> Tensor:
    """IMAGE [B, H, W, 3 or 4] in 0..1 -> [B, 3, H, W] in -1..1."""
    return image[..., :3].movedim(-1, 1) * 2 - 1
