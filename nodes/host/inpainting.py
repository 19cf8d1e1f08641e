"""Inpainting through the host's sampling."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ...glide_core.diffusion.inpainting import REPAINT_PASSES, repainting, visible_sigma
from ...glide_core.diffusion.schedule import NUM_TIMESTEPS
from ...glide_core.pipeline import Sampling
from . import conditioning, sampling


def inpaint(
    model,
    positive,
    negative,
    image: Tensor,
    mask: Tensor,
    options: Sampling,
    seed: int,
    denoise=1.0,
    hide_until=0.0,
    repaint_passes=REPAINT_PASSES,
) -> dict:
    """Repaint a part of pictures -> LATENT.

    Args:
        image: [B, 3, H, W] in -1..1; mask: [B, 1, H, W], 1 = repaint.
        hide_until: part of the steps after which the model sees the surroundings.
        repaint_passes: how often decisive steps are taken until then.
    """
    schedule = model.get_model_object("model_sampling").schedule
    sigmas = sampling.sigmas(model, options.steps, denoise)
    shown = visible_sigma(sigmas, hide_until)
    shown_at = _percent(schedule, sigmas, shown)
    hole = (mask > 0).to(mask)
    positive, negative = (
        conditioning.shown_from(conditioning.with_surroundings(part, image, hole), shown_at)
        for part in (positive, negative or conditioning.unconditional(positive))
    )
    latent = {"samples": image, "noise_mask": mask}
    again = partial(repainting, times=repaint_passes, shown=shown)
    result = sampling.run(model, positive, negative, latent, options, seed, denoise, wrapper=again)
    return {"samples": result["samples"]}


def _percent(schedule, sigmas: Tensor, shown: float) -> float:
    """The sigma of a step -> the host's part of the 1000 timesteps, between this step and the one before."""
    if shown == sigmas[0]:
        return 0.0
    if shown == 0:
        return 1.0
    before = sigmas[sigmas > shown][-1]
    return 1 - float(schedule.timestep(torch.stack([before, sigmas.new_tensor(shown)])).mean()) / (NUM_TIMESTEPS - 1)
