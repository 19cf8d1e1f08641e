"""The objective of the models of things: ``DiffusionLoss`` with noise of varying strength and a learned variance."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..diffusion.schedule import NoiseSchedule
from ..models.text2im import Text2Im
from ..train.loss import HIDING, stratified_timesteps, timestep_density, timestep_weights


class ThingLoss:
    """Mean weighted squared error of eps, and the variational bound on the variance.

    Args:
        focus: see ``timestep_density``, for pictures of side ``side``; it moves with the side of those that are shown,
            because averaging pixels averages noise.
        offset: see ``DiffusionLoss``.
        spread: standard deviation of the log of what each picture's noise is multiplied with. A sampler's error leaves
            more or less noise in a picture than its timestep says; a model that only saw exact amounts keeps the rest
            as snow.
        variance: weight of the bound, in nats a pixel; it trains the variance channels alone (Nichol & Dhariwal 2021).
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
    ):
        self.schedule, self.side, self.focus = schedule, side, focus
        self.offset, self.spread, self.variance = offset, spread, variance
        self.alphas_cumprod = torch.from_numpy(schedule.alphas_cumprod).float().to(device)
        self.weights = timestep_weights(schedule).to(device)
        self.log_betas, self.log_posterior, self.mean_factor = (
            torch.from_numpy(values).float().to(device) for values in _posterior(schedule)
        )
        self.cumulative: dict[int, Tensor] = {}

    def __call__(
        self,
        model: Text2Im,
        images: Tensor,
        tokens: Tensor,
        mask: Tensor,
        generator: torch.Generator,
        *,
        extra: Tensor | None = None,
        **conditions,
    ) -> Tensor:
        """The loss, one number; arguments as ``DiffusionLoss`` has them."""
        t = stratified_timesteps(self._density(images.shape[-1]), len(images), generator).to(images.device)
        noise = self._noise(images.shape, generator).to(images)
        bar = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        noisy = (bar.sqrt() * images + (1 - bar).sqrt() * noise).contiguous(memory_format=torch.channels_last)
        eps, variance = model(noisy, t, tokens, mask, **conditions).float().chunk(2, dim=1)
        error = (eps - noise).square()
        bound = self._bound(error.detach(), variance, t) if self.variance else 0.0
        if extra is not None:
            error = error * (1 + extra / (1 + (1 - bar) / bar / HIDING**2))
        return (self.weights[t] * error.mean(dim=(1, 2, 3))).mean() + self.variance * bound

    def _density(self, side: int) -> Tensor:
        if side not in self.cumulative:
            focus = self.focus[0] - math.log(self.side / side), self.focus[1]
            self.cumulative[side] = timestep_density(self.schedule, focus).cumsum(0)
        return self.cumulative[side]

    def _noise(self, shape: torch.Size, generator: torch.Generator) -> Tensor:
        noise = torch.randn(shape, generator=generator)
        noise *= torch.exp(self.spread * torch.randn(len(noise), 1, 1, 1, generator=generator))
        for k, std in enumerate(self.offset):
            grid = torch.randn(*shape[:2], 4**k, 4**k, generator=generator)
            grid *= torch.rand(len(noise), 1, 1, 1, generator=generator)
            noise += std * F.interpolate(grid, shape[-2:], mode="bilinear")
        return noise

    def _bound(self, error: Tensor, variance: Tensor, t: Tensor) -> Tensor:
        """Kullback-Leibler divergence of one step backwards from the true one, mean over pixels, in nats."""
        upper, lower, factor = (
            values[t].view(-1, 1, 1, 1) for values in (self.log_betas, self.log_posterior, self.mean_factor)
        )
        log_variance = lower + (variance + 1) / 2 * (upper - lower)
        distance = factor.square() * error
        return 0.5 * (log_variance - lower - 1 + (lower.exp() + distance) / log_variance.exp()).mean()


def _posterior(schedule: NoiseSchedule) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each timestep: log of the largest and the smallest useful variance of a step backwards, and how far an error
    of eps moves its mean."""
    betas, bar = schedule.betas, schedule.alphas_cumprod
    before = np.concatenate([[1.0], bar[:-1]])
    smallest = betas * (1 - before) / (1 - bar)
    smallest[0] = smallest[1]  # the first is 0
    return np.log(betas), np.log(smallest), betas / np.sqrt((1 - betas) * (1 - bar))
