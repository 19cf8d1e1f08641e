"""Runs that cannot end in a picture are refused before the first step, or end with an error that names the step."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from ...glide_core.diffusion.finite import FiniteCheck
from ...glide_core.memory import available
from ...glide_core.models.run_packing import packed_for_a_run, weight_bytes
from .graph import classes_before_sampler
from .refused import REFUSED
from .schedule import require_own_schedule

COARSEST = 4.0  # at this sigma a picture can barely be seen; samplers that take several steps go on below it
ROOM = 3  # times as much memory must be free as packed weights take
BLANK_FROM = 2.0  # below this sigma a fifth of what the model sees is the picture that it goes on with


def checked_steps(executor, noise, latent_image, sampler, sigmas, *args, **kwargs):
    """A wrapper of the host's outer_sample.

    Raises:
        ValueError: the steps end too early, or start too late for a blank latent; or the MODEL came through a node that
            can mean nothing for GLIDE.
        NotFiniteError: the model gave NaN or infinite numbers.
    """
    patcher = executor.class_obj.model_patcher
    model = patcher.model
    _require_meaningful_nodes()
    require_own_schedule(patcher.get_model_object("model_sampling"), model.config)
    _require_useful(sigmas.tolist(), latent_image)
    model.finite_check = FiniteCheck(f"the GLIDE {model.config.kind} model", sigmas)
    try:
        with _packed(model.diffusion_model):
            samples = executor(noise, latent_image, sampler, sigmas, *args, **kwargs)
        model.finite_check.require()
    finally:
        model.finite_check = None
    return samples


def _packed(unet: nn.Module) -> AbstractContextManager[None]:
    """Packed weights for this run, where there is room for them beside the plain ones."""
    room = available(torch.device("cpu")) > ROOM * weight_bytes(unet)
    return packed_for_a_run(unet) if room else nullcontext()


def _require_meaningful_nodes() -> None:
    for name in sorted(classes_before_sampler() & REFUSED.keys()):
        raise ValueError(
            f"the MODEL came through {name}, which would do nothing to a GLIDE model, because {REFUSED[name]}: take "
            "the node out"
        )


def _require_useful(steps: list[float], latent_image: Tensor) -> None:
    """Raise ValueError where these steps cannot end in a picture."""
    if len(steps) > 4 and steps[-1] == 0 and steps[-2] > COARSEST:
        raise ValueError(
            f"these steps jump from sigma {steps[-2]:.3g} to the finished picture: the scheduler linear_quadratic is "
            "not made for models like GLIDE; take sgm_uniform, normal, karras, beta or GlideScheduler"
        )
    if steps and steps[0] < BLANK_FROM and not latent_image.any():
        raise ValueError(
            f"these steps start at sigma {steps[0]:.3g}, where a picture is visible already, but the latent is blank: "
            "the result would be no picture. To paint from noise, set denoise to 1 and take sgm_uniform, normal, "
            "karras, beta or GlideScheduler (OptimalStepsScheduler is made for other models). To repaint a picture, "
            "connect it as the latent"
        )
