"""x_start from the network's eps, also where the noise is so strong that small errors of eps are large in x_start."""

from __future__ import annotations

from torch import Tensor

STRONGEST = 25.0  # the largest sigma that the network is asked about
UNBLINDED = 3.0  # above this sigma x_start must not hold any of the noisy picture


def network_sigma(sigma: Tensor) -> Tensor:
    """The sigmas [B] at which the network is asked: up to ``STRONGEST``.

    The base's schedule ends at a sigma of 20291. To the eye, pictures from 25 on are one and the same noise, but
    x_start = x - sigma * eps multiplies what the network and its dtype get wrong about eps by sigma: at 20291 nothing
    but the clipped error would be left of x_start, a different one in each dtype.
    """
    return sigma.clamp(max=STRONGEST)


def predict_x_start(x: Tensor, sigma: Tensor, eps: Tensor) -> Tensor:
    """x_start before it is clipped: [B, 3, H, W].

    Args:
        x: [B, 3, H, W], x_start + sigma * noise.
        sigma: [B].
        eps: [B, 3, H, W], what the network said of x / sqrt(1 + sigma^2) at the timestep of ``network_sigma``.
    """
    asked, sigma = (_per_picture(value) for value in (network_sigma(sigma), sigma))
    seen = x * ((1 + asked**2) / (1 + sigma**2)).sqrt()  # the same picture at the sigma that was asked about
    x_start = seen - asked * eps
    return x_start - seen * (_share(x_start, seen) * (asked > UNBLINDED))


def reference_x_start(x: Tensor, sigma: Tensor, eps: Tensor) -> Tensor:
    """x_start as OpenAI's code computes it from eps; arguments as for ``predict_x_start``, without a limit of sigma."""
    return x - _per_picture(sigma) * eps


def _share(x_start: Tensor, x: Tensor) -> Tensor:
    """How much of x is in x_start, by least squares: [B, 1, 1, 1].

    GroupNorm makes the U-Net blind to the norm of its input. Where the noise happens to be stronger than its sigma
    says, eps is too weak, and x_start keeps a multiple of the noise. Clipped, that is the noise's sign, which
    deterministic samplers never lose again: the picture becomes coloured snow.
    """
    products, squares = (x_start * x).flatten(1).sum(dim=1), (x * x).flatten(1).sum(dim=1)
    return _per_picture(products / squares.clamp(min=1e-12))  # a temperature of 0 starts from a picture of zeros


def _per_picture(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
