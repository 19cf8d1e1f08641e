"""The figures beside the pictures of a study."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from tqdm import tqdm

from ..choices import family_member
from ..diffusion.composition import leads_somewhere, split_prompt
from ..scoring import Scorer
from ..tiny.asked import asked, share_right
from .cells import Cell
from .store import Store

THUMBNAIL = (
    32  # pixels of a side; pictures are compared at this size, so that what counts is what they show, not their grain
)
AT_A_TIME = 32
MOST_COMPARED = 64  # pictures of one prompt; their pairs are 2016


@dataclass(frozen=True)
class Figure:
    """One kind of figure.

    Attributes:
        title: what stands in tables and plots; unit: after it, or "".
        meaning: one sentence for the reader of a page.
        decimals: that are shown.
    """

    title: str
    meaning: str
    unit: str = ""
    decimals: int = 3


FIGURES = {
    "clip": Figure(
        "CLIP score", "How well a picture fits its prompt: the cosine of their embeddings. Higher fits better."
    ),
    "right": Figure(
        "right by the judge",
        "The share of what the prompt names (objects, colours, shapes, background) that a program sees in the picture.",
        "%",
        0,
    ),
    "saturation": Figure("saturation", "The mean saturation of the pixels, 0 to 1. Too much guidance raises it."),
    "contrast": Figure(
        "contrast",
        "The standard deviation of the pixels around their mean colour, 0 to 1. Too much guidance raises it.",
    ),
    "diversity": Figure(
        "diversity",
        "The mean distance between the pictures of two seeds (root mean square at 32x32), 0 to 1.",
    ),
    "seconds": Figure("time", "Seconds for a picture, on the machine that the page names.", "s", 1),
}
VARYING = ("seconds",)  # they differ from run to run, and come last


def measured(cells: Iterable[Cell], store: Store, scorer: Scorer | None) -> dict[Cell, dict[str, float]]:
    """The figures of single pictures, by the keys of ``FIGURES``; what a picture has not is left out.

    Args:
        cells: whose pictures are in the store.
        scorer: for the CLIP score.
    """
    cells = list(cells)
    scores = _scores(cells, store, scorer) if scorer else {}
    found = {}
    for cell in tqdm(cells, "measuring", unit="picture", disable=len(cells) < AT_A_TIME):
        pixels, wanted, seconds = store.pixels(cell), asked(cell.prompt), store.seconds_of(cell)
        figures = {"clip": scores[cell]} if cell in scores else {}
        if wanted is not None and is_embedded(cell):
            figures["right"] = 100 * share_right(wanted, pixels)
        figures |= {"saturation": saturation(pixels), "contrast": contrast(pixels)}
        if seconds is not None:
            figures["seconds"] = seconds
        found[cell] = figures
    return found


def is_embedded(cell: Cell) -> bool:
    """Is the picture by a model that knows the drawn scenes, so that their judge can look at it?"""
    return cell.checkpoint == family_member("tiny", "base")


def saturation(pixels: np.ndarray) -> float:
    """The mean saturation (of HSV), 0..1, of uint8 [H, W, 3]; black has none."""
    highest, lowest = pixels.max(axis=-1).astype(np.float64), pixels.min(axis=-1)
    return float(np.mean((highest - lowest) / np.maximum(highest, 1)))


def contrast(pixels: np.ndarray) -> float:
    """The standard deviation of the pixels' values around their mean colour, 0..1, of uint8 [H, W, 3]."""
    return float(np.sqrt(np.mean(np.var(pixels.reshape(-1, 3) / 255, axis=0))))


def diversity(thumbnails: Sequence[np.ndarray]) -> float | None:
    """The mean distance of all pairs of pictures of one size, uint8 [H, W, 3], 0..1; None of less than two."""
    if len(thumbnails) < 2:
        return None
    scaled = [each.astype(np.float64) / 255 for each in thumbnails[:MOST_COMPARED]]
    return float(np.mean([np.sqrt(np.mean((a - b) ** 2)) for a, b in combinations(scaled, 2)]))


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """A picture uint8 [H, W, 3] at the size at which pictures are compared."""
    return cv2.resize(pixels, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)


def _scores(cells: Sequence[Cell], store: Store, scorer: Scorer) -> dict[Cell, float]:
    """CLIP scores of the cells whose prompt is one text."""
    scored = [cell for cell in cells if leads_somewhere(cell.prompt) and len(split_prompt(cell.prompt)) == 1]
    found: dict[Cell, float] = {}
    for group in _of_one_size(scored):
        for start in range(0, len(group), AT_A_TIME):
            some = group[start : start + AT_A_TIME]
            scores = scorer.scores(store.samples(some), [cell.prompt for cell in some])
            found |= dict(zip(some, scores.tolist()))
    return found


def _of_one_size(cells: Sequence[Cell]) -> list[list[Cell]]:
    """The cells in groups whose pictures have one size."""
    groups: dict[tuple[str, str | None], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.checkpoint, cell.upsampler), []).append(cell)
    return list(groups.values())
