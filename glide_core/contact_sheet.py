"""Many pictures on one: a contact sheet with a caption under each, and a grid with labels along its sides."""

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
MISSING = "#dddddd"  # the colour of a cell without a picture
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
    """Write a PNG with pictures side by side, see ``draw_sheet``.

    A caption in letters that no font here has is numbered instead, and stands in a text file beside the sheet.

    Raises:
        OptionError: the sheet would have more than ``MAX_PIXELS``.
    """
    sheet = draw_sheet(images, captions, columns, what=f"--sheet {path}")
    write_whole(path, sheet)
    numbered = unreadable(captions)
    if numbered:
        beside = path.with_name(f"{path.name}.captions.txt")
        write_text_whole(beside, "\n".join(numbered) + "\n")
        text = f"no font here has the letters of {len(numbered)} prompts: they are numbered, see {beside}"
        warnings.warn(text, GlideWarning, stacklevel=2)


def draw_sheet(images: Iterable[Image.Image], captions: Sequence[str], columns: int, *, what: str) -> Image.Image:
    """Pictures side by side, each with its caption under it. They are drawn one after the other, so a generator keeps
    memory low. A caption in letters that no font here has is drawn as "no. 3", see ``unreadable``.

    Args:
        images: of one size, as many as there are captions.
        what: errors call it.
    Raises:
        OptionError: the sheet would have more than ``MAX_PIXELS``.
    """
    images = iter(images)
    first = next(images)
    width, height = first.size
    column = max(width, MIN_COLUMN)
    require_sheet_size(what, (column, height * len(captions)), len(captions))  # before the fonts are looked at
    texts = [fitted(caption, column) for caption in _readable(captions)]
    lines = 1 + max(text.count("\n") for text, _ in texts)
    cell_width, cell_height = column + MARGIN, height + lines * LINE_HEIGHT + 2 * MARGIN
    columns = min(columns, len(texts))
    rows = math.ceil(len(texts) / columns)
    sheet_size = (columns * cell_width + MARGIN, rows * cell_height + MARGIN)
    require_sheet_size(what, sheet_size, len(texts))
    sheet = Image.new("RGB", sheet_size, "white")
    draw = ImageDraw.Draw(sheet)
    for i, (image, (text, font)) in enumerate(zip(chain([first], images), texts)):
        left, top = MARGIN + i % columns * cell_width, MARGIN + i // columns * cell_height
        sheet.paste(image, (left, top))
        draw.text((left, top + height + MARGIN // 2), text, fill="black", font=font)
    return sheet


def draw_grid(images: Sequence[Image.Image], columns: Sequence[str], rows: Sequence[str]) -> Image.Image:
    """Pictures row by row, with the labels of the columns above and of the rows on the left, wrapped and drawn as the
    captions of ``draw_sheet``.

    Args:
        images: of any sizes, at most as many as there are places; those that are missing at the end are left grey.
    Raises:
        OptionError: the grid would have more than ``MAX_PIXELS``.
    """
    width, height = (max(image.size[side] for image in images) for side in (0, 1))
    column = max(width, MIN_COLUMN)
    size = (len(columns) * (column + MARGIN) + MIN_COLUMN, len(rows) * (height + MARGIN))
    require_sheet_size("the grid", size, len(images))
    above = [fitted(label, column) for label in _readable(columns)]
    beside = [fitted(label, MIN_COLUMN) for label in _readable(rows)]
    left = 2 * MARGIN + MIN_COLUMN
    top = MARGIN + LINE_HEIGHT * max(1 + text.count("\n") for text, _ in above)
    row_height = max(height, *(LINE_HEIGHT * (1 + text.count("\n")) for text, _ in beside))
    grid = Image.new("RGB", (left + len(columns) * (column + MARGIN), top + len(rows) * (row_height + MARGIN)), "white")
    draw = ImageDraw.Draw(grid)
    for place, (text, font) in enumerate(above):
        draw.text((left + place * (column + MARGIN), MARGIN // 2), text, fill="black", font=font)
    for place, (text, font) in enumerate(beside):
        draw.text((MARGIN, top + place * (row_height + MARGIN)), text, fill="black", font=font)
    for place in range(len(columns) * len(rows)):
        corner = (
            left + place % len(columns) * (column + MARGIN),
            top + place // len(columns) * (row_height + MARGIN),
        )
        if place < len(images):
            grid.paste(images[place], corner)
        else:
            draw.rectangle((*corner, corner[0] + width - 1, corner[1] + height - 1), fill=MISSING)
    return grid


def unreadable(labels: Iterable[str]) -> list[str]:
    """Those labels that are drawn as their number because no font here has their letters, as "no. 3: the label"."""
    return [f"no. {place}: {label}" for place, label in enumerate(labels, start=1) if font_for(label) is None]


def _readable(labels: Sequence[str]) -> list[str]:
    return [label if font_for(label) else f"no. {place}" for place, label in enumerate(labels, start=1)]


def fitted(label: str, width: int) -> tuple[str, Font]:
    """A text in lines of so many pixels, and the font that has its letters, or Pillow's own."""
    font = font_for(label) or _default_font()
    return _wrapped(label, font, width), font


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


def require_sheet_size(what: str, size: tuple[int, int], count: int) -> None:
    """Raise OptionError where a sheet of so many pictures is too large for a picture file; ``what`` is its name."""
    if size[0] * size[1] > MAX_PIXELS:
        raise OptionError(f"{what}: {count} pictures make a sheet of {size[0]}x{size[1]} pixels; leave it out")


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
