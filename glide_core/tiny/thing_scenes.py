"""Captioned scenes of things::

    prompt      = [style "of"] objects [ground]              "an oil painting of a hedgehog on grass"
    objects     = object | object relation object            both in one style
    object      = "a(n)" [size] thing
    size        = "small" | "large"                          (medium, and the size of two, is unnamed)
    relation    = "above" | "below" | "to the left of" | "to the right of" | "next to"
    ground      = "on a(n)" colour "background" | "on grass" | "in the sky" | ...

Captions come in several phrasings; some leave out the style, the background or the size, and some say only a category
("an animal on sand"). Positions and extents are in pixels of a 256x256 picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from . import things
from .things import CATEGORIES, COLOURS, STYLES, TEXTURES, THINGS, a

Named = tuple[tuple[str, str | None], ...]  # for each object of a scene its name or category, and its size

SIDE = 256
SIZES = {"small": (74, 92), "medium": (140, 164), "large": (206, 230)}
PAIR_EXTENT = (92, 112)
PAIR_DISTANCE = 62  # of both centres from the middle
RELATIONS = ("above", "below", "to the left of", "to the right of", "next to")
OPPOSITE = {
    "above": "below", "below": "above", "to the left of": "to the right of", "to the right of": "to the left of",
    "next to": "next to",
}  # fmt: skip
PAIR_SHARE = 0.3
CATEGORY_SHARE = 0.15  # of scenes with one thing: it is drawn as the frequencies of its category say
COLOUR_JITTER = 8
VARIANTS = 48  # of each texture, and as many mirrored

# How a style is named before what is shown, and after it.
STYLE_NOUNS = {
    "cartoon": "a cartoon", "sticker": "a sticker", "flat": "a flat picture", "3d": "a 3d picture",
    "silhouette": "a silhouette", "pixel art": "pixel art", "pencil sketch": "a pencil sketch",
    "oil painting": "an oil painting", "ink painting": "an ink painting",
}  # fmt: skip
ADJECTIVES = {"bricks": "brick", "checks": "checked", "blur": "blurred"}  # before the word background


@dataclass(frozen=True)
class Item:
    """A thing in a scene: centre (x, y) and the longer side."""

    thing: str
    centre: tuple[float, float]
    extent: float


@dataclass(frozen=True)
class ThingScene:
    """One thing, or two with ``items[0] relation items[1]``.

    Attributes:
        ground: a colour's or a texture's name; rgb: the colour; variant: which of the textures, 0..2 * VARIANTS - 1.
        size: of the only thing, or None.
        category: what the thing was drawn for; its captions say no more of it. None: captions name it.
    """

    style: str
    ground: str
    items: tuple[Item, ...]
    rgb: tuple[int, int, int]
    variant: int
    size: str | None = None
    relation: str | None = None
    category: str | None = None


@dataclass(frozen=True)
class Said:
    """A caption and what it says; None where it leaves something open.

    Attributes:
        words: for each object its name or category, and its size.
        ends: for each object, where its name ends in the text.
    """

    text: str
    words: Named
    ends: tuple[int, ...]
    relation: str | None
    style: str | None
    ground: str | None


def sample_scene(rng: np.random.Generator, *, allow_held_out: bool = False) -> ThingScene:
    """A scene that training may show, or any."""
    if rng.random() < PAIR_SHARE:
        return _pair(rng, allow_held_out)
    category, thing = None, _choice(rng, THINGS)
    if rng.random() < CATEGORY_SHARE:
        category = _choice(rng, list(CATEGORIES))
        members = things.frequencies(category)
        thing = list(members)[rng.choice(len(members), p=list(members.values()))]
    style, ground = _look(rng, (thing,), allow_held_out)
    size = _choice(rng, list(SIZES))
    return single(rng, thing, style, ground, size, category)


def single(
    rng: np.random.Generator, thing: str, style: str, ground: str, size: str, category: str | None = None
) -> ThingScene:
    """A scene with one thing somewhere near the middle; a small one anywhere."""
    extent = rng.uniform(*SIZES[size])
    spread = 60 if size == "small" else 14
    centre = _kept_inside(SIDE / 2 + rng.uniform(-spread, spread, 2), extent)
    return ThingScene(style, ground, (Item(thing, centre, extent),), *_ground(rng, ground), size, category=category)


def pair(rng: np.random.Generator, first: str, second: str, relation: str, style: str, ground: str) -> ThingScene:
    """A scene with two things."""
    axis = np.array([0, 1]) if relation in ("above", "below") else np.array([1, 0])
    sign = -1 if relation in ("above", "to the left of") or (relation == "next to" and rng.random() < 0.5) else 1
    items = []
    for thing, side in ((first, sign), (second, -sign)):
        extent = rng.uniform(*PAIR_EXTENT)
        centre = SIDE / 2 + side * PAIR_DISTANCE * axis + axis[::-1] * rng.uniform(-14, 14) + rng.uniform(-3, 3, 2)
        items.append(Item(thing, _kept_inside(centre, extent), extent))
    return ThingScene(style, ground, tuple(items), *_ground(rng, ground), relation=relation)


def _pair(rng: np.random.Generator, allow_held_out: bool) -> ThingScene:
    while True:
        first, second = rng.choice(THINGS, 2, replace=False)
        if allow_held_out or not things.held_out_pair(first, second):
            break
    style, ground = _look(rng, (first, second), allow_held_out)
    return pair(rng, str(first), str(second), _choice(rng, RELATIONS), style, ground)


def _look(rng: np.random.Generator, names: tuple[str, ...], allow_held_out: bool) -> tuple[str, str]:
    """Style and background that these things may be shown with."""
    while True:
        style = things.choose_style(rng)
        if allow_held_out or not any(things.held_out_style(name, style) for name in names):
            break
    while True:
        ground = things.choose_ground(rng)
        shown = allow_held_out or not any(things.held_out_ground(name, ground) for name in names)
        if shown and things.visible(style, ground):
            return style, ground


def _ground(rng: np.random.Generator, ground: str) -> tuple[tuple[int, int, int], int]:
    rgb = np.array(COLOURS.get(ground, (0, 0, 0))) + rng.integers(-COLOUR_JITTER, COLOUR_JITTER + 1, 3)
    red, green, blue = (int(c) for c in rgb.clip(0, 255))
    return (red, green, blue), int(rng.integers(2 * VARIANTS))


def _kept_inside(centre: np.ndarray, extent: float) -> tuple[float, float]:
    reach = extent / 2 + 3
    x, y = (float(c) for c in np.clip(centre, reach, SIDE - reach))
    return x, y


def _choice(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


class Painter:
    """Renders scenes at one side.

    Args:
        drawings: see ``drawings.load``.
        textures: uint8 [len(TEXTURES), VARIANTS, 256, 256, 3].
    """

    def __init__(self, drawings: np.ndarray, textures: np.ndarray, side: int = SIDE):
        self.side = side
        held = min(SIDE, 2 * side)  # the largest thing nearly fills a picture
        self.drawings = [[_reduced(picture, held) for picture in styles] for styles in drawings]
        self.textures = [[_reduced(picture, side) for picture in variants] for variants in textures]

    def __call__(self, scene: ThingScene) -> np.ndarray:
        """uint8 [side, side, 3]."""
        canvas = self._canvas(scene)
        for item in scene.items:
            self._put(canvas, item, scene.style)
        return canvas

    def _canvas(self, scene: ThingScene) -> np.ndarray:
        if scene.ground in TEXTURES:
            texture = self.textures[list(TEXTURES).index(scene.ground)][scene.variant % VARIANTS]
            return np.ascontiguousarray(texture[:, ::-1] if scene.variant >= VARIANTS else texture).copy()
        canvas = np.empty((self.side, self.side, 3), np.uint8)
        return cv2.rectangle(canvas, (0, 0), (self.side, self.side), scene.rgb, cv2.FILLED)

    def _put(self, canvas: np.ndarray, item: Item, style: str) -> None:
        scale = self.side / SIDE
        extent = max(1, round(item.extent * scale))
        drawing = self.drawings[THINGS.index(item.thing)][list(STYLES).index(style)]
        drawing = cv2.resize(drawing, (extent, extent), interpolation=cv2.INTER_AREA)
        left, top = (int(np.clip(round(c * scale - extent / 2), 0, self.side - extent)) for c in item.centre)
        below = canvas[top : top + extent, left : left + extent]
        clear = 255 - drawing[..., 3:].astype(np.uint16)
        below[:] = drawing[..., :3] + ((below * clear + 127) // 255).astype(np.uint8)


def _reduced(picture: np.ndarray, side: int) -> np.ndarray:
    return picture if side == len(picture) else cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


def caption(scene: ThingScene, rng: np.random.Generator) -> Said:
    """One of the captions that are true of a scene, drawn anew at each call."""
    if rng.random() < 0.02:
        return _said(_bare(scene.ground), (), None, None, scene.ground)
    items, relation = list(scene.items), scene.relation
    if relation and rng.random() < 0.5:
        items, relation = items[::-1], OPPOSITE[relation]
    size = scene.size if scene.size != "medium" and rng.random() < 0.8 else None
    words = tuple((scene.category or item.thing, size) for item in items)
    style = scene.style if rng.random() < 0.75 else None
    ground = scene.ground if rng.random() < 0.85 else None
    return _said(_phrase(words, relation, style, ground, rng), words, relation, style, ground)


def _said(text: str, words: Named, relation: str | None, style: str | None, ground: str | None) -> Said:
    ends: list[int] = []
    start = 0
    for name, _ in words:
        start = text.index(name, start) + len(name)
        ends.append(start)
    return Said(text, words, tuple(ends), relation, style, ground)


def _phrase(words: Named, relation: str | None, style: str | None, ground: str | None, rng: np.random.Generator) -> str:
    objects = f" {relation} ".join(_object(*named) for named in words)
    place = _place(ground, rng) if ground else ""
    turned = False
    if ground and rng.random() < 0.12:
        turned = True
        objects, place = f"{_bare(ground)} with {objects}", ""
    if style and (turned or rng.random() < 0.35):
        return f"{objects}{place}, {style}"
    return f"{STYLE_NOUNS[style]} of {objects}{place}" if style else f"{objects}{place}"


def _object(name: str, size: str | None) -> str:
    if size is None:
        return a(name)
    return f"{size} {name}" if a(name) == name else a(f"{size} {name}")


def _bare(ground: str) -> str:
    return a(f"{ADJECTIVES.get(ground, ground)} background")


def _place(ground: str, rng: np.random.Generator) -> str:
    if ground in TEXTURES and rng.random() < 0.8:
        return f" {TEXTURES[ground]}"
    return f", {ADJECTIVES.get(ground, ground)} background" if rng.random() < 0.15 else f" on {_bare(ground)}"


def prompt(scene: ThingScene) -> str:
    """The plain prompt that says all of a scene: what quality is measured with."""
    size = scene.size if scene.size != "medium" else None
    objects = f" {scene.relation} ".join(_object(item.thing, size) for item in scene.items)
    place = TEXTURES.get(scene.ground) or f"on {_bare(scene.ground)}"
    return f"{STYLE_NOUNS[scene.style]} of {objects} {place}"


def held_out(scene: ThingScene) -> bool:
    """Whether training never shows what this scene shows together."""
    names = [item.thing for item in scene.items]
    return (
        any(things.held_out_style(name, scene.style) or things.held_out_ground(name, scene.ground) for name in names)
        or len(names) == 2
        and things.held_out_pair(*names)
    )


def held_out_scenes(count: int, seed: int = 10**9) -> list[ThingScene]:
    """Scenes that training never shows, the same for every measurement; none is about a category."""
    rng = np.random.default_rng(seed)
    found: list[ThingScene] = []
    while len(found) < count:
        scene = sample_scene(rng, allow_held_out=True)
        if held_out(scene) and scene.category is None:
            found.append(scene)
    return found
