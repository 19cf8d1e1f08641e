"""What each step of a diffusion model is trained on: it depends on the seed and the step alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DatasetError
from ..models.config import ModelConfig
from ..models.tokenizer import Tokenizer
from .auxiliary import AuxiliaryLoss
from .dataset import Dataset, LabelledDataset
from .inputs import prepare
from .masks import DrawMasks
from .options import Options


@dataclass(frozen=True)
class Piece:
    """A part of a batch, on the CPU.

    Attributes:
        images, tokens, mask, generator, conditions: what an ``Objective`` takes.
        targets: of the ``AuxiliaryLoss``; empty where there is none.
    """

    images: Tensor
    tokens: Tensor
    mask: Tensor
    generator: torch.Generator
    conditions: dict[str, Tensor]
    targets: tuple[Tensor, ...] = ()


class Feed:
    """Makes the pieces of each step's batch that one of several processes computes.

    The pieces are numbered over all processes, and each has random numbers of its own. So two processes see the same
    samples as one with ``accumulate=2``.

    Args:
        data: pictures of side ``config.image_size`` with captions.
        config: of the model.
        auxiliary: needs targets for every piece; ``data`` must then be a ``LabelledDataset``.
        masks: of an inpainting model, for a ``LabelledDataset``; the default knows nothing of the pictures.
        process, processes: the number of this process, and how many train together.
    Raises:
        DatasetError: there is an auxiliary loss or a drawer of masks, but the data set has no labels.
    """

    def __init__(
        self,
        data: Dataset,
        tokenizer: Tokenizer,
        config: ModelConfig,
        options: Options,
        *,
        auxiliary: AuxiliaryLoss | None = None,
        masks: DrawMasks | None = None,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        if auxiliary is not None and not isinstance(data, LabelledDataset):
            raise DatasetError("the auxiliary loss needs data that knows what its pictures show: train without it")
        if masks is not None and not isinstance(data, LabelledDataset):
            raise DatasetError("these masks need data that knows what its pictures show: train without them")
        self.data, self.tokenizer, self.config, self.options = data, tokenizer, config, options
        self.auxiliary, self.masks = auxiliary, masks
        self.numbers = range(process * options.accumulate, (process + 1) * options.accumulate)
        self.total = processes * options.accumulate

    def __call__(self, step: int) -> list[Piece]:
        """The pieces of a step. Raises DatasetError where the data set has no readable sample."""
        return [self._piece(step, number) for number in self.numbers]

    def _piece(self, step: int, number: int) -> Piece:
        phase = self.options.phase_at(step)
        resolution = phase.side(self.config)
        rng = np.random.default_rng([self.options.seed, step, number])
        pictures, captions, labels = self._samples(rng, phase.batch // self.total)
        targets = self.auxiliary.targets(labels, resolution) if self.auxiliary is not None else ()
        captions = ["" if rng.random() < self.options.caption_dropout else text for text in captions]
        known = self.masks(rng, labels, resolution) if self.masks is not None else None
        images, conditions = prepare(self.config, pictures, resolution, rng, known)
        tokens, mask = self.tokenizer.batch(captions)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        return Piece(images, tokens, mask, generator, conditions, targets)

    def _samples(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[str], Sequence[Any]]:
        """Pictures, captions, and labels where something needs them."""
        needed = self.auxiliary is not None or self.masks is not None
        if needed and isinstance(self.data, LabelledDataset):
            return self.data.labelled_batch(rng, size)
        pictures, captions = self.data.batch(rng, size)
        return pictures, captions, ()
