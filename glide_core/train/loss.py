"""GLIDE's training objective on eps (paper section 2.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..diffusion.noise import add_low_frequencies
from ..diffusion.schedule import NUM_TIMESTEPS, NoiseSchedule
from ..models.config import ModelConfig

MAX_SNR = 5.0  # Min-SNR (Hang 2023): almost clean pictures teach little, so their weight stops growing here
HIDING = 6.0  # the sigma at which a small object in a 64x64 picture can hardly be made out any more
MAX_WEIGHT = 500.0  # in bf16 the eps of the last timesteps is not precise enough to deserve a larger weight


class Objective(Protocol):
    """What the trainer minimises; ``DiffusionLoss`` is the one that GLIDE's models are trained with."""

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        tokens: Tensor,
        mask: Tensor,
        generator: torch.Generator,
        *,
        conditions: Mapping[str, Tensor],
        pixel_weights: Tensor | None = None,
    ) -> Tensor:
        """Run the model once on noised pictures and return the loss, one number.

        Args:
            model: a ``Text2Im``, perhaps wrapped for several processes.
            images: [B, 3, H, W] in -1..1.
            tokens, mask: [B, N], see ``Text2Im``.
            generator: on the CPU, for timesteps and noise.
            conditions: the model's other inputs by name, see ``Text2Im``.
            pixel_weights: [B, 1, H, W], what to add to each pixel's weight of 1.
        """


MakeObjective = Callable[[ModelConfig, torch.device], Objective]


def timestep_weights(schedule: NoiseSchedule) -> Tensor:
    """Weight [1000] of the squared error of eps at each timestep.

    A weight of 1 / alphas_cumprod would make it the error of x_start. Towards pure noise, where only the caption tells
    what the picture shows, the weight grows more slowly than that, but it must grow, or backgrounds get wrong colours.
    """
    bar = schedule.alphas_cumprod
    weights = np.minimum(1 / bar, 5 / np.sqrt(bar)) * np.minimum(1, MAX_SNR * (1 - bar) / bar)
    return torch.from_numpy(np.minimum(weights, MAX_WEIGHT)).float()


def timestep_density(schedule: NoiseSchedule, focus: tuple[float, float] | None) -> Tensor:
    """Probability [1000] of drawing each timestep.

    Args:
        focus: mean and standard deviation of log(sigma). Nine of ten draws follow this normal distribution (Karras
            2022, section 5) and one is uniform. With None all are uniform.
    """
    uniform = np.full(NUM_TIMESTEPS, 1 / NUM_TIMESTEPS)
    if focus is None:
        return torch.from_numpy(uniform)
    log_sigma = np.log(schedule.sigmas)
    normal = np.exp(-0.5 * ((log_sigma - focus[0]) / focus[1]) ** 2) * np.gradient(log_sigma)
    return torch.from_numpy(0.9 * normal / normal.sum() + 0.1 * uniform)


class DiffusionLoss:
    """The mean weighted squared error of eps over random timesteps; called as ``Objective`` describes.

    The variance channels stay at zero, in the middle between the smallest and the largest useful variance.

    Args:
        schedule: of the model.
        device: on which the losses will be computed.
        focus: see ``timestep_density``. It spends the training on the noise levels at which most is decided. In the
            base's schedule a scene's layout and colours are decided at sigma 1 to 60, which few uniform draws hit.
        offset: see ``add_low_frequencies``. Plain noise has hardly any low frequencies, so a short training on it does
            not learn to mend a colour that is wrong over an area.
    """

    def __init__(
        self,
        schedule: NoiseSchedule,
        device: torch.device,
        focus: tuple[float, float] | None = None,
        offset: tuple[float, ...] = (),
    ) -> None:
        self.offset = offset
        self.alphas_cumprod = torch.from_numpy(schedule.alphas_cumprod).float().to(device)
        self.cumulative = timestep_density(schedule, focus).cumsum(0)
        self.weights = timestep_weights(schedule).to(device)

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        tokens: Tensor,
        mask: Tensor,
        generator: torch.Generator,
        *,
        conditions: Mapping[str, Tensor],
        pixel_weights: Tensor | None = None,
    ) -> Tensor:
        """The loss, one number; see ``Objective``.

        Above a sigma of ``HIDING`` the added pixel weights fade: the noise hides what is there, and a model that is
        pressed to guess it draws what weighs much too often.
        """
        t = stratified_timesteps(self.cumulative, len(images), generator).to(images.device)
        noise = self._noise(images.shape, generator).to(images)
        bar = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        noisy = (bar.sqrt() * images + (1 - bar).sqrt() * noise).contiguous(memory_format=torch.channels_last)
        eps: Tensor = model(noisy, t, tokens, mask, **conditions)[:, :3].float()
        error = (eps - noise).square()
        if pixel_weights is not None:
            error = error * (1 + pixel_weights / (1 + (1 - bar) / bar / HIDING**2))
        return (self.weights[t] * error.mean(dim=(1, 2, 3))).mean()

    def _noise(self, shape: torch.Size, generator: torch.Generator) -> Tensor:
        noise = torch.randn(shape, generator=generator)
        add_low_frequencies(noise, self.offset, generator)
        return noise


def stratified_timesteps(cumulative: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw [count] timesteps in random order, one from every ``1 / count`` of the probability.

    This makes the loss of a batch less noisy than independent draws do.

    Args:
        cumulative: float64 [1000], the sums of ``timestep_density``.
    """
    position = torch.rand(count, generator=generator) + torch.randperm(count, generator=generator)
    return torch.searchsorted(cumulative, position.double() / count).clamp(max=NUM_TIMESTEPS - 1)
