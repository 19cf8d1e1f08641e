"""A WebDataset: tar files in which picture and caption have the same name (0001.jpg, 0001.txt)."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import numpy as np
import webdataset
from PIL import Image
from webdataset.shardlists import expand_urls

from .data import choose_line, square, warn

EXTENSIONS = ("png", "jpg", "jpeg", "webp", "bmp")
SHUFFLE_BUFFER = 1000
MAX_BAD_IN_A_ROW = 1000


class Shards:
    """An endless stream of samples, in another order each epoch. A bad sample or shard is reported and skipped.

    Args:
        source: a folder of .tar files, or whatever webdataset opens: one file, a pattern such as
            ``shards-{0000..0099}.tar``, URLs.
        seed: decides the order.
        process, processes: this process takes every ``processes``-th sample.
    Raises:
        ValueError: a file is not there.
    """

    def __init__(self, source: str, side: int, *, seed: int = 0, process: int = 0, processes: int = 1):
        self.source, self.side, self.seed = source, side, seed
        self.process, self.processes = process, processes
        self.urls = _urls(source)
        self.seek(0)

    def seek(self, position: int) -> None:
        self.stream = self._samples()
        for _ in islice(self.stream, position):
            pass
        self.position = position

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[str]]:
        """The next good pictures, uint8 [size, side, side, 3], and a caption for each (a random line of it)."""
        samples, bad = [], 0
        while len(samples) < size:
            raw = next(self.stream)
            self.position += 1
            try:
                samples.append(self._decoded(raw))
                bad = 0
            except Exception as error:  # damaged files raise anything
                warn(f"{raw['__url__']}: {raw['__key__']} is left out: {error}")
                bad += 1
            if bad == MAX_BAD_IN_A_ROW:
                raise ValueError(f"{self.source}: {bad} samples in a row were no picture with a caption")
        return np.stack([pixels for pixels, _ in samples]), [choose_line(text, rng) for _, text in samples]

    def _decoded(self, raw: dict) -> tuple[np.ndarray, str]:
        picture = next((raw[extension] for extension in EXTENSIONS if extension in raw), None)
        if picture is None:
            raise ValueError("it has no picture")
        if "txt" not in raw:
            raise ValueError("it has no caption (.txt)")
        with Image.open(io.BytesIO(picture)) as file:
            return square(file, self.side), raw["txt"].decode("utf-8-sig")

    def _samples(self) -> Iterator[dict]:
        for epoch in count():
            urls = random.Random(f"{self.seed} {epoch}").sample(self.urls, len(self.urls))
            epoch_samples = webdataset.DataPipeline(
                webdataset.SimpleShardList(urls),
                webdataset.tarfile_to_samples(handler=_report),
                lambda samples: islice(samples, self.process, None, self.processes),
                webdataset.shuffle(SHUFFLE_BUFFER, seed=self.seed + epoch),
            )
            empty = True
            for sample in epoch_samples:
                empty = False
                yield sample
            if empty:
                raise ValueError(f"{self.source}: there are no samples for process {self.process} in it")


def _report(error: Exception) -> bool:
    warn(f"a shard is left out from here on: {error}")
    return True


def _urls(source: str) -> list[str]:
    if Path(source).is_dir():
        return [str(path) for path in sorted(Path(source).glob("*.tar"))]
    urls = expand_urls(source)
    for url in urls:
        if ":" not in url and not Path(url).is_file():
            raise ValueError(f"{url} is not there")
    return urls
