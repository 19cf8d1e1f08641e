"""Rows become pictures: the models of a worker, loaded when the first row asks for them."""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from .. import pipeline
from ..device import DTYPES, exact_fp32
from ..diffusion.guidance import TextEncoding
from ..diffusion.noise import picture_seeds
from ..editing.photo import Editor, edit, scored, squares
from ..editing.regions import clean
from ..errors import CheckpointError, ImageError, OptionError
from ..files import checkpoints
from ..images import read_image, read_mask, read_photo, to_uint8
from ..models.tokenizer import Tokenizer
from ..pipeline import Sampling, Stage
from ..scoring import Scorer, best, load_scorer
from .packages import need
from .reach import reaching
from .request import FIRST_MODEL, Painting
from .rows import Picture, Row

Read = TypeVar("Read")
KEPT_PROMPTS = 256  # encodings that a stage keeps
DRY_SIZE = 64  # pixels of a side


class Painted(NamedTuple):
    """A picture, uint8 [H, W, 3 or 4]; of the best of several its score and the seed that it was made with, too."""

    pixels: Tensor
    score: float | None = None
    try_seed: int | None = None


class Painter(Protocol):
    """Makes the pictures of rows that are equal but for prompt, negative, seed and pixels."""

    def __call__(self, rows: Sequence[Row]) -> list[Painted]:
        """One for each row."""

    def tokenizer(self, task: str) -> Tokenizer:
        """What the first model of a task reads prompts with. Raises CheckpointError where it has none."""


class DryPainter:
    """Flat pictures, each in the colour that its seed gives it."""

    def __init__(self, painting: Painting) -> None:
        self.painting = painting

    def __call__(self, rows: Sequence[Row]) -> list[Painted]:
        return [Painted(self._flat(row.seed)) for row in rows]

    def tokenizer(self, task: str) -> Tokenizer:
        """See ``Painter.tokenizer``; of the model no more than its sizes is kept."""
        path = checkpoints.find(str(getattr(self.painting.models, FIRST_MODEL[task])))
        return checkpoints.tokenizer_for(checkpoints.read_model(path)[1], path)

    def _flat(self, seed: int) -> Tensor:
        colour = np.frombuffer(hashlib.sha256(str(seed).encode()).digest()[:3], np.uint8)
        return torch.from_numpy(np.broadcast_to(colour, (DRY_SIZE, DRY_SIZE, 3)).copy())


