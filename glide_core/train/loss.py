"""GLIDE's training objective on eps (paper section 2.1), and the pictures each kind of model is shown."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..diffusion.schedule import NUM_TIMESTEPS, NoiseSchedule
from ..models.config import ModelConfig
from ..models.text2im import Text2Im, quantize
from .masks import random_masks

MAX_SNR = 5.0  # Min-SNR (Hang 2023): clean pictures teach little, so their weight ends here
UPSCALING = 4
HIDING = 6.0  # sigma at which a small thing in a 64x64 picture can hardly be made out any more
MAX_WEIGHT = 500.0  # the last timesteps' eps has no more precision to give in bf16


def timestep_weights(schedule: NoiseSchedule) -> Tensor:
    """Weight [1000] of the squared eps error at each timestep.

    1 / alphas_cumprod would weigh the error of x_start; towards pure noise, where only the caption tells what the
    picture is, it grows slower, but it must grow, or backgrounds come out in wrong colours.
    """
    bar = schedule.alphas_cumprod
    weights = np.minimum(1 / bar, 5 / np.sqrt(bar)) * np.minimum(1, MAX_SNR * (1 - bar) / bar)
    return torch.from_numpy(np.minimum(weights, MAX_WEIGHT)).float()


def timestep_density(schedule: NoiseSchedule, focus: tuple[float, float] | None) -> Tensor:
    """Probability [1000] of drawing each timestep.

    Args:
        focus: mean and standard deviation of log(sigma): nine of ten draws follow this normal distribution (Karras
            2022, section 5), one is uniform. None: all are uniform.
    """
    uniform = np.full(NUM_TIMESTEPS, 1 / NUM_TIMESTEPS)
    if focus is None:
        return torch.from_numpy(uniform)
    log_sigma = np.log(schedule.sigmas)
    normal = np.exp(-0.5 * ((log_sigma - focus[0]) / focus[1]) ** 2) * np.gradient(log_sigma)
    return torch.from_numpy(0.9 * normal / normal.sum() + 0.1 * uniform)


class DiffusionLoss:
    """Mean weighted squared error of eps, over timesteps drawn by ``timestep_density``.

    ``focus`` spends the training on the noise levels where most is decided: a scene's layout and colours, for one, at
    sigma 1 to 60, of which uniform timesteps of the base's schedule draw few.

    ``offset`` adds low frequencies to the noise: value k is the largest standard deviation of a grid of 4^k x 4^k
    numbers, spread over the picture; every picture gets a random part of it. Plain noise has almost none, so it hardly
    teaches to mend a colour that went wrong over an area, and a short training leaves colours wrong.

    The variance channels stay zero: the middle between the smallest and the largest useful variance.
    """

    def __init__(
        self,
        schedule: NoiseSchedule,
        device: torch.device,
        focus: tuple[float, float] | None = None,
        offset: tuple[float, ...] = (),
    ):
        self.offset = offset
        self.alphas_cumprod = torch.from_numpy(schedule.alphas_cumprod).float().to(device)
        self.cumulative = timestep_density(schedule, focus).cumsum(0)
        self.weights = timestep_weights(schedule).to(device)

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
        """The loss, one number.

        Args:
            images: [B, 3, H, W] in -1..1.
            generator: the CPU's, for timesteps and noise.
            extra: [B, 1, H, W], weight to add to that of a pixel where noise does not hide yet what is there: above
                ``HIDING`` it fades, or the model would draw heavy things too often.
            tokens, mask, conditions: see ``Text2Im``.
        """
        t = stratified_timesteps(self.cumulative, len(images), generator).to(images.device)
        noise = torch.randn(images.shape, generator=generator)
        for k, std in enumerate(self.offset):
            grid = torch.randn(*images.shape[:2], 4**k, 4**k, generator=generator)
            grid *= torch.rand(len(images), 1, 1, 1, generator=generator)
            noise += std * F.interpolate(grid, images.shape[-2:], mode="bilinear")
        noise = noise.to(images)
        bar = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        noisy = (bar.sqrt() * images + (1 - bar).sqrt() * noise).contiguous(memory_format=torch.channels_last)
        eps = model(noisy, t, tokens, mask, **conditions)[:, :3].float()
        error = (eps - noise).square()
        if extra is not None:
            error = error * (1 + extra / (1 + (1 - bar) / bar / HIDING**2))
        return (self.weights[t] * error.mean(dim=(1, 2, 3))).mean()


def stratified_timesteps(cumulative: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """[count] timesteps in random order, one from every ``1 / count`` of the probability: less noisy a loss."""
    position = torch.rand(count, generator=generator) + torch.randperm(count, generator=generator)
    return torch.searchsorted(cumulative, position.double() / count).clamp(max=NUM_TIMESTEPS - 1)


def prepare(config: ModelConfig, pictures: np.ndarray, resolution: int, rng: np.random.Generator):
    """Pictures of a data set -> what the model is trained on.

    Args:
        pictures: uint8 [B, S, S, 3], S = config.image_size.
        resolution: a base model sees whole pictures reduced to this side, an upsampler random crops of it.
    Returns:
        images [B, 3, R, R] in -1..1, and the model's conditions.
    """
    conditions = {}
    if config.low_res:
        # On the grid of low_res, as whole pictures are: what repeats every 4 pixels has its phase from nothing else.
        top, left = UPSCALING * rng.integers((pictures.shape[1] - resolution) // UPSCALING + 1, size=2)
        images = _normalised(pictures[:, top : top + resolution, left : left + resolution])
        conditions["low_res"] = quantize(F.avg_pool2d(images, UPSCALING))
    else:
        images = _normalised(pictures)
        if resolution != images.shape[-1]:
            images = F.interpolate(images, (resolution,) * 2, mode="area")
    if config.inpaint:  # low_res shows the whole picture all the same
        conditions["image"] = images
        conditions["known"] = torch.from_numpy(random_masks(rng, len(images), resolution))
    return images, conditions


def _normalised(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
