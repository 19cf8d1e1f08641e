"""A contact sheet: many pictures on one, each with its caption under it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from .errors import OptionError
from .images import write_whole

MARGIN = 12
CAPTION_SIZE, LINE_HEIGHT = 15, 19
MIN_COLUMN = 120
MAX_PIXELS = 150_000_000  # Pillow warns of larger pictures as possible bombs when they are opened

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def write_sheet(path: Path, images: Iterable[Image.Image], captions: Sequence[str], columns: int = 4) -> None:
    """Write a PNG with pictures side by side. They are drawn one after the other, so a generator keeps memory low.

    Args:
        images: of one size, as many as there are captions.
    Raises:
        OptionError: the sheet would have more than ``MAX_PIXELS``.
    """
    images = iter(images)
    first = next(images)
    width, height = first.size
    font = ImageFont.load_default(CAPTION_SIZE)
    column = max(width, MIN_COLUMN)
    texts = [_wrapped(caption, font, column) for caption in captions]
    lines = 1 + max(text.count("\n") for text in texts)
    cell_width, cell_height = column + MARGIN, height + lines * LINE_HEIGHT + 2 * MARGIN
    columns = min(columns, len(texts))
    rows = math.ceil(len(texts) / columns)
    sheet_size = (columns * cell_width + MARGIN, rows * cell_height + MARGIN)
    require_sheet_size(path, sheet_size, len(texts))
    sheet = Image.new("RGB", sheet_size, "white")
    draw = ImageDraw.Draw(sheet)
    for i, (image, text) in enumerate(zip(chain([first], images), texts)):
        left, top = MARGIN + i % columns * cell_width, MARGIN + i // columns * cell_height
        sheet.paste(image, (left, top))
        draw.text((left, top + height + MARGIN // 2), text, fill="black", font=font)
    write_whole(path, sheet)


def require_sheet_size(path: Path, size: tuple[int, int], count: int) -> None:
    """Raise OptionError where a sheet of so many pictures is too large for a picture file."""
    if size[0] * size[1] > MAX_PIXELS:
        raise OptionError(f"--sheet {path}: {count} pictures make a sheet of {size[0]}x{size[1]} pixels; leave it out")


def _wrapped(text: str, font: Font, width: int) -> str:
    """The text in lines of at most ``width`` pixels, broken between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)
