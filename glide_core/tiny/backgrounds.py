"""Textured backgrounds, drawn by program: each function makes a picture from random numbers.

float32 [256, 256, 3] in 0..255 (``draw`` rounds it to uint8).
"""

from __future__ import annotations

import colorsys
import math

import cv2
import numpy as np

SIDE = 256


def draw(name: str, rng: np.random.Generator) -> np.ndarray:
    """uint8 [256, 256, 3]; name: of ``things.TEXTURES``."""
    return np.clip(PAINTERS[name](rng), 0, 255).round().astype(np.uint8)


def noise(rng: np.random.Generator, cells: tuple[int, int], octaves: int = 1) -> np.ndarray:
    """Smooth noise [256, 256], about -1..1, on a grid of rows x columns; each further octave is twice as fine."""
    total = np.zeros((SIDE, SIDE), np.float32)
    for k in range(octaves):
        grid = rng.uniform(-1, 1, (cells[0] * 2**k + 1, cells[1] * 2**k + 1)).astype(np.float32)
        total += cv2.resize(grid, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) / 2**k
    return total / (2 - 2.0 ** (1 - octaves))


def mixed(first: np.ndarray, second: np.ndarray, part: np.ndarray) -> np.ndarray:
    """[256, 256] in 0..1 -> colours from first (0) to second (1)."""
    part = np.clip(part, 0, 1)[..., None]
    return np.asarray(first, np.float32) * (1 - part) + np.asarray(second, np.float32) * part


def _grid() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    return y, x


def _jittered(rng: np.random.Generator, rgb: tuple[int, int, int], amount: int = 10) -> np.ndarray:
    return np.array(rgb, np.float32) + rng.integers(-amount, amount + 1, 3)


def sky(rng: np.random.Generator) -> np.ndarray:
    y, _ = _grid()
    air = mixed(_jittered(rng, (70, 140, 225)), _jittered(rng, (170, 215, 250)), y / SIDE)
    clouds = noise(rng, (4, 2), 4) * 1.6 + rng.uniform(-0.1, 0.2)
    return air + (np.array((250, 252, 255), np.float32) - air) * np.clip(1.8 * clouds, 0, 0.95)[..., None]


def grass(rng: np.random.Generator) -> np.ndarray:
    blades = 0.55 * noise(rng, (12, 64), 2) + 0.45 * noise(rng, (3, 3), 2)
    return mixed(_jittered(rng, (45, 110, 35)), _jittered(rng, (135, 190, 70)), 0.5 + 0.75 * blades)


def sand(rng: np.random.Generator) -> np.ndarray:
    y, x = _grid()
    warp = 14 * noise(rng, (3, 3), 2)
    ripples = np.sin((y + 0.25 * x + warp) * 2 * math.pi / rng.uniform(22, 34))
    grain = noise(rng, (128, 128))
    return mixed(_jittered(rng, (205, 170, 115)), _jittered(rng, (245, 222, 170)), 0.5 + 0.35 * ripples + 0.25 * grain)


def water(rng: np.random.Generator) -> np.ndarray:
    y, _ = _grid()
    waves = np.sin((y + 10 * noise(rng, (4, 5), 2)) * 2 * math.pi / rng.uniform(16, 24))
    glints = np.clip(waves * 1.4 + noise(rng, (24, 8)) - 0.9, 0, 1)
    sea = mixed(_jittered(rng, (20, 95, 150)), _jittered(rng, (60, 165, 195)), 0.5 + 0.4 * waves)
    return sea + 150 * glints[..., None]


def wood(rng: np.random.Generator) -> np.ndarray:
    y, x = _grid()
    width = SIDE // 4
    plank = ((x + rng.integers(width)) // width).astype(int)
    shade = rng.uniform(-0.18, 0.18, 6)[plank]
    turns = rng.uniform(0, 50, 6)[plank]
    grain = np.sin((x + turns + 9 * noise(rng, (2, 10), 2)) * 2 * math.pi / 13)
    boards = mixed(_jittered(rng, (120, 75, 40)), _jittered(rng, (190, 135, 80)), 0.5 + shade + 0.3 * grain)
    gaps = (np.diff(plank, axis=1, prepend=plank[:, :1]) != 0).astype(np.float32)
    return boards * (1 - 0.6 * cv2.dilate(gaps, np.ones((1, 4), np.uint8)))[..., None]


def bricks(rng: np.random.Generator) -> np.ndarray:
    y, x = _grid()
    height, width = 32, 64
    y, x = y + rng.integers(height), x + rng.integers(width)
    row = (y // height).astype(int)
    x = x + width // 2 * (row % 2)
    column = (x // width).astype(int)
    tone = rng.uniform(-0.4, 0.4, (row.max() + 1, column.max() + 1))[row, column] + 0.25 * noise(rng, (64, 64), 2)
    wall = mixed(_jittered(rng, (150, 60, 45)), _jittered(rng, (205, 105, 75)), 0.5 + tone)
    mortar = (y % height < 5) | (x % width < 5)
    return np.where(mortar[..., None], _jittered(rng, (205, 195, 185)), wall)


def night(rng: np.random.Generator) -> np.ndarray:
    y, _ = _grid()
    picture = mixed(_jittered(rng, (8, 10, 40), 6), _jittered(rng, (40, 35, 95)), y / SIDE + 0.15 * noise(rng, (2, 2)))
    for _ in range(rng.integers(35, 55)):
        centre = tuple(int(c) for c in rng.integers(0, SIDE, 2))
        cv2.circle(picture, centre, int(rng.integers(1, 4)), (250, 245, 215), cv2.FILLED, cv2.LINE_AA)
    return picture


def checks(rng: np.random.Generator) -> np.ndarray:
    y, x = _grid()
    side = 32
    dark = ((y + rng.integers(side)) // side + (x + rng.integers(side)) // side) % 2
    return mixed(np.full(3, 248.0), _tint(rng, 0.55, 0.85), dark)


def gradient(rng: np.random.Generator) -> np.ndarray:
    y, x = _grid()
    angle = rng.uniform(0, 2 * math.pi)
    along = ((x - SIDE / 2) * math.cos(angle) + (y - SIDE / 2) * math.sin(angle)) / SIDE + 0.5
    hue = rng.uniform()
    return mixed(_tint(rng, 0.55, 0.95, hue), _tint(rng, 0.55, 0.95, hue + rng.uniform(0.25, 0.5)), along)


def blur(rng: np.random.Generator) -> np.ndarray:
    """As behind the subject of a photo: blurred spots of many colours."""
    picture = np.empty((SIDE, SIDE, 3), np.float32)
    picture[:] = _tint(rng, 0.35, 0.45)
    for _ in range(40):
        centre = tuple(int(c) for c in rng.integers(-20, SIDE + 20, 2))
        colour = tuple(float(c) for c in _tint(rng, 0.4, rng.uniform(0.25, 0.9)))
        cv2.circle(picture, centre, int(rng.integers(15, 45)), colour, cv2.FILLED)
    return cv2.GaussianBlur(picture, (0, 0), 14)


def _tint(rng: np.random.Generator, saturation: float, value: float, hue: float | None = None) -> np.ndarray:
    hue = rng.uniform() if hue is None else hue % 1
    return 255 * np.array(colorsys.hsv_to_rgb(hue, saturation, value), np.float32)


PAINTERS = {
    "sky": sky, "grass": grass, "sand": sand, "water": water, "wood": wood, "bricks": bricks, "night": night,
    "checks": checks, "gradient": gradient, "blur": blur,
}  # fmt: skip
