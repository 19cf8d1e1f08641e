"""A model on a picture larger than it was trained for: overlapping windows, averaged."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def tiled(function: Callable[[Tensor], Tensor], x: Tensor, tile: int | None, overlap: int | None = None) -> Tensor:
    """function(x), computed on windows (MultiDiffusion, Bar-Tal 2023).

    Averaging the eps of overlapping windows at one x averages their x_start: both are linear in it. So a seam never
    builds up from step to step. Towards its borders a window counts less and less.

    Args:
        function: [B, C, h, w] -> [B, D, h, w].
        x: [B, C, H, W]; where no side is longer than tile, or that is None, the function is called once.
        tile: the side of a window; overlap: of two windows, in pixels, at least (default: a quarter of tile).
    Returns:
        [B, D, H, W].
    """
    height, width = x.shape[-2:]
    if tile is None or max(height, width) <= tile:
        return function(x)
    overlap = tile // 4 if overlap is None else overlap
    total = weights = 0
    for top in starts(height, tile, overlap):
        for left in starts(width, tile, overlap):
            window = (..., slice(top, top + tile), slice(left, left + tile))
            part = function(x[window])
            if not torch.is_tensor(total):
                total = part.new_zeros(*part.shape[:2], height, width)
                weights = part.new_zeros(height, width)
            weight = _ramp(part.shape[-2], overlap, part)[:, None] * _ramp(part.shape[-1], overlap, part)
            total[window] += weight * part
            weights[window] += weight
    return total / weights


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where windows start: evenly spread, the first at 0, the last up to the end."""
    if length <= tile:
        return [0]
    count = math.ceil((length - overlap) / (tile - overlap))
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def _ramp(length: int, overlap: int, like: Tensor) -> Tensor:
    """Weights [length] that grow from the borders over the overlap."""
    i = torch.arange(1, length + 1, device=like.device, dtype=like.dtype)
    return torch.minimum(i, length + 1 - i).clamp(max=max(overlap, 1))
