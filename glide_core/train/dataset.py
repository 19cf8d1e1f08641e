"""What the trainer asks of a data set. ``folder`` and ``stream`` read users' files; other rooms bring their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .decoding import Sample
from .left_out import LeftOut


class Dataset(Protocol):
    """Square pictures of one size with their captions.

    Attributes:
        position: how many samples of a stream have been read; it stays 0 where samples are drawn at random.
    """

    position: int

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[str]]:
        """Take some samples.

        Args:
            rng: makes every random choice, so that a resumed training repeats it.
            size: number of samples.
        Returns:
            Pictures, uint8 [size, side, side, 3], and one caption for each.
        Raises:
            DatasetError: the data set has no readable sample.
        """

    def seek(self, position: int) -> None:
        """Continue a stream after its first ``position`` samples; data sets without a stream ignore this."""


@runtime_checkable
class LabelledDataset(Dataset, Protocol):
    """A data set that also knows what its pictures show, which is what an ``AuxiliaryLoss`` learns from."""

    def labelled_batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[str], Sequence[Any]]:
        """Take some samples as ``batch`` does. The third value is a label for each, for ``AuxiliaryLoss.targets``."""


@runtime_checkable
class FileDataset(Dataset, Protocol):
    """A data set in a user's files, which can hold anything.

    Attributes:
        place: what the user called it.
        side: of the pictures, in pixels.
        background: the colour on which transparency is laid.
        left_out: what was found that cannot be used, so far.
        total: how many samples there are, or None where only reading all of them would tell.
    """

    place: str
    side: int
    background: str
    left_out: LeftOut
    total: int | None

    def in_order(self, most: int | None = None) -> Iterator[Sample]:
        """All samples of one epoch, not read yet; or at most so many of them."""


class DataSource(Protocol):
    """What a data set can be opened from, once the size of the pictures and the number of processes are known."""

    def open(self, side: int, *, seed: int, process: int, processes: int) -> Dataset:
        """Open the data set.

        Args:
            side: of the pictures, in pixels.
            seed: decides the order of a stream.
            process, processes: this process reads every ``processes``-th sample of a stream, from number ``process``.
        Raises:
            DatasetError: the source does not exist or holds no samples.
        """
