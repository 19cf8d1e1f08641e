"""Samplers, one short function each.

All share k-diffusion's convention and ComfyUI's KSAMPLER call: ``sample_x(model, x, sigmas, extra_args, callback,
disable, **options) -> x`` with

    x: [B, 3, H, W], x_start + sigmas[0] * noise;
    sigmas: [steps + 1] descending; the last one may be 0 (a clean picture);
    model(x, sigma, **extra_args): x_start, for sigma [B];
    callback: called once per step with a dict of i, x, sigma, sigma_hat and denoised; raise from it to stop;
    disable: accepted for ComfyUI, which passes it to hide k-diffusion's progress bar;
    noise: function of x that gives a step's fresh noise, default: seeded by extra_args["seed"]; only ddpm and ddim draw
        any.

DDPM's and DDIM's formulas are the papers', of x_vp = x / sqrt(1 + sigma^2) and alphas_cumprod = 1 / (1 + sigma^2),
written for x and sigma.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .noise import StepNoise

Noise = Callable[[Tensor], Tensor]
Model = Callable[..., Tensor]
Sampler = Callable[..., Tensor]
StepCallback = Callable[[dict[str, Any]], None]


class Variance:
    """Side channel for the learned variance: the model leaves it here, ``sample_ddpm`` takes it. Another one is for the
    gradient of guidance.

    An object, because ComfyUI copies dicts and lists on their way to the model.
    """

    def __init__(self) -> None:
        self.value: Tensor | None = None

    def put(self, value: Tensor) -> None:
        """value: [B, 3, H, W], the U-Net's variance channels."""
        self.value = value

    def take(self, x: Tensor) -> Tensor | None:
        """The variance of the model call just made, like x, or None if that left none that fits x."""
        value, self.value = self.value, None
        return value.to(x) if value is not None and value.shape == x.shape else None


def _step_noise(noise: Noise | None, extra_args: dict[str, Any], x: Tensor) -> Noise:
    return noise or StepNoise(extra_args.get("seed") or 0, x.shape[0])


def _report(callback: StepCallback | None, i: int, x: Tensor, sigma: Tensor, denoised: Tensor) -> None:
    if callback is not None:
        callback({"i": i, "x": x, "sigma": sigma, "sigma_hat": sigma, "denoised": denoised})


def _steps(sigmas: Tensor) -> enumerate[tuple[float, float]]:
    """i, (sigma, next sigma) of each step, as numbers: a look at a GPU's tensor in each step would wait for the GPU."""
    values = sigmas.tolist()
    return enumerate(zip(values, values[1:]))


@torch.no_grad()
def sample_ddpm(
    model: Model,
    x: Tensor,
    sigmas: Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: StepCallback | None = None,
    disable: bool | None = None,
    *,
    noise: Noise | None = None,
    variance: Variance | None = None,
    gradient: Variance | None = None,
) -> Tensor:
    """Ancestral sampling with GLIDE's learned-range variance (Ho 2020, alg. 2; Nichol & Dhariwal 2021, eq. 15).

    Options:
        variance: the ``Variance`` the model fills; without it the posterior variance is used.
        gradient: where the model leaves the gradient of a log-probability with respect to x, which moves the mean of
            the step by the variance (Dhariwal & Nichol 2021, alg. 1).
    """
    extra_args = extra_args or {}
    noise = _step_noise(noise, extra_args, x)
    ones = x.new_ones(x.shape[0])
    for i, (sigma, sigma_next) in _steps(sigmas):
        denoised = model(x, sigmas[i] * ones, **extra_args)
        _report(callback, i, x, sigmas[i], denoised)
        learned = variance.take(x) if variance is not None else None
        x = denoised + (sigma_next / sigma) ** 2 * (x - denoised)
        posterior = (sigma**2 - sigma_next**2) * (sigma_next / sigma) ** 2
        if posterior > 0:
            beta = (sigma**2 - sigma_next**2) * (1 + sigma_next**2) / (1 + sigma**2)
            std = _std(posterior, beta, learned)
            moved = gradient.take(x) if gradient is not None else None
            if moved is not None:  # both are of x, and the formula is of x / sqrt(1 + sigma^2)
                x = x + std**2 * math.sqrt((1 + sigma**2) / (1 + sigma_next**2)) * moved
            x = x + std * noise(x)
    return x


def _std(posterior: float, beta: float, learned: Tensor | None) -> Tensor | float:
    """Of the noise to add: the learned variance goes from the posterior's at -1 to beta at 1, in the logarithm."""
    if learned is None:
        return math.sqrt(posterior)
    fraction = (learned + 1) / 2
    return (0.5 * (fraction * math.log(beta) + (1 - fraction) * math.log(posterior))).exp()


@torch.no_grad()
def sample_ddim(
    model: Model,
    x: Tensor,
    sigmas: Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: StepCallback | None = None,
    disable: bool | None = None,
    *,
    noise: Noise | None = None,
    eta: float = 0.0,
) -> Tensor:
    """DDIM (Song 2020, eq. 12); eta 0 is deterministic, 1 adds the noise of DDPM with the posterior variance."""
    extra_args = extra_args or {}
    noise = _step_noise(noise, extra_args, x)
    ones = x.new_ones(x.shape[0])
    for i, (sigma, sigma_next) in _steps(sigmas):
        denoised = model(x, sigmas[i] * ones, **extra_args)
        _report(callback, i, x, sigmas[i], denoised)
        std = eta * math.sqrt(sigma**2 - sigma_next**2) * sigma_next / sigma
        x = denoised + math.sqrt(sigma_next**2 - std**2) / sigma * (x - denoised)
        if std > 0:
            x = x + std * noise(x)
    return x


