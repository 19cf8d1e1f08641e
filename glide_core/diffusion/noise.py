"""Noise that depends on a picture's seed alone, whatever the batch, the device or torch's default dtype."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import OptionError

Seed = int | Sequence[int]

OFFSET_STREAM = 0xC2B2AE3D27D4EB4F  # mixed into the seeds of the offsets, so that the noise itself stays the same
STEP_STREAM = 0x9E3779B97F4A7C15  # mixed into the seeds of the steps' noise, or the first step would repeat the initial


def picture_seed(seed: int, k: int) -> int:
    """The seed that makes picture ``k`` of a batch of ``seed`` alone.

    It is ``seed`` itself for k = 0, else a hash of both: with ``seed + k`` the batches of neighbouring seeds would
    share all pictures but one. Hashes are below 2**53, so that programs that keep numbers as doubles, such as
    browsers, can hand them back.

    Args:
        seed: any integer; it is taken modulo 2**64.
        k: the picture's place in the batch, from 0.
    """
    seed = operator.index(seed) % 2**64
    return _splitmix64(_splitmix64(seed) + k) >> 11 if k else seed


def picture_seeds(seed: Seed, count: int) -> list[int]:
    """The seed of each of ``count`` pictures.

    Args:
        seed: one integer for the whole batch, see ``picture_seed``; or one for each picture, used as they are.
    Raises:
        OptionError: these are not integers, or not one for each picture.
    """
    try:
        first = operator.index(seed)  # type: ignore[arg-type]
    except TypeError:
        return _own_seeds(seed, count)
    return [picture_seed(first, k) for k in range(count)]


def _own_seeds(seeds: object, count: int) -> list[int]:
    """One seed for each picture, checked."""
    try:
        given = [operator.index(each) % 2**64 for each in seeds]  # type: ignore[attr-defined]
    except TypeError:
        raise OptionError(f"seed is {seeds!r}: give an integer, or a list with an integer for each picture") from None
    if len(given) != count:
        raise OptionError(f"seed: {len(given)} seeds for {count} pictures: give one seed, or one for each picture")
    return given


def seeded_noise(shape: Sequence[int], seed: Seed, offset: Sequence[float] = ()) -> Tensor:
    """Standard normal noise to start from: float32 of this shape [B, ...], on the CPU.

    Args:
        seed: see ``picture_seeds``.
        offset: see ``add_low_frequencies``; with one the shape is [B, C, H, W].
    Raises:
        OptionError: see ``picture_seeds``.
    """
    if shape[0] == 0:
        return torch.empty(tuple(shape), dtype=torch.float32)
    seeds = picture_seeds(seed, shape[0])
    noise = torch.stack([_normal(tuple(shape[1:]), _generator(each)) for each in seeds])
    for picture, each in zip(noise.split(1), seeds):
        add_low_frequencies(picture, offset, _generator(each ^ OFFSET_STREAM))
    return noise


def add_low_frequencies(noise: Tensor, offset: Sequence[float], generator: torch.Generator) -> None:
    """Add low frequencies to noise float32 [B, C, H, W] on the CPU, in place.

    Args:
        offset: value k is the largest standard deviation of a grid of 4^k x 4^k numbers that is spread over the
            picture; each picture gets a random part of it.
    """
    for k, std in enumerate(offset):
        grid = torch.randn(*noise.shape[:2], 4**k, 4**k, generator=generator, dtype=torch.float32)
        grid *= torch.rand(len(noise), 1, 1, 1, generator=generator, dtype=torch.float32)
        noise += std * F.interpolate(grid, noise.shape[-2:], mode="bilinear")


class StepNoise:
    """The fresh noise of stochastic steps: each picture of the batch draws from a generator of its own.

    Args:
        seed: see ``picture_seeds``. The noise is another than ``seeded_noise`` of the same seed.
        batch: the number of pictures.
    Raises:
        OptionError: see ``picture_seeds``.
    """

    def __init__(self, seed: Seed, batch: int) -> None:
        self.generators = [_generator(each ^ STEP_STREAM) for each in picture_seeds(seed, batch)]

    def __call__(self, x: Tensor) -> Tensor:
        """The next noise for x [B, ...], with its shape, dtype and device."""
        return torch.stack([_normal(x.shape[1:], generator) for generator in self.generators]).to(x)


def _normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float32)


def _generator(seed: int) -> torch.Generator:
    """Of a 64-bit seed. torch's CPU generator reads 32 bits alone, so the high half is mixed into them."""
    return torch.Generator().manual_seed((seed + (seed >> 32) * 0x9E3779B1) % 2**32)


def _splitmix64(state: int) -> int:
    """The finaliser of splitmix64 (Steele, Lea & Flood 2014): 64 bits to 64 bits, one to one."""
    z = (state + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31
