"""What pictures of one prompt show: how many of them each label, with the interval of that share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import OptionError
from ..scoring import Scorer
from ..tiny import scenes
from ..tiny.asked import seen
from ..tiny.scene_frequencies import frequencies
from .shares import Count as Count
from .shares import counts as counts

VALUES = {
    "shape": tuple(scenes.SHAPES),
    "colour": tuple(scenes.COLOURS),
    "size": tuple(scenes.SIZES),
    "style": scenes.STYLES,
    "background": tuple(scenes.BACKGROUNDS),
}


def require_labels(labels: Sequence[str]) -> None:
    """Raise OptionError unless there are two different labels or more."""
    if len(set(labels)) < 2 or len(set(labels)) < len(labels):
        raise OptionError(f"--labels: give two or more, each once; here are {', '.join(labels) or 'none'}")


def attribute_of(labels: Sequence[str]) -> str | None:
    """Which attribute of the embedded models' scenes the labels are values of, such as "colour"; None for others.

    Colours of the background are written with the word "background".
    """
    plain = [_plain(label) for label in labels]
    if all(label.endswith(" background") for label in plain):
        return (
            "background" if {label.removesuffix(" background") for label in plain} <= set(scenes.BACKGROUNDS) else None
        )
    return next((name for name, values in VALUES.items() if name != "background" and set(plain) <= set(values)), None)


def seen_by_judge(pictures: Iterable[np.ndarray], labels: Sequence[str], attribute: str) -> list[str | None]:
    """The label that the judge of the embedded models gives each picture, uint8 [H, W, 3]; None for another value."""
    of_value = {_plain(label).removesuffix(" background"): label for label in labels}
    found = []
    for sight in map(seen, pictures):
        first = sight.objects[0] if len(sight.objects) == 1 else None
        value = sight.background if attribute == "background" else getattr(first, attribute, None)
        found.append(of_value.get(value or ""))
    return found


def seen_by_scorer(scorer: Scorer, pictures: Tensor, labels: Sequence[str]) -> list[str | None]:
    """The label that fits each picture best (zero-shot classification).

    Args:
        pictures: [B, 3, H, W] in -1..1.
    """
    scores = torch.stack([scorer.scores(pictures, [label] * len(pictures)) for label in labels])
    return [labels[k] for k in scores.argmax(dim=0).tolist()]


def known_shares(prompt: str, labels: Sequence[str], attribute: str) -> dict[str, float] | None:
    """The share of each label among the scenes of the training data with this caption, or None.

    It is among those scenes alone that show one of the labels.
    """
    found = frequencies(prompt, attribute)
    if found is None:
        return None
    shares = {label: found.get(_plain(label).removesuffix(" background"), 0.0) for label in labels}
    total = sum(shares.values())
    return {label: share / total for label, share in shares.items()} if total else None


def _plain(label: str) -> str:
    return label.lower().strip().removeprefix("an ").removeprefix("a ")
