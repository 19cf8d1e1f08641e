"""What each step is trained on: a function of the seed and the step, made one step ahead in a thread."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..models.config import ModelConfig
from ..models.tokenizer import Tokenizer
from ..tiny.layout_lesson import SCALE, targets
from .data import Data, Scenes
from .loss import prepare
from .options import Options


@dataclass(frozen=True)
class Piece:
    """A part of a batch, on the CPU: what ``DiffusionLoss`` takes."""

    images: Tensor
    tokens: Tensor
    mask: Tensor
    generator: torch.Generator
    conditions: dict[str, Tensor]
    layout: tuple[Tensor, Tensor] | None = None  # see ``layout.targets``


class Feed:
    """Makes the pieces that one of several processes computes in a step.

    Pieces are numbered over all processes, and each has random numbers of its own: two processes see what one with
    ``accumulate=2`` sees.
    """

    def __init__(self, data: Data, tokenizer: Tokenizer, config: ModelConfig, options: Options, process=0, processes=1):
        if options.layout and not isinstance(data, Scenes):
            raise ValueError("layout: only drawn scenes (data.Scenes) know what lies where; set it to 0")
        self.data, self.tokenizer, self.config, self.options = data, tokenizer, config, options
        self.numbers = range(process * options.accumulate, (process + 1) * options.accumulate)
        self.total = processes * options.accumulate
        self.pool = ThreadPoolExecutor(1)
        self.ahead: dict[int, Future] = {}
        self.position = data.position

    def __call__(self, step: int) -> list[Piece]:
        """Raises ValueError where the data has nothing good."""
        pieces, self.position = self._started(step).result()
        self.ahead.pop(step)
        if step + 1 < self.options.steps:
            self._started(step + 1)
        return pieces

    def seek(self, position: int) -> None:
        """Go on where ``position`` was when a step's pieces were given out."""
        self.data.seek(position)
        self.position = position

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)

    def _started(self, step: int) -> Future:
        if step not in self.ahead:
            self.ahead[step] = self.pool.submit(self._make, step)
        return self.ahead[step]

    def _make(self, step: int) -> tuple[list[Piece], int]:
        return [self._piece(step, number) for number in self.numbers], self.data.position

    def _piece(self, step: int, number: int) -> Piece:
        phase = self.options.phase_at(step)
        rng = np.random.default_rng([self.options.seed, step, number])
        size, layout = phase.batch // self.total, None
        if self.options.layout:
            pictures, captions, scenes = self.data.known(rng, size)
            layout = targets(scenes, phase.resolution // SCALE)
        else:
            pictures, captions = self.data.batch(rng, size)
        captions = ["" if rng.random() < self.options.caption_dropout else text for text in captions]
        images, conditions = prepare(self.config, pictures, phase.resolution, rng)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        return Piece(images, *self.tokenizer.batch(captions), generator, conditions, layout)