@torch.no_grad()
def sample_euler(
    model: Model,
    x: Tensor,
    sigmas: Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: StepCallback | None = None,
    disable: bool | None = None,
    *,
    noise: Noise | None = None,
) -> Tensor:
    """Euler's method on the probability-flow ODE (Karras 2022, alg. 1); the same steps as DDIM with eta 0."""
    extra_args = extra_args or {}
    ones = x.new_ones(x.shape[0])
    for i, (sigma, sigma_next) in _steps(sigmas):
        denoised = model(x, sigmas[i] * ones, **extra_args)
        _report(callback, i, x, sigmas[i], denoised)
        x = denoised + sigma_next / sigma * (x - denoised)
    return x


@torch.no_grad()
def sample_plms(
    model: Model,
    x: Tensor,
    sigmas: Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: StepCallback | None = None,
    disable: bool | None = None,
    *,
    noise: Noise | None = None,
) -> Tensor:
    """Pseudo linear multistep (Liu 2022, eq. 12) of order 2: Adams-Bashforth on eps.

    Two terms and not the paper's four, which are of no higher order on a schedule's uneven steps, and multiply what the
    network and half precision get wrong about eps by 6.7 where two multiply it by 2. It starts with an Euler step: the
    paper's improved one multiplies errors of eps by the base's first sigma, 20291.
    """
    extra_args = extra_args or {}
    ones = x.new_ones(x.shape[0])
    previous: Tensor | None = None
    for i, (sigma, sigma_next) in _steps(sigmas):
        denoised = model(x, sigmas[i] * ones, **extra_args)
        _report(callback, i, x, sigmas[i], denoised)
        if sigma_next == 0:
            return denoised
        eps = (x - denoised) / sigma
        slope = eps if previous is None else 1.5 * eps - 0.5 * previous
        x = x + (sigma_next - sigma) * slope
        previous = eps
    return x


@torch.no_grad()
def sample_dpmpp_2m(
    model: Model,
    x: Tensor,
    sigmas: Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: StepCallback | None = None,
    disable: bool | None = None,
    *,
    noise: Noise | None = None,
) -> Tensor:
    """DPM-Solver++(2M) (Lu 2022, alg. 2): multistep on x_start in log-SNR, with a first-order last step."""
    extra_args = extra_args or {}
    ones = x.new_ones(x.shape[0])
    previous, last_h = x, 0.0  # there is no previous x_start before the first step: last_h says so
    for i, (sigma, sigma_next) in _steps(sigmas):
        denoised = model(x, sigmas[i] * ones, **extra_args)
        _report(callback, i, x, sigmas[i], denoised)
        if sigma_next == 0:
            return denoised
        h = math.log(sigma / sigma_next)  # log-SNR / 2 is -log sigma
        data = denoised + h / (2 * last_h) * (denoised - previous) if last_h else denoised
        x = data + sigma_next / sigma * (x - data)
        previous, last_h = denoised, h
    return x


def repainted_steps(sampler: Sampler, times: int, low: float, high: float) -> Sampler:
    """The same sampler, which takes each step between the sigmas ``low`` and ``high`` several times, every time from
    fresh noise (RePaint, Lugmayr 2022, algorithm 1): what is painted and what is pinned around it come to agree.

    Args:
        times: that each of these steps is taken; 1 changes nothing.
    """

    @torch.no_grad()
    def sample(
        model: Model,
        x: Tensor,
        sigmas: Tensor,
        extra_args: dict[str, Any] | None = None,
        callback: StepCallback | None = None,
        disable: bool | None = None,
        *,
        noise: Noise | None = None,
        **options: Any,  # of the sampler: eta, variance
    ) -> Tensor:
        noise = _step_noise(noise, extra_args or {}, x)
        for first, last, repeats in _runs(sigmas, times, low, high):
            for k in range(repeats):
                if k:
                    x = x + (sigmas[first] ** 2 - sigmas[last] ** 2).sqrt() * noise(x)
                x = sampler(
                    model,
                    x,
                    sigmas[first : last + 1],
                    extra_args=extra_args,
                    callback=_counting_from(first, callback),
                    disable=disable,
                    noise=noise,
                    **options,
                )
        return x

    return sample


def _counting_from(first: int, callback: StepCallback | None) -> StepCallback | None:
    """The callback for a part of the steps that starts at step ``first``."""
    if callback is None:
        return None

    def report(step: dict[str, Any]) -> None:
        callback({**step, "i": first + step["i"]})

    return report


def _runs(sigmas: Tensor, times: int, low: float, high: float) -> list[tuple[int, int, int]]:
    """First sigma, last sigma and repeats of each part of the steps: what is not repeated stays in one piece, because
    multistep samplers remember the steps before."""
    runs: list[tuple[int, int, int]] = []
    for i, (sigma, sigma_next) in _steps(sigmas):
        repeats = times if low <= sigma_next and sigma <= high else 1
        if repeats == 1 and runs and runs[-1][2] == 1:
            runs[-1] = (runs[-1][0], i + 1, 1)
        else:
            runs.append((i, i + 1, repeats))
    return runs


SAMPLERS: dict[str, Sampler] = {
    "ddpm": sample_ddpm,
    "ddim": sample_ddim,
    "plms": sample_plms,
    "dpmpp_2m": sample_dpmpp_2m,
    "euler": sample_euler,
}
