"""What callers hand to the pipeline, checked and brought into one form: a batch with one entry for each picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ImageError, OptionError


def prompt_list(prompts: str | Sequence[str], pictures: int = 1) -> list[str]:
    """One prompt for each picture; a single one is meant for all of them.

    Args:
        pictures: how many there are to work on, or 1 where they are made from prompts alone.
    """
    texts = _texts("prompts", prompts)
    return texts * pictures if len(texts) == 1 else texts


def negative_list(negative: str | Sequence[str], count: int) -> list[str]:
    """The text that each of ``count`` pictures is led away from; a single one is meant for all of them.

    Raises:
        OptionError: there is neither one text nor one for each picture.
    """
    texts = _texts("negative", negative)
    if isinstance(negative, str):
        return texts * count
    if len(texts) != count:
        raise OptionError(f"negative: {len(texts)} texts for {count} prompts: give one text, or one for each prompt")
    return texts


def _texts(name: str, given: str | Sequence[str]) -> list[str]:
    texts = [given] if isinstance(given, str) else list(given)
    for text in texts:
        if not isinstance(text, str):
            raise OptionError(f"{name}: {text!r} is not a text: give a text, or a list of texts")
    return texts


def picture_batch(name: str, pictures: Tensor, count: int) -> Tensor:
    """Pictures [B, 3, H, W] float32, with one for each of ``count`` prompts.

    Args:
        name: of the argument, for errors.
        pictures: [B or 1, 3 or 1, H, W] in -1..1; a single channel is grey.
    Raises:
        ImageError: the shape is another, the pictures are empty, or a value is NaN or infinite.
    """
    if pictures.ndim != 4 or pictures.shape[1] not in (1, 3) or 0 in pictures.shape[2:]:
        raise ImageError(f"{name} has the shape {list(pictures.shape)}: give pictures as [batch, 3, height, width]")
    return _one_each(name, pictures, count).expand(-1, 3, -1, -1)


def mask_batch(mask: Tensor, count: int) -> Tensor:
    """Masks [B, 1, H, W] float32, with one for each of ``count`` pictures.

    Args:
        mask: [B or 1, 1, H, W], 1 = repaint.
    Raises:
        ImageError: see ``picture_batch``.
    """
    if mask.ndim != 4 or mask.shape[1] != 1:
        raise ImageError(f"mask has the shape {list(mask.shape)}: give masks as [batch, 1, height, width]")
    return _one_each("mask", mask, count)


def padded(pictures: Tensor, multiple: int) -> Tensor:
    """Pictures [B, C, H, W] with the next multiples as sides: the last column and row are repeated beyond the edges."""
    height, width = pictures.shape[-2:]
    return F.pad(pictures, (0, -width % multiple, 0, -height % multiple), mode="replicate")


def _one_each(name: str, values: Tensor, count: int) -> Tensor:
    if len(values) not in (1, count):
        raise ImageError(f"{name}: a batch of {len(values)} for {count} pictures: give one for each, or one for all")
    if not values.isfinite().all():
        raise ImageError(f"{name} has values that are NaN or infinite")
    return values.to(torch.float32).expand(count, -1, -1, -1)


def of_size(name: str, pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures [..., H, W] that must be of the size (height, width). Raises ImageError, with the argument's name."""
    height, width = pictures.shape[-2:]
    if (height, width) != size:
        raise ImageError(f"{name} is {width}x{height}, but {size[1]}x{size[0]} is painted: resize it")
    return pictures