class PromptCache(Stage):
    """A stage that encodes each prompt once and by itself, so that its encoding does not depend on the others."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._kept: OrderedDict[str, TextEncoding] = OrderedDict()

    def encode(self, prompts: Sequence[str]) -> TextEncoding:
        """See ``Stage.encode``."""
        encoded = [self._encode_one(prompt) for prompt in prompts]
        return TextEncoding(*(torch.cat(parts) for parts in zip(*encoded)))

    def _encode_one(self, prompt: str) -> TextEncoding:
        found = self._kept.pop(prompt, None) or super().encode([prompt])
        self._kept[prompt] = found
        if len(self._kept) > KEPT_PROMPTS:
            self._kept.popitem(last=False)
        return found


class ModelPainter:
    """The models of a run on one device.

    Args:
        painting: see there; device: such as "cuda:1".
        folder: what relative paths of pictures are relative to.
    """

    def __init__(self, painting: Painting, device: str, folder: str) -> None:
        self.painting, self.device, self.folder = painting, device, folder
        self._stages: dict[str, Stage] = {}
        exact_fp32()
        if device == "cpu":
            torch.set_num_threads(painting.threads)

    def __call__(self, rows: Sequence[Row]) -> list[Painted]:
        """See ``Painter``.

        Raises:
            GlideError: the rows cannot be painted.
            RuntimeError, MemoryError: there is not enough memory.
        """
        paint = {"generate": self._generated, "upsample": self._upsampled, "inpaint": self._repainted}
        return paint[rows[0].task](rows)

    def tokenizer(self, task: str) -> Tokenizer:
        """See ``Painter.tokenizer``."""
        return self._stage(task, FIRST_MODEL[task]).tokenizer

    @cached_property
    def _scorer(self) -> Scorer:
        return load_scorer(self.painting.scorer, clip=self.painting.clip, device=self.device)

    def _stage(self, task: str, name: str) -> Stage:
        if name not in self._stages:
            source = self.painting.models.of_task(task)[name]
            dtype = DTYPES[self.painting.dtype]
            stage = PromptCache.load(source, device=self.device, dtype=dtype)
            try:
                pipeline.require_kind(stage, KINDS[name])
            except OptionError as error:
                raise CheckpointError(f"--{name.replace('_', '-')} {source}: {error}") from error
            self._stages[name] = stage
        return self._stages[name]

    def _generated(self, rows: Sequence[Row]) -> list[Painted]:
        """The best of several is chosen of the base's pictures if the scorer sees enough of them there."""
        tries = self.painting.best_of
        if not tries:
            return [Painted(pixels) for pixels in to_uint8(self._enlarged(rows, self._drawn(rows)))]
        candidates = self._candidates(rows, tries)
        early = self._scorer.side <= self._stage("generate", "base").model.config.image_size
        samples = self._drawn(candidates) if early else self._enlarged(candidates, self._drawn(candidates))
        chosen, scores = self._best(candidates, samples, tries)
        kept, samples = [candidates[k] for k in chosen], samples[chosen]
        pixels = to_uint8(self._enlarged(kept, samples) if early else samples)
        return [Painted(picture, score, row.seed) for picture, score, row in zip(pixels, scores, kept)]

    def _drawn(self, rows: Sequence[Row]) -> Tensor:
        """The base's pictures."""
        base, sampling = self._stage("generate", "base"), rows[0].sampling

        def draw(part: list[Row], start: int) -> Tensor:
            prompts, negatives, seeds = _asked(part)
            return pipeline.generate(base, prompts, sampling, negative=negatives, seed=seeds)

        return self._in_batches(rows, draw)

    def _enlarged(self, rows: Sequence[Row], samples: Tensor) -> Tensor:
        """The base's pictures by the upsampler, where there is one."""
        if self.painting.models.upsampler is None:
            return samples
        upsampler, sampling = self._stage("generate", "upsampler"), self.painting.upsampling
        return self._in_batches(rows, self._upsampling(upsampler, samples, sampling))

    def _upsampling(self, stage: Stage, low_res: Tensor, sampling: Sampling) -> Callable[[list[Row], int], Tensor]:
        def enlarge(part: list[Row], start: int) -> Tensor:
            prompts, negatives, seeds = _asked(part)
            last = len(low_res) - 1
            small = low_res[[min(start + k, last) for k in range(len(part))]]
            return pipeline.upsample(stage, prompts, small, sampling, negative=negatives, seed=seeds)

        return enlarge

    def _upsampled(self, rows: Sequence[Row]) -> list[Painted]:
        """Pictures of one size are enlarged together, and of another each by itself."""
        stage, tries = self._stage("upsample", "upsampler"), self.painting.best_of
        pictures = [self._read("image", row.image, read_image) for row in rows]
        if len({picture.shape for picture in pictures}) > 1:
            raise OptionError("the pictures of a batch have several sizes")
        candidates = self._candidates(rows, tries or 1)
        low_res = torch.cat(pictures).repeat_interleave(tries or 1, dim=0)
        samples = self._in_batches(candidates, self._upsampling(stage, low_res, rows[0].sampling))
        if not tries:
            return [Painted(pixels) for pixels in to_uint8(samples)]
        chosen, scores = self._best(candidates, samples, tries)
        return [Painted(to_uint8(samples[[k]])[0], score, candidates[k].seed) for k, score in zip(chosen, scores)]

    def _repainted(self, rows: Sequence[Row]) -> list[Painted]:
        return [self._inpainted(row) for row in rows]

    def _inpainted(self, row: Row) -> Painted:
        photo = self._read("image", row.image, read_photo)
        mask = clean(self._read("mask", row.mask, lambda file: read_mask(file, photo)))
        (height, width), (mask_height, mask_width) = photo.pixels.shape[1:3], mask.shape[1:]
        if (height, width) != (mask_height, mask_width):
            raise ImageError(f"mask is {mask_width}x{mask_height}, but image is {width}x{height}: resize one of them")
        editor = Editor(
            base=self._stage("inpaint", "base_inpaint"),
            upsampler=self._stage("inpaint", "upsample_inpaint"),
            sampling=row.sampling,
            upsampling=self.painting.upsampling,
            negative=row.negative,
            progress=lambda name: nullcontext(),
        )
        found, seeds = squares(mask), picture_seeds(row.seed, self.painting.best_of or 1)
        images = [edit(editor, row.prompt, photo.pixels, mask, found, seed=seed) for seed in seeds]
        pixels = [(image[0] * 255).round().to(torch.uint8) for image in images]
        if not self.painting.best_of:
            return Painted(pixels[0])
        if not found:
            raise ImageError("the mask is empty: there is nothing to choose the best of")
        scores = [scored(self._scorer, image, mask, found, row.prompt) for image in images]
        (chosen,) = best(torch.tensor(scores), 1)
        return Painted(pixels[chosen], scores[chosen], seeds[chosen])

    def _candidates(self, rows: Sequence[Row], tries: int) -> list[Row]:
        """Each row several times, with the seeds of the pictures of a batch; the first one has the row's own."""
        return [replace(row, seed=seed) for row in rows for seed in picture_seeds(row.seed, tries)]

    def _best(self, candidates: Sequence[Row], samples: Tensor, tries: int) -> tuple[list[int], list[float]]:
        """The places of the best tries of each row, and their scores. The tries of a row are scored by themselves, so
        that the other rows make no difference."""
        chosen, found = [], []
        for start in range(0, len(candidates), tries):
            some = slice(start, start + tries)
            scores = self._scorer.scores(samples[some], [row.prompt for row in candidates[some]])
            (first,) = best(scores, 1)
            chosen.append(start + first)
            found.append(float(scores[first]))
        return chosen, found

    def _in_batches(self, rows: Sequence[Row], paint: Callable[[list[Row], int], Tensor]) -> Tensor:
        """What ``paint`` makes of the rows, and of the place of the first of them, in batches of one size.

        The last one is filled up with its last row: kernels compute a batch of another size in another order.
        """
        made, size = [], self.painting.batch
        for start in range(0, len(rows), size):
            part = list(rows[start : start + size])
            made.append(paint([*part, *part[-1:] * (size - len(part))], start)[: len(part)])
        return torch.cat(made)

    def shrink(self, batch: int) -> None:
        """Paint fewer pictures at once from now on."""
        self.painting = replace(self.painting, batch=batch)

    def _read(self, name: str, picture: Picture | None, read: Callable[[io.BytesIO], Read]) -> Read:
        """Read a picture of a row. Raises ImageError that names the column and the file."""
        where = f"{name} {picture}" if isinstance(picture, str) else name
        try:
            return read(self._content(picture))
        except ImageError as error:
            raise ImageError(f"{where}: {error}") from error
        except (OSError, ValueError) as error:
            raise ImageError(f"{where} cannot be read: {getattr(error, 'strerror', None) or error}") from error

    def _content(self, picture: Picture | None) -> io.BytesIO:
        if isinstance(picture, bytes):
            return io.BytesIO(picture)
        url = _joined(self.folder, str(picture))
        with reaching(url):
            files, path = need("fsspec").core.url_to_fs(url)
            return io.BytesIO(files.cat_file(path))


def _asked(rows: Sequence[Row]) -> tuple[list[str], list[str], list[int]]:
    """The prompts, negatives and seeds of rows."""
    return [row.prompt for row in rows], [row.negative for row in rows], [row.seed for row in rows]


KINDS = {
    "base": "base",
    "upsampler": "upsample",
    "base_inpaint": "base-inpaint",
    "upsample_inpaint": "upsample-inpaint",
}


def _joined(folder: str, path: str) -> str:
    absolute = "://" in path or path.startswith("/") or path[1:3] == ":\\"
    return path if absolute or not folder else f"{folder}/{path}"
