"""How often the training data show something of an object where a caption leaves it open.

The generator of the scenes is run along every path of its choices, so the frequencies are exact.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np

from . import scenes
from .scenes import Scene

ATTRIBUTES = ("shape", "colour", "size", "style", "background")


class Forks:
    """Stands for a random generator: ``paths`` runs a function once for each way that its choices can go.

    Numbers that are no choices, such as positions and shades, are in the middle of their range.
    """

    def __init__(self) -> None:
        self._chosen: list[int] = []
        self._shares: list[tuple[float, ...]] = []
        self._place = 0

    def random(self) -> Any:
        """A number that is only ever asked whether it is below another one."""
        return _Number(self)

    def integers(self, low: int, high: int | None = None, size: int | None = None) -> Any:
        """One of ``low`` numbers from 0; with a size an array in the middle of the range."""
        if size is not None:
            return np.zeros(size, int)
        return self.choose((1 / low,) * low)

    def uniform(self, low: float, high: float, size: int | None = None) -> Any:
        """The middle of the range."""
        middle = (low + high) / 2
        return middle if size is None else np.full(size, middle)

    def choose(self, shares: tuple[float, ...]) -> int:
        """The number of the way that the present path takes; ``shares`` are the probabilities of all ways."""
        if self._place == len(self._chosen):
            self._chosen.append(0)
            self._shares.append(shares)
        self._place += 1
        return self._chosen[self._place - 1]

    def next_path(self) -> bool:
        """Go to the next path. Returns False after the last one."""
        while self._chosen and self._chosen[-1] + 1 == len(self._shares[-1]):
            self._chosen.pop()
            self._shares.pop()
        if self._chosen:
            self._chosen[-1] += 1
        self._place = 0
        return bool(self._chosen)

    @property
    def probability(self) -> float:
        """That of the present path."""
        return float(np.prod([shares[k] for k, shares in zip(self._chosen, self._shares)]))


class _Number:
    def __init__(self, forks: Forks) -> None:
        self._forks = forks

    def __lt__(self, share: float) -> bool:
        return self._forks.choose((share, 1 - share)) == 0


class _OneObject(Forks):
    """The first random number of a scene decides how many objects it has: it is 0, which stands for one."""

    _asked = False

    def random(self) -> Any:
        if self._asked:
            return super().random()
        self._asked = True
        return 0.0

    def next_path(self) -> bool:
        self._asked = False
        return super().next_path()


def _paths(forks: Any, run: Any) -> Iterator[tuple[Any, float]]:
    """The result of each path with its probability."""
    while True:
        yield run(forks), forks.probability
        if not forks.next_path():
            return


def frequencies(prompt: str, attribute: str) -> dict[str, float] | None:
    """The share of each value of an attribute among the training scenes that have exactly this caption.

    Args:
        prompt: a caption of scenes with one object.
        attribute: one of ``ATTRIBUTES``.
    Returns:
        Shares that add up to 1, the most frequent first; None where no scene with one object has this caption.
    """
    caption = prompt.lower().strip()
    ground = "".join(re.findall(r"\w+ background", caption))
    words = set(caption.replace(ground, "").replace(",", " ").split())
    if not words & {"something", *scenes.SHAPES}:
        return None
    found: dict[str, float] = {}
    for scene, share in _scenes():
        fits = all(value in words or not words & set(names) for names, value in _named(scene.objects[0]))
        if fits and f"{scene.background} background" in (ground or f"{scene.background} background"):
            value = scene.background if attribute == "background" else str(getattr(scene.objects[0], attribute))
            found[value] = found.get(value, 0) + share * _caption_share(scene, caption)
    total = sum(found.values())
    if not total:
        return None
    return {value: share / total for value, share in sorted(found.items(), key=lambda each: -each[1]) if share}


def _named(item: scenes.Object) -> Iterator[tuple[Iterable[str], str]]:
    """The words of each kind, and the one that is true of an object: a caption with another one is not the object's."""
    yield scenes.SHAPES, item.shape
    yield scenes.COLOURS, item.colour
    yield scenes.STYLES, item.style


@cache
def _scenes() -> tuple[tuple[Scene, float], ...]:
    """Every scene of one object that training shows, with its share; positions and shades are left out."""
    shares: dict[Scene, float] = {}
    for scene, share in _paths(_OneObject(), scenes._sample):
        if not scenes._has_held_out(scene):
            shares[scene] = shares.get(scene, 0) + share
    return tuple(shares.items())


def _caption_share(scene: Scene, caption: str) -> float:
    """How often a scene gets this caption."""
    return sum(share for text, share in _paths(Forks(), lambda forks: scenes.caption(scene, forks)) if text == caption)
