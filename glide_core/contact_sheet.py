"""A contact sheet: many pictures on one, each with its caption under it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from .errors import GlideWarning, OptionError
from .images import write_text_whole, write_whole

MARGIN = 12
CAPTION_SIZE, LINE_HEIGHT = 15, 19
MIN_COLUMN = 120
MAX_PIXELS = 150_000_000  # Pillow warns of larger pictures as possible bombs when they are opened

NO_CHARACTER = "\U0010ffff"  # of no font: it shows what a font draws for what it does not have
FONT_FOLDERS = (
    "/usr/share/fonts",
    "~/.local/share/fonts",
    "/System/Library/Fonts",
    "/Library/Fonts",
    "C:/Windows/Fonts",
)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def write_sheet(path: Path, images: Iterable[Image.Image], captions: Sequence[str], columns: int = 4) -> None:
    """Write a PNG with pictures side by side. They are drawn one after the other, so a generator keeps memory low.

    A caption in letters that no font here has is numbered instead, and stands in a text file beside the sheet.

    Args:
        images: of one size, as many as there are captions.
    Raises:
        OptionError: the sheet would have more than ``MAX_PIXELS``.
    """
    images = iter(images)
    first = next(images)
    width, height = first.size
    column = max(width, MIN_COLUMN)
    require_sheet_size(path, (column, height * len(captions)), len(captions))  # before the fonts are looked at
    fonts = [font_for(caption) for caption in captions]
    named = [caption if font else f"no. {k}" for k, (caption, font) in enumerate(zip(captions, fonts), start=1)]
    default = _default_font()
    texts = [_wrapped(caption, font or default, column) for caption, font in zip(named, fonts)]
    lines = 1 + max(text.count("\n") for text in texts)
    cell_width, cell_height = column + MARGIN, height + lines * LINE_HEIGHT + 2 * MARGIN
    columns = min(columns, len(texts))
    rows = math.ceil(len(texts) / columns)
    sheet_size = (columns * cell_width + MARGIN, rows * cell_height + MARGIN)
    require_sheet_size(path, sheet_size, len(texts))
    sheet = Image.new("RGB", sheet_size, "white")
    draw = ImageDraw.Draw(sheet)
    for i, (image, text, font) in enumerate(zip(chain([first], images), texts, fonts)):
        left, top = MARGIN + i % columns * cell_width, MARGIN + i // columns * cell_height
        sheet.paste(image, (left, top))
        draw.text((left, top + height + MARGIN // 2), text, fill="black", font=font or default)
    write_whole(path, sheet)
    numbered = [f"{name}: {caption}" for name, caption, font in zip(named, captions, fonts) if font is None]
    if numbered:
        beside = path.with_name(f"{path.name}.captions.txt")
        write_text_whole(beside, "\n".join(numbered) + "\n")
        text = f"no font here has the letters of {len(numbered)} prompts: they are numbered, see {beside}"
        warnings.warn(text, GlideWarning, stacklevel=2)


def font_for(text: str) -> Font | None:
    """A font that has all characters of a text: Pillow's own, else one of the system's, else None."""
    if _has(_default_font(), text):
        return _default_font()
    return next((font for font in _system_fonts() if _has(font, text)), None)


@cache
def _default_font() -> Font:
    return ImageFont.load_default(CAPTION_SIZE)


@cache
def _system_fonts() -> tuple[ImageFont.FreeTypeFont, ...]:
    fonts = []
    for folder in FONT_FOLDERS:
        for path in sorted(Path(folder).expanduser().rglob("*.[to]t[fc]")):
            try:
                fonts.append(ImageFont.truetype(str(path), CAPTION_SIZE))
            except OSError:  # a damaged or protected font is none
                continue
    return tuple(fonts)


def _has(font: Font, text: str) -> bool:
    missing = bytes(font.getmask(NO_CHARACTER))
    return all(bytes(font.getmask(character)) != missing for character in set(text) if not character.isspace())


def require_sheet_size(path: Path, size: tuple[int, int], count: int) -> None:
    """Raise OptionError where a sheet of so many pictures is too large for a picture file."""
    if size[0] * size[1] > MAX_PIXELS:
        raise OptionError(f"--sheet {path}: {count} pictures make a sheet of {size[0]}x{size[1]} pixels; leave it out")


def _wrapped(text: str, font: Font, width: int) -> str:
    """The text in lines of at most ``width`` pixels, broken between words, or in a word that is longer."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines += _pieces(word, font, width)
    return "\n".join(line for line in lines if line)


def _pieces(word: str, font: Font, width: int) -> list[str]:
    pieces = [""]
    for character in word:
        if pieces[-1] and font.getlength(pieces[-1] + character) > width:
            pieces.append("")
        pieces[-1] += character
    return pieces
