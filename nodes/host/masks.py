"""The noise mask of a LATENT as ``glide_core.diffusion.inpainting`` means it."""

from __future__ import annotations

from torch import Tensor

from ...glide_core.diffusion.inpainting import fit_mask, repainted


def fitted(latent: dict, size: tuple[int, int]) -> Tensor | None:
    """The noise mask [B, 1, height, width], or None: a pixel that it touches at all is repainted."""
    mask = latent.get("noise_mask")
    return None if mask is None else fit_mask(mask.reshape(-1, 1, *mask.shape[-2:]), size)


def with_soft_masks(model, sigma: Tensor):
    """A clone of the MODEL that takes a soft mask for a denoise per pixel, where sampling starts from sigma [1]."""
    schedule = model.get_model_object("model_sampling").schedule
    first = float(schedule.timestep(sigma))

    def free(sigma, mask, extra_options):
        return repainted(mask, schedule.timestep(sigma), first).to(mask)

    model = model.clone()
    model.set_model_denoise_mask_function(free)
    return model
