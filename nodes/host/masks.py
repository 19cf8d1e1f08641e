"""Which pixels are repainted at which step, as the host's samplers ask it."""

from __future__ import annotations

from torch import Tensor

from ...glide_core.diffusion.inpainting import repainted


def with_soft_masks(model, first_sigma: Tensor):
    """A clone of the MODEL for which grey in a noise mask is a denoise for each pixel.

    Args:
        first_sigma: [1], where sampling starts.
    """
    schedule = model.get_model_object("model_sampling").schedule
    first_timestep = float(schedule.timestep(first_sigma))

    def mask_at(sigma, mask, extra_options):
        return repainted(mask, schedule.timestep(sigma), first_timestep).to(mask)

    model = model.clone()
    model.set_model_denoise_mask_function(mask_at)
    return model
