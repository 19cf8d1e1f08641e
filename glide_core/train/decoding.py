"""What all users' data sets do with a picture file, a caption file, and a file that cannot be used."""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..images import converted

EXTENSIONS = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif")
CAPTIONS = (".txt", ".caption")
BACKGROUND = "white"  # what transparent pictures are laid on; the colour that their files hide there is arbitrary


def square(file: Image.Image, side: int) -> np.ndarray:
    """Cut the centre square out of an opened picture and scale it: uint8 [side, side, 3].

    What is transparent is laid on ``BACKGROUND``.
    """
    image = converted(file, "RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image).convert("RGB")
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    interpolation = Image.Resampling.BOX if short >= side else Image.Resampling.BICUBIC
    return np.asarray(image.resize((side, side), interpolation, box=(left, top, left + short, top + short)))


def choose_line(text: str, rng: np.random.Generator) -> str:
    """Choose one of the captions in a caption file, which holds one on each line. Blank lines are none."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[rng.integers(len(lines))] if lines else ""


def warn(text: str) -> None:
    """Print a warning to stderr without breaking a progress bar."""
    tqdm.write(f"warning: {text}", file=sys.stderr)
