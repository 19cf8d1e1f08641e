"""How often each label was seen, with the interval of that share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..intervals import wilson


@dataclass(frozen=True)
class Count:
    """How often one label was seen.

    Attributes:
        count, of: so many of so many pictures.
        low, high: the 95 % interval of the share; those of all labels hold together 95 times of 100.
        uniform: the share that every label would have if all were equally frequent.
        known: the share in the training data, or None where nobody knows it.
    """

    label: str
    count: int
    of: int
    low: float
    high: float
    uniform: float
    known: float | None = None

    @property
    def share(self) -> float:
        """0..1."""
        return self.count / self.of

    @property
    def holds_uniform(self) -> bool:
        """Does the interval hold the uniform share?"""
        return self.low <= self.uniform <= self.high

    @property
    def holds_known(self) -> bool | None:
        """Does the interval hold the known share? None where there is none."""
        return None if self.known is None else self.low <= self.known <= self.high


def counts(found: Sequence[str | None], labels: Sequence[str], known: dict[str, float] | None) -> list[Count]:
    """Count labels, in their order. Pictures that show none of them are left out.

    Args:
        known: the share of each label in the training data.
    """
    times = Counter(label for label in found if label is not None)
    of = sum(times.values())
    if not of:
        return []
    together = len(labels) if len(labels) > 2 else 1  # the shares of two labels say the same
    return [
        Count(
            label,
            times[label],
            of,
            *wilson(times[label], of, together),
            uniform=1 / len(labels),
            known=None if known is None else known.get(label, 0.0),
        )
        for label in labels
    ]
