"""Noise schedules and respacing.

GLIDE is trained on 1000 discrete timesteps. Everything here is float64 on the CPU; samplers see sigmas in
k-diffusion's convention, x = x_start + sigma * noise, so alphas_cumprod = 1 / (1 + sigma^2).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..errors import OptionError

NUM_TIMESTEPS = 1000
# Sigmas found for DeepFloyd IF's first stage, a pixel-space base model like GLIDE's (Sabour 2024, "Align Your Steps").
ALIGNED_SIGMAS = (160.41, 8.081, 3.315, 1.885, 1.207, 0.785, 0.553, 0.293, 0.186, 0.030, 0.006)
NOISE_FROM = 990  # from this timestep on a picture is noise to the eye: fast27 starts at 997


def make_betas(name: str) -> np.ndarray:
    """betas [1000] of "squaredcos_cap_v2" (Nichol & Dhariwal 2021, eq. 17; base) or "linear" (Ho 2020; upsampler)."""
    if name == "linear":
        return np.linspace(1e-4, 2e-2, NUM_TIMESTEPS)
    if name == "squaredcos_cap_v2":
        # Scalar cosines: numpy's vectorised one differs in the last bit, and the last betas magnify it.
        bar = [math.cos((i / NUM_TIMESTEPS + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(NUM_TIMESTEPS + 1)]
        return np.array([min(1 - b / a, 0.999) for a, b in zip(bar, bar[1:])])
    raise OptionError(f"unknown noise schedule {name!r}: use 'squaredcos_cap_v2' or 'linear'")


class NoiseSchedule:
    """One of GLIDE's two noise schedules.

    Attributes:
        betas, alphas_cumprod, sigmas: float64 arrays [1000], timestep 0 (almost clean) to 999 (almost noise).
    """

    def __init__(self, name: str):
        self.name = name
        self.betas = make_betas(name)
        self.alphas_cumprod = np.cumprod(1 - self.betas)
        self.sigmas = np.sqrt((1 - self.alphas_cumprod) / self.alphas_cumprod)
        self._log_sigmas = np.log(self.sigmas)

    def timestep(self, sigma: Tensor) -> Tensor:
        """sigmas -> timesteps (float32, fractional between the trained ones: linear in log sigma)."""
        log_sigma = sigma.detach().cpu().double().log().numpy()  # Apple's GPUs have no float64
        return torch.from_numpy(np.asarray(self._timestep(log_sigma), dtype=np.float32)).to(sigma.device)

    def _timestep(self, log_sigma: np.ndarray) -> np.ndarray:
        timesteps: np.ndarray = np.interp(log_sigma, self._log_sigmas, np.arange(NUM_TIMESTEPS, dtype=np.float64))
        return timesteps

    def is_noise(self, sigma: float) -> bool:
        """Whether sampling from this sigma starts from noise alone."""
        return bool(sigma >= np.float32(self.sigmas[NOISE_FROM]))

    def respaced_sigmas(self, respacing: str | int, denoise: float = 1.0) -> Tensor:
        """The sigmas a sampler walks: descending, float32 [steps + 1], the last one 0.

        Args:
            respacing: see ``respace``; or "aysN": N steps aligned for few of them ("ays10"), made for base models.
            denoise: part (0..1] of the process to walk; below 1 only timesteps under 1000 * denoise are kept.
        Raises:
            ValueError: the respacing or denoise is wrong, or nothing is left to walk.
        """
        if not 0 < denoise <= 1:
            raise OptionError(f"denoise is {denoise}: give a number above 0 and up to 1")
        text = str(respacing).strip()
        aligned = text.startswith("ays")
        sigmas = self._aligned_sigmas(_count(text[3:], text)) if aligned else self.sigmas[respace(text)][::-1]
        sigmas = sigmas[self._timestep(np.log(sigmas)) < NUM_TIMESTEPS * denoise]
        if not sigmas.size:
            raise OptionError(f"denoise {denoise} leaves no step of respacing {respacing!r}: raise one of them")
        return torch.tensor([*sigmas, 0.0], dtype=torch.float32)

    def _aligned_sigmas(self, count: int) -> np.ndarray:
        """The published steps, or as many between them as it takes (log-linear); the last sigma becomes the final 0."""
        known = np.linspace(0, 1, len(ALIGNED_SIGMAS))
        log_sigmas = np.interp(np.linspace(0, 1, count + 1)[:-1], known, np.log(ALIGNED_SIGMAS))
        return np.exp(log_sigmas).clip(max=self.sigmas[-1])


def respace(respacing: str | int) -> list[int]:
    """Choose timesteps to keep (ascending), by the reference's rules.

    Args:
        respacing: a number of steps 1..1000, spread from the first to the last timestep; "a,b,c": the process cut in
            equal sections with that many steps each; "ddimN": N steps of one integer stride from 0 (Song 2020);
            "fast27": "10,10,3,2,2" with the last timestep replaced by the third from last.
    Raises:
        ValueError: what is wrong with the respacing.
    """
    text = str(respacing).strip()
    if text == "fast27":
        return sorted(set(respace("10,10,3,2,2")) - {NUM_TIMESTEPS - 1} | {NUM_TIMESTEPS - 3})
    if text.startswith("ddim"):
        return _strided(_count(text[4:], text))
    counts = [_count(part, text) for part in text.split(",")]
    if counts == [1]:
        return [NUM_TIMESTEPS - 1]  # the reference keeps timestep 0 here, which cannot start from noise
    size, extra = divmod(NUM_TIMESTEPS, len(counts))
    steps, start = [], 0
    for i, count in enumerate(counts):
        length = size + (i < extra)
        if count > length:
            raise OptionError(f"respacing {text!r}: a section of {length} timesteps cannot have {count} steps")
        stride = (length - 1) / (count - 1) if count > 1 else 1
        steps += _spread(start, stride, count)
        start += length
    return steps


def _spread(start: int, stride: float, count: int) -> list[int]:
    """Rounded multiples of stride, summed up as the reference does: the last bit decides ties."""
    steps, position = [], 0.0
    for _ in range(count):
        steps.append(start + round(position))
        position += stride
    return steps


def _strided(count: int) -> list[int]:
    for stride in range(1, NUM_TIMESTEPS):
        steps = range(0, NUM_TIMESTEPS, stride)
        if len(steps) == count:
            return list(steps)
    raise OptionError(f"respacing 'ddim{count}': no integer stride gives exactly {count} of {NUM_TIMESTEPS} timesteps")


def _count(part: str, respacing: str) -> int:
    if not part.strip().isdecimal() or not 1 <= int(part) <= NUM_TIMESTEPS:
        raise OptionError(
            f"respacing {respacing!r}: {part.strip()!r} is not a number of steps from 1 to {NUM_TIMESTEPS}; "
            "use a number, 'fast27', 'ddimN', 'aysN' or a list such as '10,10,3,2,2'"
        )
    return int(part)
