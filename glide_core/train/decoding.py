"""What all users' data sets do with one picture and its captions."""

from __future__ import annotations

import codecs
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageColor, UnidentifiedImageError
from tqdm import tqdm

from ..errors import OptionError
from ..images import converted, register_heif
from .left_out import BAD_CAPTION, BAD_PICTURE, NO_CAPTION, Unusable

HEIF = (".heic", ".heif")
EXTENSIONS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif"),
    *(".jp2", ".ppm", ".pgm", ".pbm", ".tga", ".psd", ".qoi", ".mpo"),
    *HEIF,
)
CAPTIONS = (".txt", ".caption", ".json")
CAPTION_KEYS = ("caption", "text", "prompt")
MAX_CAPTION_FILE = 1_000_000  # bytes


@dataclass(frozen=True)
class Sample:
    """One picture with its captions, not read yet.

    Attributes:
        name: of the picture, for messages.
        picture: its file, or the content of that.
        caption: its file; or the content of that; or the caption itself.
        caption_name: of the caption's file, for messages; a .json file holds it under one of ``CAPTION_KEYS``.
        kind: where the caption is from, for the summary.
    """

    name: str
    picture: Path | bytes
    caption: Path | bytes | str
    caption_name: str
    kind: str


@dataclass(frozen=True)
class Decoded:
    """A sample that was read.

    Attributes:
        pixels: uint8 [side, side, 3].
        captions: without blank lines; empty where the file has no text.
        size: width and height of the whole picture, turned upright.
        transparent: some of it is, and was laid on the background.
        damaged_exif: how it must be turned could not be read.
        frames: how many pictures the file holds, of which the first was read.
    """

    pixels: np.ndarray
    captions: list[str]
    size: tuple[int, int]
    transparent: bool
    damaged_exif: bool
    frames: int


def decode(sample: Sample, side: int, background: str) -> Decoded:
    """Read a sample: the centre square of its picture, scaled to ``side``, and its captions.

    Args:
        background: the colour on which transparency is laid; the colour that a file hides there is arbitrary.
    Raises:
        Unusable: the picture or its caption cannot be read.
    """
    captions = _captions(sample)
    damaged: list[str] = []
    try:
        if sample.name.lower().endswith(HEIF):
            register_heif(sample.name)
        content = io.BytesIO(sample.picture) if isinstance(sample.picture, bytes) else sample.picture
        with Image.open(content) as file:
            frames = int(getattr(file, "n_frames", 1))
            mode = "RGBA" if file.has_transparency_data else "RGB"
            image = converted(file, mode, tell=damaged.append)
        transparent = mode == "RGBA" and np.asarray(image)[..., 3].min() < 255
        if transparent:
            image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
        pixels = centre_square(image.convert("RGB"), side)
    except UnidentifiedImageError as error:
        detail = "it is empty" if _is_empty(sample.picture) else "Pillow knows no such picture"
        raise Unusable(BAD_PICTURE, sample.name, detail) from error
    except Exception as error:  # a damaged file can raise anything
        detail = getattr(error, "strerror", None) or str(error).replace(sample.name, "it")
        raise Unusable(BAD_PICTURE, sample.name, detail) from error
    return Decoded(pixels, captions, image.size, bool(transparent), bool(damaged), frames)


def centre_square(image: Image.Image, side: int) -> np.ndarray:
    """Cut the centre square out of an RGB picture and scale it: uint8 [side, side, 3]."""
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    interpolation = Image.Resampling.BOX if short >= side else Image.Resampling.BICUBIC
    return np.asarray(image.resize((side, side), interpolation, box=(left, top, left + short, top + short)))


def _is_empty(picture: Path | bytes) -> bool:
    return not (picture if isinstance(picture, bytes) else picture.stat().st_size)


def _captions(sample: Sample) -> list[str]:
    if isinstance(sample.caption, str):
        return caption_lines(sample.caption)
    try:
        text = _text(sample.caption)
        if sample.caption_name.lower().endswith(".json"):
            text = caption_in(json.loads(text))
    except KeyError as error:
        raise Unusable(NO_CAPTION, sample.name, f"{sample.caption_name} has none") from error
    except UnicodeDecodeError as error:
        raise Unusable(BAD_CAPTION, sample.caption_name, "it is not UTF-8 text: save it as that") from error
    except (OSError, ValueError, RecursionError) as error:
        raise Unusable(BAD_CAPTION, sample.caption_name, getattr(error, "strerror", None) or error) from error
    return caption_lines(text)


def _text(caption: Path | bytes) -> str:
    size = len(caption) if isinstance(caption, bytes) else caption.stat().st_size
    if size > MAX_CAPTION_FILE:
        raise ValueError(f"it has {size} bytes, more than captions have")
    content = caption if isinstance(caption, bytes) else caption.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if wide else "utf-8-sig")
    if "\0" in text:
        raise ValueError("it holds null characters: save it as UTF-8")
    return text


def caption_in(row: Any) -> str:
    """The caption, or several of them on a line each, in a row of metadata.

    Raises:
        KeyError: there is none under any of ``CAPTION_KEYS``.
    """
    for key in CAPTION_KEYS:
        value = row.get(key) if isinstance(row, Mapping) else None
        if isinstance(value, str):
            return value
        if isinstance(value, Sequence) and value and all(isinstance(line, str) for line in value):
            return "\n".join(value)
    raise KeyError(f"it has no caption under {', '.join(CAPTION_KEYS)}")


def caption_lines(text: str) -> list[str]:
    """The captions in a text, which has one on each line. Blank lines are none."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def choose(captions: Sequence[str], rng: np.random.Generator) -> str:
    """Choose one of a picture's captions, or the empty one where it has none."""
    return captions[int(rng.integers(len(captions)))] if captions else ""


def require_colour(background: str) -> None:
    """Raise OptionError where this is not an opaque colour that Pillow knows."""
    try:
        opaque = len(ImageColor.getrgb(background)) == 3
    except ValueError:
        opaque = False
    if not opaque:
        raise OptionError(f"--background {background!r} is no colour: give a name such as white, or #rrggbb")


def note(text: str) -> None:
    """Print a line to stderr without breaking a progress bar."""
    tqdm.write(text, file=sys.stderr)


def warn(text: str) -> None:
    """Print a warning to stderr without breaking a progress bar."""
    note(f"warning: {text}")
