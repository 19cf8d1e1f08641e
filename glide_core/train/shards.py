"""A data set in the tar files of a WebDataset, where a picture and its caption have one name (0001.jpg, 0001.txt)."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import webdataset
from PIL import Image
from webdataset.shardlists import expand_urls

from ..errors import DatasetError
from .decoding import CAPTIONS, EXTENSIONS, choose_line, square, warn

SHUFFLE_BUFFER = 1000
MAX_BAD_IN_A_ROW = 1000


class Shards:
    """An endless stream of samples, in another order in each epoch. A bad sample or shard is reported and skipped.

    Args:
        source: a folder of .tar files, or whatever webdataset opens: one file, a pattern such as
            ``shards-{0000..0099}.tar``, or URLs.
        side: of the pictures, in pixels.
        seed: decides the order.
        process, processes: this process takes every ``processes``-th sample, from number ``process`` on.
    Raises:
        DatasetError: one of the files does not exist.
    """

    def __init__(self, source: str, side: int, *, seed: int = 0, process: int = 0, processes: int = 1) -> None:
        self.source, self.side, self.seed = source, side, seed
        self.process, self.processes = process, processes
        self.urls = _urls(source)
        self.seek(0)

    def seek(self, position: int) -> None:
        """Continue after the first ``position`` samples of the stream."""
        self.stream = self._samples()
        for _ in islice(self.stream, position):
            pass
        self.position = position

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[str]]:
        """Take the next readable pictures, uint8 [size, side, side, 3], and for each a random line of its caption.

        Raises:
            DatasetError: many samples in a row cannot be used, or there is none at all.
        """
        samples: list[tuple[np.ndarray, str]] = []
        bad = 0
        while len(samples) < size:
            raw = next(self.stream)
            self.position += 1
            try:
                samples.append(self._decoded(raw))
                bad = 0
            except Exception as error:  # a damaged file can raise anything
                warn(f"{raw['__url__']}: {raw['__key__']} is left out: {error}")
                bad += 1
            if bad == MAX_BAD_IN_A_ROW:
                raise DatasetError(f"{self.source}: {bad} samples in a row were no picture with a caption")
        return np.stack([pixels for pixels, _ in samples]), [choose_line(text, rng) for _, text in samples]

    def _decoded(self, raw: dict[str, Any]) -> tuple[np.ndarray, str]:
        picture = _field(raw, EXTENSIONS)
        if picture is None:
            raise ValueError("it has no picture")
        with Image.open(io.BytesIO(picture)) as file:
            return square(file, self.side), _caption(raw)

    def _samples(self) -> Iterator[dict[str, Any]]:
        for epoch in count():
            urls = random.Random(f"{self.seed} {epoch}").sample(self.urls, len(self.urls))
            samples = webdataset.DataPipeline(
                webdataset.SimpleShardList(urls),
                webdataset.tarfile_to_samples(handler=_report),
                self._own_part,
                webdataset.shuffle(SHUFFLE_BUFFER, seed=self.seed + epoch),
            )
            empty = True
            for sample in samples:
                empty = False
                yield sample
            if empty:
                raise DatasetError(f"{self.source}: there are no samples for process {self.process} in it")

    def _own_part(self, samples: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        return islice(samples, self.process, None, self.processes)


def _field(raw: dict[str, Any], extensions: Sequence[str]) -> bytes | None:
    """The part of a sample with one of these extensions. In photo.v1.png webdataset takes v1.png for the extension."""
    return next((raw[name] for name in raw if f".{name}".lower().endswith(tuple(extensions))), None)


def _caption(raw: dict[str, Any]) -> str:
    """The caption of a sample: its .txt or .caption file, else what its .json file says."""
    text = _field(raw, CAPTIONS)
    if text is not None:
        return text.decode("utf-8-sig")
    notes = json.loads(_field(raw, (".json",)) or b"{}")
    found = next((notes[key] for key in ("caption", "text", "prompt") if isinstance(notes.get(key), str)), None)
    if found is None:
        raise ValueError('it has no caption (.txt, .caption, or .json with "caption", "text" or "prompt")')
    return str(found)


def _report(error: Exception) -> bool:
    """Handle webdataset's errors: True means to go on with the next shard."""
    warn(f"the rest of a shard is left out: {error}")
    return True


def _urls(source: str) -> list[str]:
    if Path(source).is_dir():
        return [str(path) for path in sorted(Path(source).glob("*.tar"))]
    urls: list[str] = expand_urls(source)
    for url in urls:
        if ":" not in url and not Path(url).is_file():
            raise DatasetError(f"{url} does not exist")
    return urls
