"""Captioned scenes that a program draws: what the embedded tiny models learn from.

This is the grammar of the prompts, which ``docs/tiny-models.md`` describes in words::

    prompt      = objects ["on a(n)" background "background"]
    objects     = object | object relation object
    object      = "a(n)" [size] [style] colour shape
    size        = "small" | "large"                       (medium is unnamed)
    style       = "flat" | "outlined" | "striped"         (flat is usually unnamed)
    shape       = "circle" | "square" | "triangle" | "star" | "cross" | "heart"
    colour      = "red" | "green" | "blue" | "yellow" | "orange" | "purple" | "white" | "black"
    background  = "white" | "black" | "gray" | "blue" | "green" | "pink"
    relation    = "above" | "below" | "to the left of" | "to the right of" | "inside"

Captions have several phrasings, and some are partial: they leave out what a prompt may leave open ("a star",
"something red on a black background", "a pink background"). Of two objects side by side each is small or medium;
"inside" is a small object in a large one. A scene is a function of its seed alone. All positions are in pixels of a
256x256 picture.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

RGB = tuple[int, int, int]
Choice = TypeVar("Choice")

SIDE = 256
SUPERSAMPLING = 2
COLOURS: dict[str, RGB] = {
    "red": (220, 30, 35),
    "green": (35, 160, 55),
    "blue": (35, 75, 215),
    "yellow": (250, 220, 40),
    "orange": (250, 135, 25),
    "purple": (130, 45, 165),
    "white": (245, 245, 245),
    "black": (18, 18, 18),
}
BACKGROUNDS: dict[str, RGB] = {
    **{name: COLOURS[name] for name in ("white", "black", "blue", "green")},
    "gray": (140, 140, 145),
    "pink": (250, 165, 200),
}
COLOUR_JITTER = 8  # each channel differs from the named colour by up to this number
SIZES = {"small": (22, 27), "medium": (38, 46), "large": (62, 72)}  # from the smallest radius to the largest
STYLES = ("flat", "outlined", "striped")
RELATIONS = ("above", "below", "to the left of", "to the right of", "inside")
OPPOSITE = dict(zip(RELATIONS[:4], ("below", "above", "to the right of", "to the left of")))
STRIPE_PERIOD, STRIPE_WIDTH, OUTLINE_WIDTH = 4, 2, 4  # in pixels
HELD_OUT_PERCENT = 10
FIRST_HELD_OUT_SEED = 10**9
SINGLE_SHARE = 0.6  # share of the scenes with one object


def _regular(corners: int, inner: float = 1.0) -> np.ndarray:
    """The corners [N, 2] of a regular polygon, or with ``inner`` < 1 of a star, one of them at the top."""
    count = corners if inner == 1 else 2 * corners
    angles = 2 * math.pi * np.arange(count) / count - math.pi / 2
    radii = np.where(np.arange(count) % 2, inner, 1.0)[:, None]
    return np.asarray(radii * np.stack([np.cos(angles), np.sin(angles)], axis=1))


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) - 2.5
    return np.stack([16 * np.sin(t) ** 3, y], axis=1) / 15.0


def _cross(arm: float = 0.36) -> np.ndarray:
    corner = [(-arm, -1), (arm, -1), (arm, -arm)]
    turns = [((x, y), (-y, x), (-x, -y), (y, -x)) for x, y in corner]
    return np.array([turn[k] for k in range(4) for turn in turns], dtype=np.float64)


# The outlines around (0, 0), [N, 2], are scaled so that shapes of one radius look equally large.
SHAPES = {
    "circle": _regular(64),
    "square": _regular(4) @ np.array([[1, 1], [-1, 1]]) / math.sqrt(2) * 1.25,
    "triangle": _regular(3) * 1.35,
    "star": _regular(5, inner=0.45) * 1.35,
    "cross": _cross() * 1.1,
    "heart": _heart() * 1.1,
}


@dataclass(frozen=True)
class Object:
    """One shape. Its centre (x, y) and radius are in pixels, its rotation in radians."""

    shape: str
    colour: str
    size: str
    style: str
    centre: tuple[float, float]
    radius: float
    rotation: float
    rgb: RGB

    @property
    def outline(self) -> np.ndarray:
        """The corners (x, y) in pixels, [N, 2]."""
        cos, sin = math.cos(self.rotation), math.sin(self.rotation)
        turned = SHAPES[self.shape] @ np.array([[cos, sin], [-sin, cos]])
        return np.asarray(turned * self.radius + self.centre)


@dataclass(frozen=True)
class Scene:
    """One object, or two of which the first is in this relation to the second."""

    background: str
    background_rgb: RGB
    objects: tuple[Object, ...]
    relation: str | None = None


def held_out(shape: str, colour: str, background: str) -> bool:
    """Is this one of the combinations that training never shows? Quality is measured on them."""
    return zlib.crc32(f"{shape} {colour} {background}".encode()) % 100 < HELD_OUT_PERCENT


def sample_scene(seed: int, *, allow_held_out: bool = False) -> Scene:
    """The scene of a seed, which is the same on every machine.

    Args:
        allow_held_out: also return scenes with combinations that are ``held_out``; else those are drawn again.
    """
    rng = np.random.default_rng(seed)
    while True:
        scene = _sample(rng)
        if allow_held_out or not _has_held_out(scene):
            return scene


def _sample(rng: np.random.Generator) -> Scene:
    background = _choice(rng, list(BACKGROUNDS))
    relation = None if rng.random() < SINGLE_SHARE else _choice(rng, RELATIONS)
    colours = [_choice(rng, [c for c in COLOURS if c != background])]
    if relation is None:
        size = _choice(rng, list(SIZES))
        objects = [_object(rng, colours[0], size, SIDE / 2 + rng.uniform(-44, 44, 2))]
    else:
        inside = relation == "inside"
        colours.append(_choice(rng, [c for c in COLOURS if c != background and not (inside and c == colours[0])]))
        sizes = ["small", "large"] if inside else [_choice(rng, ("small", "medium")) for _ in range(2)]
        centres = _centres(rng, relation)
        objects = [_object(rng, colours[k], sizes[k], centres[k]) for k in range(2)]
    return Scene(background, _jitter(rng, BACKGROUNDS[background]), tuple(objects), relation)


def _object(rng: np.random.Generator, colour: str, size: str, centre: np.ndarray) -> Object:
    smallest, largest = SIZES[size]
    radius = rng.uniform(smallest, largest)
    reach = 1.4 * radius + 2  # keeps every outline, turned by any angle, in the picture
    return Object(
        shape=_choice(rng, list(SHAPES)),
        colour=colour,
        size=size,
        style=_choice(rng, STYLES) if rng.random() < 0.6 else "flat",
        centre=tuple(np.clip(centre, reach, SIDE - reach)),
        radius=radius,
        rotation=rng.uniform(-0.2, 0.2),
        rgb=_jitter(rng, COLOURS[colour]),
    )


def _centres(rng: np.random.Generator, relation: str) -> tuple[np.ndarray, np.ndarray]:
    middle = SIDE / 2 + rng.uniform(-14, 14, 2)
    if relation == "inside":
        return middle, middle
    axis = np.array([0, 1]) if relation in ("above", "below") else np.array([1, 0])
    sign = -1 if relation in ("above", "to the left of") else 1
    offset = sign * axis * 62 + axis[::-1] * rng.uniform(-14, 14)
    return SIDE / 2 + offset + rng.uniform(-3, 3, 2), SIDE / 2 - offset + rng.uniform(-3, 3, 2)


def _jitter(rng: np.random.Generator, rgb: RGB) -> RGB:
    r, g, b = np.clip(np.array(rgb) + rng.integers(-COLOUR_JITTER, COLOUR_JITTER + 1, 3), 0, 255)
    return int(r), int(g), int(b)


def _choice(rng: np.random.Generator, options: Sequence[Choice]) -> Choice:
    return options[int(rng.integers(len(options)))]


def render(scene: Scene, side: int = SIDE) -> np.ndarray:
    """Draw a scene: uint8 [side, side, 3]. A small picture is the area average of the 256x256 one."""
    import cv2

    canvas = _filled(SIDE * SUPERSAMPLING, SIDE * SUPERSAMPLING, scene.background_rgb)
    for item in reversed(scene.objects):  # an inner object comes first in the caption, and must be drawn last
        _draw(canvas, item)
    picture = cv2.resize(canvas, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return picture if side == SIDE else cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


def _filled(height: int, width: int, rgb: RGB) -> np.ndarray:
    import cv2

    canvas = np.empty((height, width, 3), np.uint8)
    return cv2.rectangle(canvas, (0, 0), (width, height), rgb, cv2.FILLED)  # 20 times as fast as numpy's broadcast


def _draw(canvas: np.ndarray, item: Object) -> None:
    import cv2

    points = _fixed_point(item.outline)
    if item.style == "striped":
        mask = np.zeros(canvas.shape[:2], np.uint8)
        cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, shift=4)
        alpha = mask[..., None].astype(np.uint16)
        canvas[:] = (_stripes(item.rgb) * alpha + canvas * (255 - alpha) + 127) // 255
        return
    cv2.fillPoly(canvas, [points], item.rgb, cv2.LINE_AA, shift=4)
    if item.style == "outlined":
        cv2.polylines(canvas, [points], True, accent(item.rgb), OUTLINE_WIDTH * SUPERSAMPLING, cv2.LINE_AA, shift=4)


def _stripes(rgb: RGB) -> np.ndarray:
    """The colour of each row of the canvas, uint16 [height, 1, 3].

    A period of the stripes is one row of the 64x64 picture, where they only darken the colour.
    """
    rows = np.arange(SIDE * SUPERSAMPLING) // SUPERSAMPLING % STRIPE_PERIOD < STRIPE_WIDTH
    return np.where(rows[:, None, None], np.array(accent(rgb), np.uint16), np.array(rgb, np.uint16))


def accent(rgb: RGB) -> RGB:
    """The colour of stripes and outlines: a darker shade, or for black a lighter one."""
    r, g, b = rgb
    return (r // 2, g // 2, b // 2) if max(rgb) > 64 else (r + 80, g + 80, b + 80)


def _fixed_point(points: np.ndarray) -> np.ndarray:
    """Pixels of the picture -> OpenCV's coordinates on the canvas, which count from pixel centres in 16ths."""
    return np.round((points * SUPERSAMPLING - 0.5) * 16).astype(np.int32)


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """Choose one of the captions that are true of a scene; about a quarter of them are partial."""
    if rng.random() < 0.03:
        return f"{_a(scene.background)} background"
    objects, relation = list(scene.objects), scene.relation
    if relation is not None and relation in OPPOSITE and rng.random() < 0.5:
        objects, relation = objects[::-1], OPPOSITE[relation]
    detail = "full" if rng.random() < 0.8 else _choice(rng, ("colour", "shape", "both"))
    text = f" {relation} ".join(_describe(item, detail, relation, rng) for item in objects)
    if rng.random() < (0.1 if detail == "full" else 0.4):
        return text
    ground = f"{_a(scene.background)} background"
    phrasing = rng.integers(10)
    if phrasing == 0:
        return f"{text}, {scene.background} background"
    if phrasing == 1:
        return f"{ground} with {text}"
    if phrasing == 2:
        return f"{text} against {ground}"
    return f"{text} on {ground}"


