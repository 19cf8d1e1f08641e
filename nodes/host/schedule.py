"""GLIDE's noise schedules as the host's model_sampling."""

from __future__ import annotations

import comfy.model_sampling
import torch
from torch import Tensor

from ...glide_core.diffusion.prediction import predict_x_start
from ...glide_core.diffusion.schedule import NOISE_FROM, NoiseSchedule
from ...glide_core.models.config import ModelConfig
from .graph import classes_before_sampler


class ModelSampling(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.EPS):
    """GLIDE's noise schedules. The stock class rounds timesteps and cannot make the cosine schedule."""

    def __init__(self, schedule: NoiseSchedule):
        if not isinstance(schedule, NoiseSchedule):  # the host's ModelNoiseScale makes another one of the host's config
            raise ValueError("ModelNoiseScale cannot scale the noise of a GLIDE model: take the node out")
        super().__init__()
        self.schedule = schedule
        self._register_schedule(given_betas=torch.from_numpy(schedule.betas))

    @property
    def sigma_max(self) -> Tensor:
        """Where the host's schedulers start.

        The cosine schedule goes on to sigma 20291. All of that is the same noise to the model, but karras and
        exponential would spend half of their steps there.
        """
        return self.sigmas[NOISE_FROM]

    @property
    def multiplier(self) -> float:
        """Only flow models have it, and only HiDreamO1PatchSeamSmoothing asks."""
        raise ValueError("HiDreamO1PatchSeamSmoothing smooths what only HiDream-O1 has: take the node out")

    def timestep(self, sigma: Tensor) -> Tensor:
        return self.schedule.timestep(sigma)

    def calculate_denoised(self, sigma, model_output, model_input):
        return predict_x_start(model_input, sigma, model_output.to(model_input))

    def noise_scaling(self, sigma, noise, latent_image, max_denoise=False):
        if max_denoise or self.schedule.is_noise(float(sigma.min())) or not latent_image.any():
            # The stock class adds the latent here, so that a hole would start from what should be painted over. And
            # where nothing is to be seen yet, the model was trained on noise of full strength, as the library starts.
            return noise * (1 + sigma.view(sigma.shape[:1] + (1,) * (noise.ndim - 1)) ** 2).sqrt()
        return super().noise_scaling(sigma, noise, latent_image)


def require_own_schedule(sampling, config: ModelConfig) -> None:
    """Raise ValueError where a node replaced the schedule, which would start from another noise and leave snow."""
    if isinstance(sampling, ModelSampling):
        return
    found = sorted(name for name in classes_before_sampler() if name.startswith("ModelSampling"))
    names = ", ".join(found) or "ModelSamplingDiscrete or a similar node"
    raise ValueError(
        f"{names} replaced the noise schedule of a GLIDE {config.kind} model, which was trained on its own: take the "
        "node out"
    )
