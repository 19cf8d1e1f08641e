"""A model on a picture larger than it was trained for: overlapping windows, averaged."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def tiled(function: Callable[[Tensor], Tensor], x: Tensor, tile: int | None) -> Tensor:
    """function(x), computed on overlapping windows (MultiDiffusion, Bar-Tal 2023).

    Averaging the eps of overlapping windows at one x averages their x_start: both are linear in it. So a seam never
    builds up from step to step. Towards its borders a window counts less and less.

    Args:
        function: [B, C, h, w] -> [B, D, h, w].
        x: [B, C, H, W]; where no side is longer than tile, or that is None, the function is called once.
        tile: the side of a window in pixels, of which a quarter at least is shared with the next one.
    Returns:
        [B, D, H, W] in the function's dtype.
    """
    height, width = x.shape[-2:]
    if tile is None or max(height, width) <= tile:
        return function(x)
    overlap = tile // 4
    # float32 whatever the function computes in: bf16 counts to 256 only, and 257 - 257 there would leave a last row
    # and column of weight 0, which divides to NaN.
    total: Tensor | None = None
    weights = torch.zeros(height, width, dtype=torch.float32, device=x.device)
    for top in starts(height, tile, overlap):
        for left in starts(width, tile, overlap):
            window = (..., slice(top, top + tile), slice(left, left + tile))
            part = function(x[window])
            if total is None:
                total = torch.zeros(*part.shape[:2], height, width, dtype=torch.float32, device=x.device)
            rows, columns = (_ramp(side, overlap, x.device) for side in part.shape[-2:])
            weight = rows[:, None] * columns
            total[window] += weight * part
            weights[window] += weight
    assert total is not None
    return (total / weights).to(part.dtype)


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where windows of a side start: evenly spread, the first at 0, the last up to the end.

    Args:
        length: of the side in pixels; tile: of a window; overlap: of two neighbours, at least, below tile.
    """
    if length <= tile:
        return [0]
    count = math.ceil((length - overlap) / (tile - overlap))
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def _ramp(length: int, overlap: int, device: torch.device) -> Tensor:
    """Weights [length], float32, that grow from the borders over the overlap."""
    i = torch.arange(1, length + 1, device=device, dtype=torch.float32)
    return torch.minimum(i, length + 1 - i).clamp(max=max(overlap, 1))
