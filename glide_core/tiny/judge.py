"""A judge of pictures of drawn scenes: it tells what a picture shows by its colours, outlines and texture.

The judge knows the grammar of ``scenes`` and nothing of the models, so it can measure them. It is right about 99 of 100
true renderings, as ``tests/tiny/test_judge.py`` makes sure. All pixels are those of a 256x256 picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import permutations

import cv2
import numpy as np

from .scenes import BACKGROUNDS, COLOURS, SHAPES, SIZES, STRIPE_PERIOD, Scene, accent

FOREGROUND = 11.0  # a pixel belongs to an object if its colour is so far from the background's in Lab
CONTRAST = 7.0  # stripes and outlines differ at least so much in lightness
GRID = 64  # side of the grid on which blobs are compared with the outlines
GRID_SCALE = 26.0  # on that grid the square root of every blob's area is so many pixels
ROTATIONS = np.linspace(-0.24, 0.24, 9)


@dataclass(frozen=True)
class Seen:
    """One object that was found in a picture; its centre is (x, y) in pixels."""

    shape: str
    colour: str
    size: str
    style: str
    centre: tuple[float, float]


@dataclass(frozen=True)
class Sight:
    """What a picture shows. Where it is ``nested``, the first of its two objects lies inside the second."""

    background: str
    objects: tuple[Seen, ...]
    nested: bool = False


def look(picture: np.ndarray) -> Sight:
    """Tell what a picture shows: uint8 [256, 256, 3]."""
    lab = _lab(picture)
    border = np.ones(lab.shape[:2], bool)
    border[4:-4, 4:-4] = False
    ground = np.median(lab[border], axis=0)
    background = _nearest(ground[None], _palette(tuple(BACKGROUNDS.items())))[0]
    blobs, nested = _blobs(lab, np.linalg.norm(lab - ground, axis=2) > FOREGROUND)
    objects = tuple(_describe(lab, *blob) for blob in blobs)
    return Sight(list(BACKGROUNDS)[background], objects, nested)


def judge(sight: Sight, scene: Scene) -> dict[str, list[bool]]:
    """Compare what a picture shows with the scene that was asked for.

    The objects that were seen are paired with the scene's so that as much as possible is right.

    Returns:
        For "background", "colour", "shape", "size", "style" and "relation" one verdict each time it was asked for. A
        style counts only where it is not flat, because prompts do not name that one. "all" has one verdict about
        everything, including the number of objects.
    """
    best = max(
        (_verdicts(order, sight, scene) for order in permutations(_padded(sight.objects, len(scene.objects)))),
        key=lambda verdicts: sum(map(sum, verdicts.values())),
    )
    right = len(sight.objects) == len(scene.objects) and all(map(all, best.values()))
    return {**best, "all": [right]}


def _padded(seen: tuple[Seen, ...], count: int) -> list[Seen | None]:
    return [*seen[:3], *[None] * (count - len(seen))]


def _verdicts(order: tuple[Seen | None, ...], sight: Sight, scene: Scene) -> dict[str, list[bool]]:
    pairs = list(zip(order, scene.objects))
    verdicts = {"background": [sight.background == scene.background]}
    for name in ("colour", "shape", "size"):
        verdicts[name] = [seen is not None and getattr(seen, name) == getattr(item, name) for seen, item in pairs]
    verdicts["style"] = [seen is not None and seen.style == item.style for seen, item in pairs if item.style != "flat"]
    verdicts["relation"] = [_related(order, sight, scene.relation)] if scene.relation else []
    return verdicts


def _related(order: tuple[Seen | None, ...], sight: Sight, relation: str) -> bool:
    first, second = order[:2]
    if first is None or second is None:
        return False
    if relation == "inside" or sight.nested:
        return relation == "inside" and sight.nested and sight.objects[0] is first and sight.objects[1] is second
    dx, dy = np.subtract(second.centre, first.centre)
    if abs(dx) > abs(dy):
        return relation == ("to the left of" if dx > 0 else "to the right of")
    return relation == ("above" if dy > 0 else "below")


def _lab(picture: np.ndarray) -> np.ndarray:
    """uint8 RGB [..., 3] -> float32 Lab [..., 3]."""
    lab: np.ndarray = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return lab


@cache
def _palette(colours: tuple[tuple[str, tuple[int, int, int]], ...]) -> np.ndarray:
    """The Lab values [N, 3] of named colours."""
    return np.asarray(_lab(np.array([[rgb for _, rgb in colours]], np.uint8))[0])


def _nearest(lab: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """The index [N] of the nearest colour of a palette for each of the Lab values [N, 3]."""
    return np.asarray(np.linalg.norm(lab[:, None] - palette, axis=2).argmin(axis=1))


def _blobs(lab: np.ndarray, foreground: np.ndarray) -> tuple[list[tuple[np.ndarray, np.ndarray, int]], bool]:
    """Find the objects.

    Returns:
        For each object its filled mask, the mask of what covers it, and its colour's index; of nested objects the inner
        one comes first. And whether there are two nested objects.
    """
    mask = cv2.morphologyEx(foreground.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    nothing = np.zeros_like(mask)
    blobs, nested = [], False
    for part in _components(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))):
        colours = _colour_blobs(lab, part)
        if len(colours) < 2:
            blobs.append((_filled(part), nothing, _main_colour(lab, part)))
            continue
        (outer, outer_colour), (inner, inner_colour) = colours[:2]
        if _surrounds(outer, inner):
            nested = True
            blobs = [(_filled(inner), nothing, inner_colour), (_filled(part), _filled(inner), outer_colour), *blobs]
        else:  # the two objects only touch
            blobs += [(_filled(blob), nothing, colour) for blob, colour in colours[:2]]
    return blobs, nested and len(blobs) == 2


def _components(mask: np.ndarray) -> list[np.ndarray]:
    """The connected parts of a mask that are large enough for an object, the largest first."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA]
    smallest = 0.45 * _unit_areas().min() * SIZES["small"][0] ** 2
    large = [k for k in range(1, count) if areas[k] >= smallest]
    return [(labels == k).astype(np.uint8) for k in sorted(large, key=lambda k: -areas[k])]


