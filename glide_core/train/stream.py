"""An endless, shuffled stream of the samples in large files, such as tar shards or parquet files."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, islice

import numpy as np

from ..errors import DatasetError
from .decoding import Decoded, Sample, choose, decode, warn
from .left_out import LeftOut, Unusable

SHUFFLE_BUFFER = 1000
MAX_BAD_IN_A_ROW = 1000

ReadFiles = Callable[[Sequence[str], LeftOut], Iterator[Sample]]


class Stream:
    """Every sample once in an epoch, in another order in each. What cannot be used is counted in ``left_out``.

    Args:
        place: what the user called the files, for messages.
        files: the files or URLs.
        read: gives the samples of some files one by one.
        side: of the pictures, in pixels.
        background: the colour on which transparency is laid.
        seed: decides the order.
        process, processes: this process takes every ``processes``-th sample, from number ``process`` on.
    """

    def __init__(
        self,
        place: str,
        files: Sequence[str],
        read: ReadFiles,
        side: int,
        *,
        background: str = "white",
        seed: int = 0,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.place, self.files, self.read = place, files, read
        self.side, self.background, self.seed = side, background, seed
        self.process, self.processes = process, processes
        self.left_out = LeftOut()
        self.total: int | None = None  # is known only after all was read
        self.seek(0)

    def seek(self, position: int) -> None:
        """Continue after the first ``position`` samples of the stream."""
        self.stream = self._endless()
        for _ in islice(self.stream, position):
            pass
        self.position = position

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[str]]:
        """Take the next readable pictures, uint8 [size, side, side, 3], and for each one of its captions.

        Raises:
            DatasetError: many samples in a row cannot be used, or there is none at all.
        """
        read: list[Decoded] = []
        bad = 0
        while len(read) < size:
            sample = next(self.stream)
            self.position += 1
            try:
                read.append(decode(sample, self.side, self.background))
                bad = 0
            except Unusable as error:
                if self.left_out.add(error.reason, error.name, error.detail):
                    warn(f"{error.name} is left out ({error.detail}); further {error.reason} are counted at the end")
                bad += 1
            if bad == MAX_BAD_IN_A_ROW:
                raise DatasetError(f"{self.place}: {bad} samples in a row cannot be used ({self.left_out})")
        return np.stack([decoded.pixels for decoded in read]), [choose(decoded.captions, rng) for decoded in read]

    def in_order(self, most: int | None = None) -> Iterator[Sample]:
        """The samples of all processes as they lie in the files; or the first ``most`` of them."""
        return islice(self.read(self.files, self.left_out), most)

    def _endless(self) -> Iterator[Sample]:
        for epoch in count():
            order = random.Random(f"{self.seed} {epoch}")
            files = order.sample(self.files, len(self.files))
            empty = True
            for sample in shuffled(islice(self.read(files, self.left_out), self.process, None, self.processes), order):
                empty = False
                yield sample
            if empty:
                why = f" ({self.left_out})" if self.left_out.count else ""
                raise DatasetError(f"{self.place}: there are no samples for process {self.process} in it{why}")


def shuffled(samples: Iterable[Sample], order: random.Random) -> Iterator[Sample]:
    """The samples in a random order, of which at most ``SHUFFLE_BUFFER`` are in memory."""
    buffer: list[Sample] = []
    for sample in samples:
        if len(buffer) < SHUFFLE_BUFFER:
            buffer.append(sample)
            continue
        chosen = order.randrange(SHUFFLE_BUFFER)
        buffer[chosen], sample = sample, buffer[chosen]
        yield sample
    order.shuffle(buffer)
    yield from buffer
