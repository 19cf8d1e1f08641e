"""Samplers, one short function each.

All share k-diffusion's convention and ComfyUI's KSAMPLER call: ``sample_x(model, x, sigmas, extra_args, callback,
disable, **options) -> x`` with

    x: [B, 3, H, W], x_start + sigmas[0] * noise;
    sigmas: [steps + 1] descending; the last one may be 0 (a clean picture);
    model(x, sigma, **extra_args): x_start, for sigma [B];
    callback: called once per step with a dict of i, x, sigma, sigma_hat and denoised; raise from it to stop;
    disable: accepted for ComfyUI, which passes it to hide k-diffusion's progress bar.

DDPM's and DDIM's formulas are written for x_vp = x * sqrt(alphas_cumprod), alphas_cumprod = 1 / (1 + sigma^2).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Noise = Callable[[Tensor], Tensor]


def seeded_noise(shape: tuple[int, ...], seed: int) -> Tensor:
    """Initial noise [B, ...] float32 on the CPU; picture k depends on seed + k alone, whatever the batch or device."""
    return torch.stack([torch.randn(shape[1:], generator=_generator(seed + k)) for k in range(shape[0])])


class StepNoise:
    """The noise of stochastic steps: picture k of the batch draws from a CPU generator of its own."""

    def __init__(self, seed: int, batch: int):
        # Another stream than the initial noise of the same seed, or the first step would repeat it.
        self.generators = [_generator((seed + k) ^ 0x9E3779B97F4A7C15) for k in range(batch)]

    def __call__(self, x: Tensor) -> Tensor:
        return torch.stack([torch.randn(x.shape[1:], generator=g) for g in self.generators]).to(x)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed % 2**64)


class Variance:
    """Side channel for the learned variance: the model leaves it here, ``sample_ddpm`` takes it.

    An object, because ComfyUI copies dicts and lists on their way to the model.
    """

    def __init__(self):
        self.value: Tensor | None = None

    def put(self, value: Tensor) -> None:
        """value: [B, 3, H, W], the U-Net's variance channels."""
        self.value = value

    def take(self, x: Tensor) -> Tensor | None:
        """The variance of the model call just made, or None if that left none that fits x."""
        value, self.value = self.value, None
        return value if value is not None and value.shape == x.shape else None


def _step_noise(noise: Noise | None, extra_args: dict, x: Tensor) -> Noise:
    return noise or StepNoise(extra_args.get("seed") or 0, x.shape[0])


def _report(callback, i: int, x: Tensor, sigma: Tensor, denoised: Tensor) -> None:
    if callback is not None:
        callback({"i": i, "x": x, "sigma": sigma, "sigma_hat": sigma, "denoised": denoised})


@torch.no_grad()
def sample_ddpm(model, x, sigmas, extra_args=None, callback=None, disable=None, *, noise=None, variance=None):
    """Ancestral sampling with GLIDE's learned-range variance (Ho 2020, alg. 2; Nichol & Dhariwal 2021, eq. 15).

    Options:
        noise: function of x that gives the next step's noise; default: seeded by extra_args["seed"].
        variance: the ``Variance`` the model fills; without it the posterior variance is used.
    """
    extra_args = extra_args or {}
    noise = _step_noise(noise, extra_args, x)
    ones = x.new_ones(x.shape[0])
    alphas_cumprod = [1 / (1 + float(sigma) ** 2) for sigma in sigmas]
    for i, (abar, abar_prev) in enumerate(zip(alphas_cumprod, alphas_cumprod[1:])):
        denoised = model(x, sigmas[i] * ones, **extra_args)
        _report(callback, i, x, sigmas[i], denoised)
        beta = 1 - abar / abar_prev
        mean = (beta * math.sqrt(abar_prev) * denoised + (1 - abar_prev) * math.sqrt(1 - beta) * math.sqrt(abar) * x) / (
            1 - abar
        )
        x = mean / math.sqrt(abar_prev)
        if abar_prev < 1:
            min_log = math.log(beta * (1 - abar_prev) / (1 - abar))
            fraction = variance.take(x) if variance is not None else None
            frac = 0.0 if fraction is None else (fraction.to(x) + 1) / 2
            log_variance = torch.as_tensor(frac * math.log(beta) + (1 - frac) * min_log)
            x = x + (0.5 * log_variance).exp().to(x) * noise(x) / math.sqrt(abar_prev)
    return x