def _colour_labels(lab: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The index [H, W] of each pixel's colour in ``COLOURS``, -1 outside the mask. An accent counts as its colour."""
    palette = tuple(COLOURS.items())
    accents = tuple((name, accent(rgb)) for name, rgb in palette)
    labels = np.full(mask.shape, -1)
    labels[mask > 0] = _nearest(lab[mask > 0], _palette(palette + accents)) % len(palette)
    return labels


def _main_colour(lab: np.ndarray, mask: np.ndarray) -> int:
    inside = cv2.erode(mask, np.ones((5, 5), np.uint8))
    labels = _colour_labels(lab, inside if inside.any() else mask)
    return int(np.bincount(labels[labels >= 0], minlength=len(COLOURS)).argmax())


def _colour_blobs(lab: np.ndarray, mask: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """The compact areas of one colour inside a mask, the largest first. An outline is too thin to be one."""
    labels = _colour_labels(lab, mask)
    blobs = []
    for colour in range(len(COLOURS)):
        area = cv2.morphologyEx((labels == colour).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
        area = cv2.morphologyEx(area, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8))
        blobs += [(blob, colour) for blob in _components(area)]
    return sorted(blobs, key=lambda blob: blob[0].sum(), reverse=True)


def _surrounds(outer: np.ndarray, inner: np.ndarray) -> bool:
    """Does most of what lies just around the inner blob belong to the outer one?"""
    wide, narrow = (cv2.dilate(inner, np.ones((side, side), np.uint8)) > 0 for side in (15, 11))
    return bool(outer[wide & ~narrow].mean() > 0.45)


def _filled(mask: np.ndarray) -> np.ndarray:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(mask), contours, -1, 1, cv2.FILLED)


def _describe(lab: np.ndarray, mask: np.ndarray, cover: np.ndarray, colour: int) -> Seen:
    moments = cv2.moments(mask, binaryImage=True)
    centre = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
    shape = _shape(mask, cover, centre, moments["m00"])
    radius = math.sqrt(moments["m00"] / _unit_areas()[shape])
    limits = [(SIZES["small"][1] + SIZES["medium"][0]) / 2, (SIZES["medium"][1] + SIZES["large"][0]) / 2]
    size = list(SIZES)[int(np.searchsorted(limits, radius))]
    return Seen(list(SHAPES)[shape], list(COLOURS)[colour], size, _style(lab[..., 0], mask, cover), centre)


def _shape(mask: np.ndarray, cover: np.ndarray, centre: tuple[float, float], area: float) -> int:
    """The index of the outline that overlaps most with a blob where nothing covers it (intersection over union).

    Outlines may be turned a little.
    """
    scale = GRID_SCALE / math.sqrt(area)
    to_grid = np.array([[scale, 0, GRID / 2 - scale * centre[0]], [0, scale, GRID / 2 - scale * centre[1]]])
    blob = cv2.warpAffine(mask.astype(np.float32), to_grid, (GRID, GRID), flags=cv2.INTER_AREA)
    visible = 1 - cv2.warpAffine(cover.astype(np.float32), to_grid, (GRID, GRID), flags=cv2.INTER_AREA)
    shared = (np.minimum(_templates(), blob) * visible).sum(axis=(-2, -1))
    joined = (np.maximum(_templates(), blob) * visible).sum(axis=(-2, -1))
    return int((shared / joined).max(axis=1).argmax())


@cache
def _templates() -> np.ndarray:
    """All outlines on the grid, centred and with equal areas: [shapes, rotations, GRID, GRID]."""
    return np.stack([[_template(outline, turn) for turn in ROTATIONS] for outline in SHAPES.values()])


def _template(outline: np.ndarray, turn: float) -> np.ndarray:
    cos, sin = math.cos(turn), math.sin(turn)
    points = outline @ np.array([[cos, sin], [-sin, cos]])
    moments = cv2.moments(points.astype(np.float32))
    points = points - np.array([moments["m10"], moments["m01"]]) / moments["m00"]
    points = points * GRID_SCALE / math.sqrt(abs(moments["m00"])) + GRID / 2
    canvas = np.zeros((4 * GRID, 4 * GRID), np.float32)
    cv2.fillPoly(canvas, [np.round(points * 4 * 16).astype(np.int32)], 1, shift=4)
    return cv2.resize(canvas, (GRID, GRID), interpolation=cv2.INTER_AREA)


@cache
def _unit_areas() -> np.ndarray:
    """The area [shapes] of each outline at radius 1."""
    return np.array([cv2.contourArea(outline.astype(np.float32)) for outline in SHAPES.values()])


def _style(lightness: np.ndarray, mask: np.ndarray, cover: np.ndarray) -> str:
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    free = cv2.dilate(cover, np.ones((11, 11), np.uint8)) == 0
    core = (depth > 5) & free
    ring = (depth > 1.5) & (depth < 3.2) & free
    if not core.any() or not ring.any():
        return "flat"
    shifted = np.roll(lightness, STRIPE_PERIOD // 2, axis=0)
    inside = core & np.roll(core, STRIPE_PERIOD // 2, axis=0)
    if inside.any() and np.abs(shifted - lightness)[inside].mean() > CONTRAST:
        return "striped"
    return "outlined" if abs(np.median(lightness[core]) - np.median(lightness[ring])) > CONTRAST else "flat"
