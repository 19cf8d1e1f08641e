"""Sampling through the host: its guidance, progress, preview, cancel and memory management; our samplers and noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import comfy.sample
import comfy.samplers
import latent_preview
from torch import Tensor

from ...glide_core.diffusion.noise import StepNoise, picture_seed, seeded_noise
from ...glide_core.diffusion.samplers import SAMPLERS, Variance, sample_ddpm
from ...glide_core.pipeline import Sampling
from . import conditioning
from .images import fit_noise_mask
from .masks import with_soft_masks
from .model import GlideModel
from .threshold import DYNAMIC, Threshold, with_threshold
from .unet import VARIANCE

DOWNSCALE = "downscale_ratio_spacial"  # key of a LATENT that says for which latents its size was meant


def require_glide(model) -> None:
    """Raise ValueError unless the MODEL is GLIDE's."""
    if not isinstance(model.model, GlideModel):
        raise ValueError("model is not a GLIDE model: connect the MODEL of a GlideLoader")


NODES_OF_KINDS = {
    "base": "GlideSampler",
    "base-inpaint": "GlideInpaint",
    "upsample": "GlideUpsampler without original and mask",
    "upsample-inpaint": "GlideUpsampler with original and mask",
}


def require_kind(model, kind: str) -> None:
    """Raise ValueError unless the MODEL is a GLIDE model of this kind."""
    require_glide(model)
    found = model.model.config.kind
    if found != kind:
        raise ValueError(
            f"model is a GLIDE {found} model, but this node needs the {kind} one: connect the MODEL of a GlideLoader "
            f"that loads the {kind} model, or use this model in {NODES_OF_KINDS[found]}"
        )


def require_own_clip(model, clip) -> None:
    """Raise ValueError unless the CLIP was loaded together with the MODEL."""
    if getattr(clip.cond_stage_model, "encoder", model.model.encoder) != model.model.encoder:
        raise ValueError(
            "clip belongs to another GLIDE model: connect the CLIP of the GlideLoader that loaded this node's model"
        )


def require_prompts(model, positive: list, negative: list | None) -> None:
    """Raise ValueError unless both are CONDITIONINGs of the MODEL's own text transformer; negative may be missing."""
    for name, prompts in (("positive", positive), ("negative", negative or [])):
        for _, options in prompts:
            conditioning.require_encoder(options, model.model.encoder, model.model.config.kind, name)


def size_multiple(model) -> int:
    """What the sides of pictures must be multiples of for a GLIDE MODEL."""
    return int(model.model.config.size_multiple)


def _sample_ddpm(model, x, sigmas, extra_args=None, **kwargs):
    variance = Variance()
    extra_args["model_options"]["transformer_options"][VARIANCE] = variance
    return sample_ddpm(model, x, sigmas, extra_args, variance=variance, **kwargs)


