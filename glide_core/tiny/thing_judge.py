"""A judge of pictures of things: a small classifier that tells thing, style, background, count and arrangement.

It was trained on true renderings alone, by ``thing_judge_recipe``, and knows nothing of the models. It only measures;
nothing chooses pictures by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import CheckpointError
from ..images import from_uint8
from . import things
from .thing_scenes import ThingScene
from .things import GROUNDS, STYLES, THINGS

SIDE = 64
AXES = ("horizontal", "vertical")
# Of each head: one or two things; the left or upper one (or the only one); the other one; how they lie.
HEADS = {
    "count": 2, "first": len(THINGS), "second": len(THINGS), "style": len(STYLES), "ground": len(GROUNDS),
    "axis": len(AXES),
}  # fmt: skip
WIDTHS = (32, 64, 96, 128)
UNKNOWN = -100  # cross_entropy passes over it


@dataclass(frozen=True)
class Sight:
    """What a picture of things shows; ``things``: one, or two from left to right or from top to bottom."""

    things: tuple[str, ...]
    style: str
    ground: str
    axis: str | None


class Residual(nn.Module):
    """Two convolutions that halve the side."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.skip = nn.Conv2d(channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(x, 2)
        return F.relu(self.body(x) + self.skip(x))


class ThingJudge(nn.Module):
    """[B, 3, 64, 64] in -1..1 -> logits of each of ``HEADS``."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU()]
        for before, after in zip((24, *WIDTHS), WIDTHS):
            layers.append(Residual(before, after))
        self.features = nn.Sequential(*layers)
        self.heads = nn.Linear(WIDTHS[-1] * (SIDE // 2 ** len(WIDTHS)) ** 2, sum(HEADS.values()))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        logits = self.heads(self.features(x).flatten(1).float())
        return dict(zip(HEADS, logits.split(list(HEADS.values()), dim=1)))


def load(path: str | Path) -> ThingJudge:
    """A trained judge. Raises CheckpointError: the file is not there, or is none."""
    judge = ThingJudge().eval()
    try:
        judge.load_state_dict(load_file(path))
    except Exception as error:  # safetensors raises several kinds
        raise CheckpointError(
            f"{path} is no judge of things: make one with `python -m glide_core.tiny.recipes things-judge FOLDER`"
        ) from error
    return judge


@torch.no_grad()
def look(judge: ThingJudge, pictures: np.ndarray) -> list[Sight]:
    """Tell what pictures show: uint8 [B, S, S, 3]; larger ones are reduced to 64x64, smaller ones enlarged."""
    logits = judge(to_input(pictures))
    best = {name: values.argmax(dim=1).tolist() for name, values in logits.items()}
    sights = []
    for k in range(len(pictures)):
        two = best["count"][k] == 1
        names = [THINGS[best[head][k]] for head in (("first", "second") if two else ("first",))]
        axis = AXES[best["axis"][k]] if two else None
        sights.append(Sight(tuple(names), list(STYLES)[best["style"][k]], GROUNDS[best["ground"][k]], axis))
    return sights


def to_input(pictures: np.ndarray) -> Tensor:
    """uint8 [B, S, S, 3] -> [B, 3, 64, 64] in -1..1."""
    x = from_uint8(pictures)
    if x.shape[-1] == SIDE:
        return x
    return F.interpolate(x, (SIDE, SIDE), mode="area" if x.shape[-1] > SIDE else "bicubic").clamp(-1, 1)


def in_order(scene: ThingScene) -> tuple[list[str], str | None]:
    """A scene's things from left to right or from top to bottom, and the axis along which they lie."""
    if len(scene.items) == 1:
        return [scene.items[0].thing], None
    axis = "vertical" if scene.relation in ("above", "below") else "horizontal"
    items = sorted(scene.items, key=lambda item: item.centre[axis == "vertical"])
    return [item.thing for item in items], axis


def classes(scene: ThingScene) -> list[int]:
    """Of each of ``HEADS``, ``UNKNOWN`` where it does not apply."""
    names, axis = in_order(scene)
    return [
        len(names) - 1,
        THINGS.index(names[0]),
        THINGS.index(names[1]) if axis else UNKNOWN,
        list(STYLES).index(scene.style),
        GROUNDS.index(scene.ground),
        AXES.index(axis) if axis else UNKNOWN,
    ]


def judge(sight: Sight, scene: ThingScene) -> dict[str, list[bool]]:
    """What is right, one verdict each time it was asked for.

    "thing" is about scenes with one thing; "two things" asks for both and their relation; "held-out style" for thing
    and style where training never showed them together; "held-out pair" is "two things" of such pairs.
    """
    names, axis = in_order(scene)
    right = list(sight.things) == names and sight.axis == axis
    if scene.relation == "next to":
        right = sight.axis == axis and sorted(sight.things) == sorted(names)
    single = len(names) == 1
    new_style = single and things.held_out_style(names[0], scene.style)
    new_pair = not single and things.held_out_pair(*names)
    style = sight.style == scene.style
    return {
        "thing": [right] if single else [],
        "style": [style],
        "background": [sight.ground == scene.ground],
        "held-out style": [right and style] if new_style else [],
        "two things": [] if single else [right],
        "held-out pair": [right] if new_pair else [],
    }
