"""How sure a share is that was counted."""

from __future__ import annotations

import math

MARGIN_OF_95 = 1.959964  # standard deviations on each side that hold 95 % of a normal distribution


def wilson(count: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share, 0..1, of which ``count`` cases among ``of`` were seen (Wilson 1927)."""
    z2, share = MARGIN_OF_95**2, count / of
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = MARGIN_OF_95 / (1 + z2 / of) * math.sqrt(share * (1 - share) / of + z2 / (4 * of**2))
    return middle - half, middle + half
