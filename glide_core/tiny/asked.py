"""What a prompt in the grammar of the scenes asks for, and how much of it a picture shows."""

from __future__ import annotations

import re
from dataclasses import dataclass

import cv2
import numpy as np

from .judge import Sight, judge, look
from .scenes import BACKGROUNDS, COLOURS, RELATIONS, SHAPES, SIDE, SIZES, STYLES, Object, Scene

_OBJECT = re.compile(
    rf"(?:an? )?(?:(?P<size>{'|'.join(SIZES)}) )?(?:(?P<style>{'|'.join(STYLES)}) )?"
    rf"(?:(?P<colour>{'|'.join(COLOURS)}) )?(?P<shape>{'|'.join(SHAPES)})"
)
_ANYTHING = re.compile(rf"something (?P<colour>{'|'.join(COLOURS)})")
_GROUND = re.compile(rf"(?P<rest>.*) (?:on|against) (?:an? )?(?P<ground>{'|'.join(BACKGROUNDS)}) background")
_PLAIN = {"shape": "circle", "colour": "red", "size": "medium", "style": "flat"}  # of what is not asked for


@dataclass(frozen=True)
class Asked:
    """What a prompt names.

    Attributes:
        objects: for each object the attributes that are named.
        relation: of the first to the second.
        background: or None where it is left open.
    """

    objects: tuple[dict[str, str], ...]
    relation: str | None = None
    background: str | None = None


def asked(prompt: str) -> Asked | None:
    """What a prompt asks for, or None where it is not in the grammar of ``scenes``."""
    text, background = prompt.lower().strip(), None
    ground = _GROUND.fullmatch(text)
    if ground:
        text, background = ground["rest"], ground["ground"]
    relation = next((relation for relation in RELATIONS if f" {relation} " in text), None)
    parts = text.split(f" {relation} ") if relation else [text]
    found = [_OBJECT.fullmatch(part) or _ANYTHING.fullmatch(part) for part in parts]
    if len(parts) > 2 or not all(found):
        return None
    named = tuple({name: value for name, value in each.groupdict().items() if value} for each in found if each)
    return Asked(named, relation, background)


def seen(picture: np.ndarray) -> Sight:
    """What a picture shows, uint8 [H, W, 3]. The style cannot be told from one that is smaller than 256x256."""
    if picture.shape[:2] != (SIDE, SIDE):
        picture = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return look(picture)


def share_right(wanted: Asked, picture: np.ndarray) -> float:
    """How much of what is asked for a picture shows, 0..1. The number of objects counts, too.

    Args:
        picture: uint8 [H, W, 3]; the style counts only where it has 256x256 pixels.
    """
    sight = seen(picture)
    scene = Scene(wanted.background or "white", (0, 0, 0), tuple(map(_object, wanted.objects)), wanted.relation)
    verdicts = judge(sight, scene)
    right = [len(sight.objects) == len(wanted.objects), *verdicts["relation"]]
    right += verdicts["background"] if wanted.background else []
    for name in ("colour", "shape", "size"):
        right += [verdict for verdict, item in zip(verdicts[name], wanted.objects) if name in item]
    if picture.shape[:2] == (SIDE, SIDE):
        right += verdicts["style"]
    return sum(right) / len(right)


def _object(named: dict[str, str]) -> Object:
    return Object(**{**_PLAIN, **named}, centre=(0.0, 0.0), radius=1.0, rotation=0.0, rgb=(0, 0, 0))
