"""What all users' data sets do with a picture file, a caption file, and a file that cannot be used."""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..images import converted

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def square(file: Image.Image, side: int) -> np.ndarray:
    """Cut the centre square out of an opened picture and scale it: uint8 [side, side, 3]."""
    image = converted(file, "RGB")
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    interpolation = Image.Resampling.BOX if short >= side else Image.Resampling.BICUBIC
    return np.asarray(image.resize((side, side), interpolation, box=(left, top, left + short, top + short)))


def choose_line(text: str, rng: np.random.Generator) -> str:
    """Choose one of the captions in a caption file, which holds one on each line."""
    lines = text.splitlines()
    return lines[rng.integers(len(lines))].strip() if lines else ""


def warn(text: str) -> None:
    """Print a warning to stderr without breaking a progress bar."""
    tqdm.write(f"warning: {text}", file=sys.stderr)
