"""How sure a share is that was counted."""

from __future__ import annotations

import math
from statistics import NormalDist

SURE = 0.95  # of a time an interval holds the true share


def wilson(count: int, of: int, together: int = 1) -> tuple[float, float]:
    """The 95 % interval of a share, 0..1, of which ``count`` cases among ``of`` were seen (Wilson 1927).

    Args:
        together: how many such intervals are looked at as one. All of them hold the true shares 95 times of 100
            (Bonferroni); each by itself holds them more often.
    """
    z, share = NormalDist().inv_cdf(1 - (1 - SURE) / 2 / together), count / of
    middle = (share + z**2 / (2 * of)) / (1 + z**2 / of)
    half = z / (1 + z**2 / of) * math.sqrt(share * (1 - share) / of + z**2 / (4 * of**2))
    return middle - half, middle + half
