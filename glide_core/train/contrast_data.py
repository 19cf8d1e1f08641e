"""What a step of a noised CLIP's training is trained on: noised pictures with their captions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from ..errors import DatasetError
from ..images import from_uint8
from .dataset import Dataset

MOST_DRAWS = 50  # until a batch of pictures with captions is together


@runtime_checkable
class ContrastDataset(Dataset, Protocol):
    """A data set that also knows captions which are wrong in one detail."""

    def contrast_batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[str], list[str], list[Any]]:
        """Take some samples as ``Dataset.batch`` does.

        Returns:
            Pictures and captions, any number of captions that are wrong for some of the pictures, and a label for each
            picture, for a ``Lesson``.
        """


@dataclass(frozen=True)
class Batch:
    """What a step is trained on: noised pictures, their timesteps, captions and wrong captions, and labels."""

    x: Tensor
    timesteps: Tensor
    captions: list[str]
    wrong: list[str]
    labels: list[Any]


def noised(data: Dataset, rng: np.random.Generator, size: int, alphas_cumprod: Tensor, power: float) -> Batch:
    """Draw a batch and put noise of all levels on its pictures.

    Args:
        alphas_cumprod: [timesteps], of the noise schedule.
        power: see ``Options.timestep_power``.
    Raises:
        DatasetError: the data set has no readable sample, or hardly any caption.
    """
    wrong: list[str] = []
    labels: list[Any] = []
    if isinstance(data, ContrastDataset):
        pictures, captions, wrong, labels = data.contrast_batch(rng, size)
    else:
        pictures, captions = _captioned(data, rng, size)
    x_start = from_uint8(pictures)
    timesteps = noisy_timesteps(rng, len(x_start), len(alphas_cumprod), power)
    noise = torch.from_numpy(rng.standard_normal(x_start.shape, dtype=np.float32))
    bar = alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    return Batch(bar.sqrt() * x_start + (1 - bar).sqrt() * noise, timesteps, list(captions), wrong, labels)


def _captioned(data: Dataset, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[str]]:
    """Some samples whose captions say something. Raises DatasetError: there are hardly any."""
    pictures: list[np.ndarray] = []
    captions: list[str] = []
    for _ in range(MOST_DRAWS):
        drawn, texts = data.batch(rng, size - len(captions))
        said = [k for k, text in enumerate(texts) if text.strip()]
        pictures.append(drawn[said])
        captions += [texts[k] for k in said]
        if len(captions) == size:
            return np.concatenate(pictures), captions
    raise DatasetError("hardly any picture has a caption: CLIP learns which caption belongs to which picture")


def noisy_timesteps(rng: np.random.Generator, count: int, timesteps: int, power: float) -> Tensor:
    """[count] timesteps in random order, one from every ``1 / count`` of the probability."""
    position = (rng.permutation(count) + rng.random(count)) / count
    return torch.from_numpy((timesteps * position**power).astype(np.int64)).clamp(max=timesteps - 1)