@torch.no_grad()
def sample_ddim(model, x, sigmas, extra_args=None, callback=None, disable=None, *, noise=None, eta=0.0):
    """DDIM (Song 2020, eq. 12); eta 0 is deterministic, 1 adds the noise of DDPM with the posterior variance."""
    extra_args = extra_args or {}
    noise = _step_noise(noise, extra_args, x)
    ones = x.new_ones(x.shape[0])
    alphas_cumprod = [1 / (1 + float(sigma) ** 2) for sigma in sigmas]
    for i, (abar, abar_prev) in enumerate(zip(alphas_cumprod, alphas_cumprod[1:])):
        denoised = model(x, sigmas[i] * ones, **extra_args)
        _report(callback, i, x, sigmas[i], denoised)
        std = eta * math.sqrt((1 - abar_prev) / (1 - abar)) * math.sqrt(1 - abar / abar_prev)
        eps = (x - denoised) / sigmas[i]
        x = denoised + math.sqrt((1 - abar_prev - std**2) / abar_prev) * eps
        if std > 0:
            x = x + std / math.sqrt(abar_prev) * noise(x)
    return x


@torch.no_grad()
def sample_euler(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Euler's method on the probability-flow ODE (Karras 2022, alg. 1); the same steps as DDIM with eta 0."""
    extra_args = extra_args or {}
    ones = x.new_ones(x.shape[0])
    for i in range(len(sigmas) - 1):
        denoised = model(x, sigmas[i] * ones, **extra_args)
        _report(callback, i, x, sigmas[i], denoised)
        x = x + (x - denoised) / sigmas[i] * (sigmas[i + 1] - sigmas[i])
    return x


@torch.no_grad()
def sample_plms(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Pseudo linear multistep (Liu 2022, eq. 9 to 13): Adams-Bashforth up to order 4 on eps, started by one
    improved Euler step, which calls the model twice."""
    extra_args = extra_args or {}
    ones = x.new_ones(x.shape[0])
    history: list[Tensor] = []

    def eps_at(x, sigma):
        denoised = model(x, sigma * ones, **extra_args)
        return (x - denoised) / sigma, denoised

    for i in range(len(sigmas) - 1):
        eps, denoised = eps_at(x, sigmas[i])
        _report(callback, i, x, sigmas[i], denoised)
        step = sigmas[i + 1] - sigmas[i]
        if not history and sigmas[i + 1] > 0:
            slope = (eps + eps_at(x + eps * step, sigmas[i + 1])[0]) / 2
        elif not history or sigmas[i + 1] == 0:
            slope = eps  # a step to a clean picture is the model's x_start
        else:
            slope = _adams_bashforth([eps, *reversed(history)])
        history = [*history[-2:], eps]
        x = x + slope * step
    return x


def _adams_bashforth(eps: list[Tensor]) -> Tensor:
    """eps, newest first, 2 to 4 of them."""
    weights = {2: (3, -1), 3: (23, -16, 5), 4: (55, -59, 37, -9)}[len(eps)]
    return sum(w * e for w, e in zip(weights, eps)) / sum(weights)


@torch.no_grad()
def sample_dpmpp_2m(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """DPM-Solver++(2M) (Lu 2022, alg. 2): multistep on x_start in log-SNR, with a first-order last step."""
    extra_args = extra_args or {}
    ones = x.new_ones(x.shape[0])
    previous = last_h = None
    for i in range(len(sigmas) - 1):
        denoised = model(x, sigmas[i] * ones, **extra_args)
        _report(callback, i, x, sigmas[i], denoised)
        if sigmas[i + 1] == 0:
            return denoised
        h = (sigmas[i] / sigmas[i + 1]).log()  # log-SNR / 2 is -log sigma
        data = denoised
        if previous is not None:
            r = last_h / h
            data = (1 + 1 / (2 * r)) * denoised - 1 / (2 * r) * previous
        x = sigmas[i + 1] / sigmas[i] * x - torch.expm1(-h) * data
        previous, last_h = denoised, h
    return x


SAMPLERS = {
    "ddpm": sample_ddpm,
    "ddim": sample_ddim,
    "plms": sample_plms,
    "dpmpp_2m": sample_dpmpp_2m,
    "euler": sample_euler,
}
