"""A judge of the drawn scenes of ``train.scenes``: tells what a picture shows by palette, outlines and texture.

It knows the grammar and nothing of the models, so it serves as a measure of them; on true renderings it is right in
99 of 100 (``tests/test_judge.py``). Pixels are those of a 256x256 picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import permutations

import cv2
import numpy as np

from .scenes import BACKGROUNDS, COLOURS, SHAPES, SIZES, STRIPE_PERIOD, Scene, accent

FOREGROUND = 11.0  # distance in Lab from the background's colour
CONTRAST = 7.0  # in lightness, of stripes and outlines
GRID = 64  # side of the normalised blobs that are compared with the outlines
GRID_SCALE = 26.0  # pixels of that grid for the square root of a blob's area
ROTATIONS = np.linspace(-0.24, 0.24, 9)


@dataclass(frozen=True)
class Seen:
    """One object found in a picture; centre (x, y) in pixels."""

    shape: str
    colour: str
    size: str
    style: str
    centre: tuple[float, float]


@dataclass(frozen=True)
class Sight:
    """What a picture shows. ``nested``: the first of two objects lies inside the second."""

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
    """What is right: for background, colour, shape, size, style and relation one verdict each time it was asked for.

    The objects seen are paired with the scene's so that most is right. "all" is one verdict over everything,
    the number of objects included; a style counts only where it is not flat, which prompts leave unnamed.
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
        verdicts[name] = [bool(seen) and getattr(seen, name) == getattr(item, name) for seen, item in pairs]
    verdicts["style"] = [bool(seen) and seen.style == item.style for seen, item in pairs if item.style != "flat"]
    verdicts["relation"] = [_related(order, sight, scene.relation)] if scene.relation else []
    return verdicts


def _related(order: tuple[Seen | None, ...], sight: Sight, relation: str) -> bool:
    first, second = order[:2]
    if first is None or second is None:
        return False
    if relation == "inside" or sight.nested:
        return relation == "inside" and sight.nested and sight.objects[0] is first and sight.objects[1] is second
    dx, dy = np.subtract(second.centre, first.centre)
    found = ("to the left of" if dx > 0 else "to the right of") if abs(dx) > abs(dy) else "above" if dy > 0 else "below"
    return found == relation


def _lab(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


@cache
def _palette(colours: tuple[tuple[str, tuple[int, int, int]], ...]) -> np.ndarray:
    """Lab of named colours: [N, 3]."""
    return _lab(np.array([[rgb for _, rgb in colours]], np.uint8))[0]


def _nearest(lab: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Index of the palette's nearest colour for each of [N, 3]."""
    return np.linalg.norm(lab[:, None] - palette, axis=2).argmin(axis=1)


def _blobs(lab: np.ndarray, foreground: np.ndarray) -> tuple[list[tuple[np.ndarray, np.ndarray, int]], bool]:
    """(filled mask, mask of what covers it, colour) of each object, the one inside another first; are two nested?"""
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
        else:  # two objects that touch
            blobs += [(_filled(blob), nothing, colour) for blob, colour in colours[:2]]
    return blobs, nested and len(blobs) == 2


def _components(mask: np.ndarray) -> list[np.ndarray]:
    """Connected parts that are large enough for an object, largest first."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA]
    smallest = 0.45 * _unit_areas().min() * SIZES["small"][0] ** 2
    large = [k for k in range(1, count) if areas[k] >= smallest]
    return [(labels == k).astype(np.uint8) for k in sorted(large, key=lambda k: -areas[k])]


def _colour_labels(lab: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Index of each pixel's palette colour, -1 outside the mask. A colour's accent counts as the colour."""
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
    """The compact areas of one colour inside a mask, largest first; outlines are too thin to be one."""
    labels = _colour_labels(lab, mask)
    blobs = []
    for colour in range(len(COLOURS)):
        area = cv2.morphologyEx((labels == colour).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
        area = cv2.morphologyEx(area, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8))
        blobs += [(blob, colour) for blob in _components(area)]
    return sorted(blobs, key=lambda blob: blob[0].sum(), reverse=True)


def _surrounds(outer: np.ndarray, inner: np.ndarray) -> bool:
    """Most of what lies just around the inner blob belongs to the outer one."""
    around = cv2.dilate(inner, np.ones((15, 15), np.uint8)) & ~cv2.dilate(inner, np.ones((11, 11), np.uint8)) & 1
    return (outer[around > 0]).mean() > 0.45


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
    """The outline, turned a little, that overlaps most where nothing covers it (intersection over union)."""
    scale = GRID_SCALE / math.sqrt(area)
    to_grid = np.array([[scale, 0, GRID / 2 - scale * centre[0]], [0, scale, GRID / 2 - scale * centre[1]]])
    blob = cv2.warpAffine(mask.astype(np.float32), to_grid, (GRID, GRID), flags=cv2.INTER_AREA)
    visible = 1 - cv2.warpAffine(cover.astype(np.float32), to_grid, (GRID, GRID), flags=cv2.INTER_AREA)
    shared = (np.minimum(_templates(), blob) * visible).sum(axis=(-2, -1))
    joined = (np.maximum(_templates(), blob) * visible).sum(axis=(-2, -1))
    return int((shared / joined).max(axis=1).argmax())


@cache
def _templates() -> np.ndarray:
    """The outlines at their centroids with equal areas: [shapes, rotations, GRID, GRID]."""
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
    """Area of each outline at radius 1."""
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
