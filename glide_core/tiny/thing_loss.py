"""The objective of the models of things: ``DiffusionLoss`` with noise of varying strength and a learned variance."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from ..diffusion.schedule import NoiseSchedule
from ..train.loss import HIDING, DiffusionLoss, stratified_timesteps, timestep_density


class ThingLoss(DiffusionLoss):
    """The mean weighted squared error of eps, and the variational bound on the variance.

    Args:
        schedule, device, offset: see ``DiffusionLoss``.
        side: of the model's pictures, in pixels.
        focus: see ``timestep_density``, for pictures of that side. For smaller ones it moves to less noise, because
            averaging pixels averages noise, too.
        spread: standard deviation of the logarithm of what each picture's noise is multiplied with. The error of a
            sampler leaves more or less noise in a picture than the timestep says; a model that only saw exact amounts
            leaves the difference in the picture as snow.
        variance: weight of the bound, in nats a pixel. It trains the variance channels alone (Nichol & Dhariwal 2021).
    """

    def __init__(
        self,
        schedule: NoiseSchedule,
        device: torch.device,
        *,
        side: int,
        focus: tuple[float, float],
        offset: tuple[float, ...] = (),
        spread: float = 0.0,
        variance: float = 0.0,
    ) -> None:
        super().__init__(schedule, device, focus, offset)
        self.schedule, self.side, self.focus = schedule, side, focus
        self.spread, self.variance = spread, variance
        self.log_betas, self.log_posterior, self.mean_factor = (
            torch.from_numpy(values).float().to(device) for values in _posterior(schedule)
        )

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
        """The loss, one number; see ``Objective``."""
        t = stratified_timesteps(self._density(images.shape[-1]), len(images), generator).to(images.device)
        noise = self._noise(images.shape, generator).to(images)
        bar = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        noisy = (bar.sqrt() * images + (1 - bar).sqrt() * noise).contiguous(memory_format=torch.channels_last)
        eps, variance = model(noisy, t, tokens, mask, **conditions).float().chunk(2, dim=1)
        error = (eps - noise).square()
        bound = self._bound(error.detach(), variance, t) if self.variance else error.new_zeros(())
        if pixel_weights is not None:
            error = error * (1 + pixel_weights / (1 + (1 - bar) / bar / HIDING**2))
        return (self.weights[t] * error.mean(dim=(1, 2, 3))).mean() + self.variance * bound

    def _density(self, side: int) -> Tensor:
        focus = self.focus[0] - math.log(self.side / side), self.focus[1]
        return timestep_density(self.schedule, focus).cumsum(0)

    def _noise(self, shape: torch.Size, generator: torch.Generator) -> Tensor:
        return super()._noise(shape, generator) * torch.exp(
            self.spread * torch.randn(shape[0], 1, 1, 1, generator=generator)
        )

    def _bound(self, error: Tensor, variance: Tensor, t: Tensor) -> Tensor:
        """Kullback-Leibler divergence of one step backwards from the true one, mean over pixels, in nats."""
        upper, lower, factor = (
            values[t].view(-1, 1, 1, 1) for values in (self.log_betas, self.log_posterior, self.mean_factor)
        )
        log_variance = lower + (variance + 1) / 2 * (upper - lower)
        distance = factor.square() * error
        return 0.5 * (log_variance - lower - 1 + (lower.exp() + distance) / log_variance.exp()).mean()


def _posterior(schedule: NoiseSchedule) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each timestep: the logarithms of the largest and of the smallest useful variance of a step backwards, and how
    far an error of eps moves its mean."""
    betas, bar = schedule.betas, schedule.alphas_cumprod
    before = np.concatenate([[1.0], bar[:-1]])
    smallest = betas * (1 - before) / (1 - bar)
    smallest[0] = smallest[1]  # the first is 0
    return np.log(betas), np.log(smallest), betas / np.sqrt((1 - betas) * (1 - bar))
