"""What a caption of things or shapes says, as classes: what the lessons teach to tell.

Things, shapes and categories are one list of words, so that one head tells them all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from . import scenes as shapes
from . import text_lesson, thing_scenes
from .thing_scenes import OPPOSITE, Said
from .things import CATEGORIES, GROUNDS, STYLES, THINGS

UNKNOWN = -100  # cross_entropy passes over it
WORDS = [*THINGS, *shapes.SHAPES, *CATEGORIES]
ATTRIBUTES = [WORDS, list(shapes.COLOURS), list(shapes.SIZES), list(shapes.STYLES)]
ARRANGEMENTS = [None, "above", "to the left of", "inside", "next to"]
ROLES = 3  # alone, the first of two objects (the upper, left or inner one; else the one named first), the second
OBJECT = [len(values) + 1 for values in ATTRIBUTES]
CAPTION = [*OBJECT, *OBJECT, len(STYLES) + 1, len(GROUNDS) + 1, len(ARRANGEMENTS)]
MENTION = [*OBJECT, ROLES]


class Reading(NamedTuple):
    """A caption and what it says; class 0 of an attribute: it is not named.

    Attributes:
        whole: of ``CAPTION``: both objects by their roles (``UNKNOWN`` where there is one), style, background,
            arrangement.
        mentions: of ``MENTION``: the objects in the order of the words.
        ends: where their names end in the text.
    """

    text: str
    whole: list[int]
    mentions: list[list[int]]
    ends: list[int]


def read_things(said: Said) -> Reading:
    objects = [[_class(WORDS, word), 0, _class(list(shapes.SIZES), size), 0] for word, size in said.words]
    style, ground = _class(list(STYLES), said.style), _class(list(GROUNDS), said.ground)
    return _reading(said.text, objects, list(said.ends), said.relation, style, ground)


def read_shapes(text: str) -> Reading:
    """A caption of ``scenes.caption``."""
    old = text_lesson.read(text)
    objects, ends, start = [], [], 0
    for shape, colour, size, style, _ in old.mentions:
        word = list(shapes.SHAPES)[shape - 1] if shape else None
        objects.append([_class(WORDS, word), colour, size, style])
        start = text.index(word, start) + len(word) if word else start
        ends.append(start if word else UNKNOWN)
    relation = next((relation for relation in shapes.RELATIONS if f" {relation} " in text), None)
    ground = old.caption[-2]
    return _reading(text, objects, ends, relation, 0, ground and _class(GROUNDS, list(shapes.BACKGROUNDS)[ground - 1]))


def random_reading(rng: np.random.Generator, shapes_share: float, pairs_share: float) -> Reading:
    """A caption of a new scene; more of them than in training are about two objects, which are harder to tell."""
    about_two = rng.random() < pairs_share
    while True:
        if rng.random() < shapes_share:
            drawn = shapes.sample_scene(int(rng.integers(2**40)))
            text = shapes.caption(drawn, rng)
            if about_two == bool(drawn.relation):
                return read_shapes(text)
        else:
            scene = thing_scenes.sample_scene(rng)
            if about_two == bool(scene.relation):
                return read_things(thing_scenes.caption(scene, rng))


def _reading(
    text: str, objects: list[list[int]], ends: list[int], relation: str | None, style: int, ground: int
) -> Reading:
    turned = relation is not None and relation not in ARRANGEMENTS
    roles = [0] if relation is None else [2, 1] if turned else [1, 2]
    by_role = [value for item in (objects[::-1] if turned else objects) for value in item]
    arrangement = ARRANGEMENTS.index(OPPOSITE[relation] if relation and turned else relation)
    missing = [UNKNOWN] * (2 * len(OBJECT) - len(by_role))
    whole = [*by_role, *missing, style, ground, arrangement]
    return Reading(text, whole, [[*item, role] for item, role in zip(objects, roles)], ends)


def _class(values: Iterable[str], value: str | None) -> int:
    return 0 if value is None else 1 + list(values).index(value)
