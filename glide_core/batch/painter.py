"""Rows become pictures: the models of a worker, loaded when the first row asks for them."""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from .. import pipeline
from ..device import DTYPES, exact_fp32
from ..diffusion.guidance import TextEncoding
from ..editing.photo import Editor, edit, squares
from ..editing.regions import clean
from ..errors import CheckpointError, ImageError, OptionError
from ..images import read_image, read_mask, read_photo, to_uint8
from ..pipeline import Stage
from .packages import need
from .request import Painting
from .rows import Picture, Row

Read = TypeVar("Read")
KEPT_PROMPTS = 256  # encodings that a stage keeps
DRY_SIZE = 64  # pixels of a side


class Painter(Protocol):
    """Makes the pictures of rows that are equal but for prompt, negative, seed and pixels."""

    def __call__(self, rows: Sequence[Row]) -> list[Tensor]:
        """-> uint8 [H, W, 3 or 4], one for each row."""


class DryPainter:
    """Flat pictures, each in the colour that its seed gives it."""

    def __call__(self, rows: Sequence[Row]) -> list[Tensor]:
        return [self._flat(row.seed) for row in rows]

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

    def __call__(self, rows: Sequence[Row]) -> list[Tensor]:
        """See ``Painter``.

        Raises:
            GlideError: the rows cannot be painted.
            RuntimeError, MemoryError: there is not enough memory.
        """
        task = rows[0].task
        if task == "inpaint":
            return [self._inpainted(row) for row in rows]
        samples = self._generated(rows) if task == "generate" else self._upsampled(rows)
        return list(to_uint8(samples))

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

    def _generated(self, rows: Sequence[Row]) -> Tensor:
        filled = self._filled(rows)
        prompts, negatives, seeds = zip(*((row.prompt, row.negative, row.seed) for row in filled))
        base = self._stage("generate", "base")
        samples = pipeline.generate(base, prompts, rows[0].sampling, negative=negatives, seed=seeds)
        if self.painting.models.upsampler is not None:
            upsampler = self._stage("generate", "upsampler")
            options = self.painting.upsampling
            samples = pipeline.upsample(upsampler, prompts, samples, options, negative=negatives, seed=seeds)
        return samples[: len(rows)]

    def _upsampled(self, rows: Sequence[Row]) -> Tensor:
        """Pictures of one size are enlarged together, and of another each by itself."""
        stage = self._stage("upsample", "upsampler")
        pictures = [self._read("image", row.image, read_image) for row in rows]
        if len({picture.shape for picture in pictures}) > 1:
            raise OptionError("the pictures of a batch have several sizes")
        filled = self._filled(rows)
        prompts, negatives, seeds = zip(*((row.prompt, row.negative, row.seed) for row in filled))
        low_res = torch.cat([*pictures, *pictures[-1:] * (len(filled) - len(rows))])
        samples = pipeline.upsample(stage, prompts, low_res, rows[0].sampling, negative=negatives, seed=seeds)
        return samples[: len(rows)]

    def _inpainted(self, row: Row) -> Tensor:
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
        image = edit(editor, row.prompt, photo.pixels, mask, squares(mask), seed=row.seed)
        return (image[0] * 255).round().to(torch.uint8)

    def _filled(self, rows: Sequence[Row]) -> list[Row]:
        """As many rows as a batch has: kernels compute a batch of another size in another order."""
        return [*rows, *[rows[-1]] * (self.painting.batch - len(rows))]

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
        files, path = need("fsspec").core.url_to_fs(_joined(self.folder, str(picture)))
        return io.BytesIO(files.cat_file(path))


KINDS = {
    "base": "base",
    "upsampler": "upsample",
    "base_inpaint": "base-inpaint",
    "upsample_inpaint": "upsample-inpaint",
}


def _joined(folder: str, path: str) -> str:
    absolute = "://" in path or path.startswith("/") or path[1:3] == ":\\"
    return path if absolute or not folder else f"{folder}/{path}"
