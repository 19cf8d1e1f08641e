"""Styles made by program: a drawing of a thing turned into pixel art, a pencil sketch, an oil or an ink painting.

Each function takes and returns uint8 [256, 256, 4] with colours multiplied by alpha.
"""

from __future__ import annotations

import cv2
import numpy as np

PIXELS = 18  # side of the grid of pixel art
LEVELS = 4  # of each colour in pixel art
OUTLINE = np.array([40, 28, 48], np.float32)  # of pixel art
INK = np.array([24, 24, 44], np.float32)


def centred(picture: np.ndarray, side: int) -> np.ndarray:
    """[h, w, C] in the middle of an empty [side, side, C]."""
    top, left = (side - picture.shape[0]) // 2, (side - picture.shape[1]) // 2
    canvas = np.zeros((side, side, picture.shape[2]), picture.dtype)
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


def pixel_art(drawing: np.ndarray) -> np.ndarray:
    """Few colours on a coarse grid with a dark outline: told from the drawing even where a cell is hardly a pixel."""
    inner = PIXELS - 2
    small = cv2.resize(drawing.astype(np.float32), (inner, inner), interpolation=cv2.INTER_AREA)
    colour, alpha = _apart(centred(small, PIXELS))
    step = 255 / (LEVELS - 1)
    solid = (alpha > 110).astype(np.uint8)
    colour = np.where(solid[..., None] > 0, np.round(colour / step) * step, OUTLINE)
    alpha = 255.0 * cv2.dilate(solid, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    return cv2.resize(_joined(colour, alpha), drawing.shape[:2], interpolation=cv2.INTER_NEAREST)


def pencil_sketch(drawing: np.ndarray) -> np.ndarray:
    """Dark where brightness changes and, hatched, where it is dark, on white paper."""
    colour, alpha = _apart(drawing.astype(np.float32))
    gray = cv2.cvtColor(_on_white(colour, alpha), cv2.COLOR_RGB2GRAY)
    lines = np.clip(gray / np.maximum(cv2.GaussianBlur(gray, (0, 0), 6), 1), 0, 1) ** 3
    edges = cv2.morphologyEx(alpha, cv2.MORPH_GRADIENT, np.ones((7, 7), np.uint8)) / 255
    y, x = np.mgrid[: gray.shape[0], : gray.shape[1]]
    hatching = 1 - 0.45 * ((x + y) % 10 < 4) * np.clip(1.15 - gray / 200, 0, 1)
    tone = 255 * np.clip(lines * hatching * (1 - 0.75 * edges), 0.15, 1)
    return _joined(np.repeat(tone[..., None], 3, axis=2), alpha)


def oil_painting(drawing: np.ndarray) -> np.ndarray:
    """Flat strokes with bristles in strong colours."""
    rng = np.random.default_rng(0)
    colour, alpha = _apart(drawing.astype(np.float32))
    strokes = _strokes(rng, drawing.shape[:2])
    flow = np.stack([cv2.GaussianBlur(rng.normal(0, 1, drawing.shape[:2]), (0, 0), 7) for _ in range(2)])
    flow *= 4 / flow.std()
    y, x = np.mgrid[: drawing.shape[0], : drawing.shape[1]].astype(np.float32)
    x, y = x + flow[0].astype(np.float32), y + flow[1].astype(np.float32)
    smeared = cv2.remap(np.dstack([_filled(colour, alpha), alpha]), x, y, cv2.INTER_LINEAR)
    smeared = cv2.medianBlur(smeared.round().astype(np.uint8), 9).astype(np.float32)
    hsv = cv2.cvtColor(smeared[..., :3] / 255, cv2.COLOR_RGB2HSV)
    hsv[..., 1] = np.minimum(1, 1.35 * hsv[..., 1] + 0.05)
    hsv[..., 2] = np.clip(0.9 * hsv[..., 2] * (1 + 0.28 * strokes), 0, 1)
    return _joined(255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), smeared[..., 3])


def ink_painting(drawing: np.ndarray) -> np.ndarray:
    """Washes of dark ink with running borders; where the drawing is light, what is behind it shows."""
    rng = np.random.default_rng(0)
    colour, alpha = _apart(drawing.astype(np.float32))
    gray = cv2.cvtColor(_on_white(colour, alpha), cv2.COLOR_RGB2GRAY)
    spread = cv2.GaussianBlur(np.asarray(rng.normal(0, 1, gray.shape)), (0, 0), 4).astype(np.float32)
    wash = cv2.GaussianBlur(255 - gray, (0, 0), 5) + 96 * spread
    tones = np.select([wash > 170, wash > 110, wash > 55], [235, 150, 75], 18).astype(np.float32)
    outline = cv2.morphologyEx(alpha, cv2.MORPH_GRADIENT, np.ones((11, 11), np.uint8))
    cover = np.maximum(cv2.GaussianBlur(tones, (0, 0), 2.5) * alpha / 255, 0.9 * cv2.GaussianBlur(outline, (0, 0), 2))
    return _joined(np.broadcast_to(INK, colour.shape), np.clip(cover, 0, 255))


def _strokes(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """[H, W] about -1..1: bristles along diagonals."""
    noise = rng.normal(0, 1, shape).astype(np.float32)
    kernel = np.zeros((31, 31), np.float32)
    cv2.line(kernel, (4, 27), (27, 4), 1.0, 2)
    streaks = cv2.filter2D(noise, -1, kernel / kernel.sum())
    return np.clip(streaks / (1.6 * streaks.std()), -1, 1)


def _apart(drawing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 colours multiplied by alpha -> colours, alpha; both 0..255."""
    alpha = drawing[..., 3]
    return np.clip(drawing[..., :3] * 255 / np.maximum(alpha, 1)[..., None], 0, 255), alpha


def _joined(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.dstack([colour * (alpha / 255)[..., None], alpha]).round().astype(np.uint8)


def _on_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    part = (alpha / 255)[..., None]
    return colour * part + 255 * (1 - part)


def _filled(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours carried beyond the outline, so that smearing brings none from outside."""
    part = (alpha / 255)[..., None]
    blurred, weight = (cv2.GaussianBlur(layer, (0, 0), 8) for layer in (colour * part, alpha / 255))
    return np.where(part > 0.5, colour, blurred / np.maximum(weight, 1e-3)[..., None]).clip(0, 255)


PAINTERS = {
    "pixel art": pixel_art, "pencil sketch": pencil_sketch, "oil painting": oil_painting, "ink painting": ink_painting,
}  # fmt: skip
