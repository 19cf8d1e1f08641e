"""Inpainting through the host's sampling."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ...glide_core.diffusion.inpainting import REPAINT_PASSES, repainting, visible_sigma
from ...glide_core.diffusion.schedule import NUM_TIMESTEPS, NoiseSchedule
from ...glide_core.pipeline import Sampling
from . import conditioning
from .sampling import make_sigmas, sample_latent


def inpaint_latent(
    model,
    positive: list,
    negative: list | None,
    latent: dict,
    mask: Tensor,
    options: Sampling,
    *,
    seed: int,
    denoise: float = 1.0,
    hide_until: float = 0.0,
    repaint_passes: int = REPAINT_PASSES,
) -> dict:
    """Repaint a part of pictures -> LATENT.

    Args:
        negative: None is GLIDE's unconditional, the empty prompt.
        latent: the pictures, and their places in the batch if it has "batch_index".
        mask: [B, 1, H, W] in 0..1, 1 = repaint.
        denoise: below 1 the picture under the mask is noised only to timestep 1000 * denoise.
        hide_until: share of the steps in which the model does not see the surroundings.
        repaint_passes: how many times decisive steps are taken until then.
    """
    image: Tensor = latent["samples"]
    schedule = model.get_model_object("model_sampling").schedule
    sigmas = make_sigmas(model, options.steps, denoise)
    first_visible = visible_sigma(sigmas, hide_until)
    shown_at = _percent(schedule, sigmas, first_visible)
    if negative is None:
        negative = conditioning.unconditional(positive)
    touched = (mask > 0).to(mask)
    positive, negative = (
        conditioning.shown_from(conditioning.with_surroundings(prompt, image, touched), shown_at)
        for prompt in (positive, negative)
    )
    repainted = sample_latent(
        model,
        positive,
        negative,
        {**latent, "noise_mask": mask},
        options,
        seed=seed,
        denoise=denoise,
        wrap_sampler=partial(repainting, times=repaint_passes, shown=first_visible),
    )
    return {key: value for key, value in repainted.items() if key != "noise_mask"}


def _percent(schedule: NoiseSchedule, sigmas: Tensor, first_visible: float) -> float:
    """The sigma of a step as the host's share of the 1000 timesteps, halfway between this step and the one before."""
    if first_visible == sigmas[0]:
        return 0.0
    if first_visible == 0:
        return 1.0
    before = sigmas[sigmas > first_visible][-1]
    halfway = schedule.timestep(torch.stack([before, sigmas.new_tensor(first_visible)])).mean()
    return 1 - float(halfway) / (NUM_TIMESTEPS - 1)
