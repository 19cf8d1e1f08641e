"""Prompts made of parts that are joined by AND and NOT: each part is predicted by itself, and the predictions are added
(Liu et al. 2022, "Compositional Visual Generation with Composable Diffusion Models", equations 11 and 13).

"a red circle AND a blue background :0.8 NOT a heart" has three parts, of the weights 1, 0.8 and -1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import OptionError

LARGEST_WEIGHT = 100.0
_WORD = re.compile(r"(?<!\S)((?:AND\s+)?NOT|AND)(?!\S)")
# "circle :1.2" and "circle:1.2" have a weight, "at 10:30" has none.
_WEIGHT = re.compile(r"(?:(?<=\s)|(?<=\D)):\s*([-+]?(?:\d+\.?\d*|\.\d+))\s*$")


class Part(NamedTuple):
    """A prompt or a part of one, and its weight; what follows NOT has a negative one."""

    text: str
    weight: float


def split_prompt(prompt: str) -> list[Part]:
    """The parts of a prompt. One without AND and NOT is a single part of weight 1, exactly as it was written.

    The words count in capitals alone, and in a prompt that is all capitals they are ordinary words. Parts that are
    empty or have a weight of 0 are left out; if nothing is left, the result is the empty prompt.

    Raises:
        OptionError: a weight is absurdly large.
    """
    texts = [prompt] if prompt.isupper() else _WORD.split(prompt)
    if len(texts) == 1:
        return [Part(prompt, 1.0)]
    words = ["AND", *texts[1::2]]
    parts = [_weighted(text, -1.0 if word.endswith("NOT") else 1.0) for word, text in zip(words, texts[::2])]
    return [part for part in parts if part.text and part.weight] or [Part("", 1.0)]


def _weighted(text: str, sign: float) -> Part:
    found = _WEIGHT.search(text)
    if found is None:
        return Part(text.strip(), sign)
    weight = float(found[1])
    if abs(weight) > LARGEST_WEIGHT:
        raise OptionError(
            f"the prompt gives {text[: found.start()].strip()[:40]!r} the weight {found[1]}: weights must be numbers "
            f"from -{LARGEST_WEIGHT:g} to {LARGEST_WEIGHT:g}, and useful ones are between 0 and 2"
        )
    return Part(text[: found.start()].strip(), sign * weight)


def plain_words(prompt: str) -> str:
    """What a picture of this prompt should show, for what knows nothing of parts and weights, such as CLIP: the parts
    that the prompt leads towards, joined by "and". A prompt without AND and NOT is left as it is."""
    return " and ".join(part.text for part in split_prompt(prompt) if part.weight > 0)


def leads_somewhere(prompt: str) -> bool:
    """Whether it says what a picture should show, which CLIP must know. Raises OptionError: a weight is wrong."""
    return bool(plain_words(prompt).strip())


def predicted_parts(prompt: str) -> list[Part]:
    """The texts whose predictions, multiplied by their weights and added, are that of the prompt.

    With u for the prediction of the empty prompt and e for those of the parts it is u + the sum of weight * (e - u). So
    the weights add up to 1: where those of the parts do not, the empty prompt comes last and has what is missing.
    """
    parts = split_prompt(prompt)
    missing = 1.0 - sum(part.weight for part in parts)
    return parts if abs(missing) < 1e-6 else [*parts, Part("", missing)]


@dataclass(frozen=True)
class Mixture:
    """How the predictions of a picture's parts are added.

    Attributes:
        rows: [B, P], for each picture the numbers of its predictions among all that a step makes.
        weights: [B, P], theirs; 0 where a picture has fewer than P.
    """

    rows: Tensor
    weights: Tensor

    def __call__(self, predictions: Tensor) -> Tensor:
        """[R, 3, H, W] -> [B, 3, H, W]. A single part is left as it is, bit for bit."""
        if self.rows.shape[1] == 1:
            return predictions[self.rows[:, 0]]
        return (predictions[self.rows] * self.weights.to(predictions)[..., None, None, None]).sum(dim=1)

    def to(self, device: torch.device) -> Mixture:
        """The same on another device."""
        return Mixture(self.rows.to(device), self.weights.to(device))


@dataclass(frozen=True)
class Composition:
    """What a step asks the U-Net, for a batch of B pictures: a row for each text of each picture.

    Attributes:
        uncond_texts, cond_texts: the texts of the rows, first those that guidance moves away from.
        pictures: [R], the number of each row's picture in the batch.
        cond: adds up the prediction for the prompts.
        uncond: for what guidance moves away from, or None where there is no guidance.
    """

    uncond_texts: list[str]
    cond_texts: list[str]
    pictures: Tensor
    cond: Mixture
    uncond: Mixture | None

    def to(self, device: torch.device) -> Composition:
        """The same on another device."""
        uncond = None if self.uncond is None else self.uncond.to(device)
        return replace(self, pictures=self.pictures.to(device), cond=self.cond.to(device), uncond=uncond)

    def unguided(self) -> tuple[Tensor, Composition]:
        """The numbers [r] of the rows that steps without guidance need, and what these rows make up."""
        numbers = self.cond.rows.unique()
        texts = [*self.uncond_texts, *self.cond_texts]
        cond = Mixture(torch.searchsorted(numbers, self.cond.rows), self.cond.weights)
        kept = [texts[number] for number in numbers.tolist()]
        return numbers, Composition([], kept, self.pictures[numbers], cond, None)


def compose(prompts: Sequence[str], negatives: Sequence[str] | None) -> Composition:
    """Plan the rows of a batch.

    Args:
        prompts: one for each picture.
        negatives: what guidance moves away from, one for each picture, or None where there is no guidance.
    Raises:
        OptionError: see ``split_prompt``.
    """
    texts: list[tuple[int, str]] = []
    uncond = None if negatives is None else _mixture(negatives, texts)
    split = len(texts)
    cond = _mixture(prompts, texts, shared=split)
    return Composition(
        uncond_texts=[text for _, text in texts[:split]],
        cond_texts=[text for _, text in texts[split:]],
        pictures=torch.tensor([picture for picture, _ in texts], dtype=torch.int64),
        cond=cond,
        uncond=uncond,
    )


def _mixture(prompts: Sequence[str], texts: list[tuple[int, str]], shared: int = 0) -> Mixture:
    """The mixture of these prompts; their rows are added to ``texts``, pairs of a picture's number and a text.

    Args:
        shared: among so many of the first rows the empty prompt of a composed one may already be.
    """
    rows, weights = list[list[int]](), list[list[float]]()
    for picture, prompt in enumerate(prompts):
        numbers = []
        parts = predicted_parts(prompt)
        for part in parts:
            row = (picture, part.text)
            if len(parts) > 1 and row in texts[:shared]:
                numbers.append(texts.index(row))
            else:
                numbers.append(len(texts))
                texts.append(row)
        rows.append(numbers)
        weights.append([part.weight for part in parts])
    longest = max(map(len, rows), default=1)
    return Mixture(
        torch.tensor([row + row[:1] * (longest - len(row)) for row in rows], dtype=torch.int64).reshape(-1, longest),
        torch.tensor([row + [0.0] * (longest - len(row)) for row in weights]).reshape(-1, longest),
    )