def _with_seeds_of_pictures(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A sampling function whose steps add the noise of the pictures that ``SeededNoise`` made, also of a single one."""

    def sample(model, x: Tensor, sigmas: Tensor, extra_args: dict[str, Any], **options: Any) -> Tensor:
        seed = extra_args.get("seed")
        if isinstance(seed, BatchSeed) and "noise" not in options:
            options["noise"] = StepNoise(seed.pictures, len(x))
        return function(model, x, sigmas, extra_args, **options)

    return sample


def make_sampler(name: str, eta: float, wrap_sampler: Callable | None = None, noise: StepNoise | None = None):
    """GLIDE's sampler of this name as the host's SAMPLER.

    Args:
        eta: of ddim; the other samplers ignore it.
        wrap_sampler: makes another sampling function of the sampler's own.
        noise: what the steps add; without it the sampler makes it of the seed that the host passes.
    """
    function = _sample_ddpm if name == "ddpm" else SAMPLERS[name]
    if wrap_sampler:
        function = wrap_sampler(function)
    options: dict[str, object] = {"eta": eta} if name == "ddim" else {}
    if noise is not None:
        options["noise"] = noise
    return comfy.samplers.KSAMPLER(_with_seeds_of_pictures(function), options)


def make_sigmas(model, steps: str | int, denoise: float) -> Tensor:
    """A respacing of the model's own schedule as SIGMAS; see ``NoiseSchedule.respaced_sigmas`` for denoise."""
    return model.model.schedule.respaced_sigmas(steps, denoise)


class BatchSeed(int):
    """A seed that knows the seeds of the pictures in a batch.

    The host hands it from a NOISE to a SAMPLER, which sees nothing else of the LATENT's places.
    """

    pictures: list[int]


@dataclass
class SeededNoise:
    """GLIDE's noise as the host's NOISE: each picture of a batch has a seed of its own, see ``picture_seed``.

    Attributes:
        seed: a ``BatchSeed`` once there is noise. The host reads it afterwards and gives it to the SAMPLER.
        temperature: scale of the noise.
        batch_index: the place of the first picture in its batch.
    """

    seed: int
    temperature: float = 1.0
    batch_index: int = 0

    def generate_noise(self, latent: dict) -> Tensor:
        seeds = picture_seeds(placed(latent, self.batch_index), int(self.seed))
        self.seed = BatchSeed(self.seed)
        self.seed.pictures = seeds
        return seeded_noise(latent["samples"].shape, seeds) * self.temperature


def placed(latent: dict, first: int) -> dict:
    """The LATENT with its pictures ``first`` places further back in their batch."""
    if first == 0:
        return latent
    return {**latent, "batch_index": [first + place for place in _places(latent)]}


def picture_seeds(latent: dict, seed: int) -> list[int]:
    """The seed of each picture of a LATENT: LatentFromBatch and the like keep its place in the first batch."""
    return [picture_seed(seed, k) for k in _places(latent)]


def _places(latent: dict) -> Sequence[int]:
    return latent.get("batch_index") or range(len(latent["samples"]))


def sample_latent(
    model,
    positive: list,
    negative: list | None,
    latent: dict,
    options: Sampling,
    *,
    seed: int,
    denoise: float = 1.0,
    wrap_sampler: Callable | None = None,
) -> dict:
    """Sample a LATENT.

    Args:
        negative: None is GLIDE's unconditional, the empty prompt.
        latent: where it has a noise mask, the pixels that this leaves at 0 are kept exactly.
        denoise: below 1 the latent is noised only to timestep 1000 * denoise and sampled from there (SDEdit).
        wrap_sampler: see ``make_sampler``.
    """
    samples = fix_empty_latent(model, latent)
    if negative is None:
        negative = conditioning.unconditional(positive)
    model.model.check_size(samples, "latent")
    require_prompts(model, positive, negative)
    for name, prompts in (("positive", positive), ("negative", negative)):
        conditioning.require_prompt_each(name, prompts, len(samples))
    if options.threshold is not None:
        model = with_threshold(model, Threshold(DYNAMIC, options.threshold))
    sigmas = make_sigmas(model, options.steps, denoise)
    mask = fit_noise_mask(latent, samples.shape[-2:])
    if mask is not None:
        model = with_soft_masks(model, sigmas[:1])
    latent = {**latent, "samples": samples}
    step_noise = StepNoise(picture_seeds(latent, seed), len(samples))
    samples = comfy.sample.sample_custom(
        model,
        SeededNoise(seed, options.temperature).generate_noise(latent),
        options.guidance_scale,
        make_sampler(options.sampler, options.eta, wrap_sampler, step_noise),
        sigmas,
        positive,
        negative,
        samples,
        noise_mask=mask,
        callback=latent_preview.prepare_callback(model, len(sigmas) - 1),
        seed=seed,
    )
    kept = {key: value for key, value in latent.items() if key != DOWNSCALE}
    return {**kept, "samples": samples}


def fix_empty_latent(model, latent: dict) -> Tensor:
    """The samples of a LATENT; those of ComfyUI's EmptyLatentImage get the model's channels and size."""
    ratio = {"downscale_ratio_spacial": latent[DOWNSCALE]} if DOWNSCALE in latent else {}  # newer hosts alone
    return comfy.sample.fix_empty_latent_channels(model, latent["samples"], **ratio)