def _describe(item: Object, detail: str, relation: str | None, rng: np.random.Generator) -> str:
    if detail == "colour":
        return f"something {item.colour}"
    words = [item.shape] if detail == "shape" else [item.colour, item.shape]
    if detail == "full":
        named = item.style != "flat" or rng.random() < 0.15
        if named and rng.random() < 0.8:
            words.insert(0, item.style)
        # Where one object is inside another their sizes go without saying.
        if item.size != "medium" and not (relation == "inside" and rng.random() < 0.5):
            words.insert(0, item.size)
    return _a(" ".join(words))


def _a(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def prompt(scene: Scene) -> str:
    """The plain prompt that says all of a scene. Quality is measured with it."""
    text = f" {scene.relation} ".join(_a(" ".join(_named(item))) for item in scene.objects)
    return f"{text} on {_a(scene.background)} background"


def _named(item: Object) -> list[str]:
    unnamed = ("medium", "flat")
    return [word for word in (item.size, item.style, item.colour, item.shape) if word not in unnamed]


def held_out_scenes(count: int) -> list[Scene]:
    """Scenes with a combination that training never shows; they are the same for every measurement."""
    scenes = (sample_scene(seed, allow_held_out=True) for seed in itertools.count(FIRST_HELD_OUT_SEED))
    return list(itertools.islice((scene for scene in scenes if _has_held_out(scene)), count))


def _has_held_out(scene: Scene) -> bool:
    return any(held_out(item.shape, item.colour, scene.background) for item in scene.objects)
