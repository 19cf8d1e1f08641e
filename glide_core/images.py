"""Pictures in files: read any, write PNGs that say how they were made, lay them out on a sheet."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from .errors import ImageError

MARGIN = 12
CAPTION_SIZE, LINE_HEIGHT = 15, 19
MIN_COLUMN = 120


def read(path: str | Path) -> Tensor:
    """A picture file of any kind -> [1, 3, H, W] float32 in -1..1; transparency is dropped.

    Raises:
        ValueError: it is missing or no picture.
    """
    return torch.from_numpy(_pixels(path, "RGB")).permute(2, 0, 1)[None].float() / 127.5 - 1


def read_photo(path: str | Path) -> Tensor:
    """A picture file of any kind -> [1, H, W, 3], or 4 with transparency, float32 in 0..1. Raises like ``read``."""
    pixels = _pixels(path, "RGBA")
    return torch.from_numpy(pixels if pixels[..., 3].min() < 255 else pixels[..., :3])[None].float() / 255


def read_mask(path: str | Path) -> Tensor:
    """A picture file of any kind -> [1, H, W], 1 where it is white. Raises like ``read``."""
    return torch.from_numpy(_pixels(path, "L"))[None].float() / 255


def _pixels(path: str | Path, mode: str) -> np.ndarray:
    try:
        with Image.open(path) as file:
            return np.array(converted(file, mode))
    except UnidentifiedImageError as error:
        raise ImageError(f"{path} is not a picture that Pillow can read") from error
    except (OSError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def converted(file: Image.Image, mode: str) -> Image.Image:
    """An opened picture of any kind in one of Pillow's modes, turned as its camera noted."""
    image = ImageOps.exif_transpose(file)
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow's convert would cut off at 255
        image = Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
    return image.convert(mode)


def write(path: Path, pixels: Tensor, parameters: dict[str, object]) -> None:
    """Write a PNG with ``parameters`` as JSON in the text chunk of that name; ``_save`` says how.

    The prompt also goes into PNG's own keyword "Description". A chunk named "prompt" would not do: ComfyUI takes that
    for a graph.

    Args:
        pixels: [H, W, 3 or 4] uint8.
    """
    info = PngInfo()
    info.add_text("Description", str(parameters["prompt"]))
    info.add_text("parameters", json.dumps(parameters, ensure_ascii=False))
    _save(Image.fromarray(pixels.numpy()), path, info)


def write_sheet(path: Path, images: Sequence[Image.Image], captions: Sequence[str], columns: int = 4) -> None:
    """Write a PNG of pictures of one size side by side, each with its caption under it."""
    width, height = images[0].size
    font = ImageFont.load_default(CAPTION_SIZE)
    column = max(width, MIN_COLUMN)
    texts = [_wrap(caption, font, column) for caption in captions]
    lines = 1 + max(text.count("\n") for text in texts)
    cell_width, cell_height = column + MARGIN, height + lines * LINE_HEIGHT + 2 * MARGIN
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    sheet = Image.new("RGB", (columns * cell_width + MARGIN, rows * cell_height + MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (image, text) in enumerate(zip(images, texts)):
        left, top = MARGIN + i % columns * cell_width, MARGIN + i // columns * cell_height
        sheet.paste(image, (left, top))
        draw.text((left, top + height + MARGIN // 2), text, fill="black", font=font)
    _save(sheet, path)


def _save(image: Image.Image, path: Path, info: PngInfo | None = None) -> None:
    """Write a PNG, all or nothing: a failure leaves what was there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        image.save(temporary, format="PNG", pnginfo=info)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Break a text into lines of at most ``width`` pixels, between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)
