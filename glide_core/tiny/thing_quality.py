"""How well a base model draws things, on held-out prompts; ``thing_judge`` looks at its 64x64 pictures.

Each measurement returns rows of a table, the first of which is the head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..images import from_uint8, to_uint8
from ..intervals import wilson
from ..models.text2im import Text2Im, without_inpaint_inputs
from ..pipeline import Sampling, Stage, generate, inpaint
from . import thing_judge, things
from .thing_data import textures
from .thing_judge import ThingJudge
from .thing_scenes import SIDE as SCENE_SIDE
from .thing_scenes import Item, Painter, ThingScene, held_out_scenes, prompt, single
from .things import CATEGORIES, TEXTURES, THINGS, a, frequencies

BATCH = 20
ASPECTS = ("thing", "style", "background", "held-out style", "two things", "held-out pair")
HOLE = 1.25  # side of the square hole, in extents of the thing that is asked for

Rows = list[list[str]]


def plain(stage: Stage) -> Stage:
    """The text-to-image model that is a slice of an inpainting base; a plain one is returned as it is."""
    if not stage.model.config.inpaint:
        return stage
    state_dict, config = without_inpaint_inputs(stage.model.state_dict(), stage.model.config)
    model = Text2Im(config, dtype=next(stage.model.parameters()).dtype).eval()
    model.load_state_dict(state_dict)
    model.unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Stage(model.to(stage.device), stage.tokenizer)


def prompts_rows(stage: Stage, judge: ThingJudge, sampling: Sampling, count: int) -> tuple[Rows, np.ndarray, list[str]]:
    """Held-out prompts: a row of shares. Also the pictures, uint8 [count, 64, 64, 3], and the prompts."""
    scenes = held_out_scenes(count)
    texts = [prompt(scene) for scene in scenes]
    pictures = draw(stage, texts, sampling)
    shares = share_right([thing_judge.judge(*pair) for pair in zip(thing_judge.look(judge, pictures), scenes)])
    return [[f"{name} %" for name in ASPECTS], [_percent(shares[name]) for name in ASPECTS]], pictures, texts


def draw(stage: Stage, texts: Sequence[str], sampling: Sampling, first_seed: int = 0) -> np.ndarray:
    """uint8 [N, 64, 64, 3]; picture k is made with seed first_seed + k."""

    def some(start: int, stop: int) -> Tensor:
        return generate(stage, texts[start:stop], sampling, seed=range(first_seed + start, first_seed + stop))

    return _in_batches(len(texts), some, "things")


def bias_rows(stage: Stage, judge: ThingJudge, sampling: Sampling, count: int) -> Rows:
    """For each category: how often its most frequent member was drawn, and whether the frequency that it has in the
    training data lies inside the 95 % interval around that."""
    rows = [["category", "member", "in the data %", "drawn %", "interval %", "inside"]]
    for k, category in enumerate(CATEGORIES):
        member, known = next(iter(frequencies(category).items()))
        pictures = draw(stage, [a(category)] * count, sampling, first_seed=1000 * (k + 1))
        seen = [member in sight.things for sight in thing_judge.look(judge, pictures)]
        low, high = wilson(sum(seen), count)
        inside = "yes" if low <= known <= high else "no"
        share = f"{_percent(low)} to {_percent(high)}"
        rows.append([category, member, _percent(known), _percent(float(np.mean(seen))), share, inside])
    return rows


def inpainting_rows(stage: Stage, judge: ThingJudge, sampling: Sampling, count: int) -> Rows:
    """A thing is asked for in the hole of a textured picture; the step across the hole's border is that of the result
    over that of the untouched picture."""
    side = stage.model.config.image_size
    rng = np.random.default_rng(7)
    painter = Painter(np.zeros((0, 0, side, side, 4), np.uint8), textures(), side)
    scenes = [_asked(rng) for _ in range(count)]
    untouched = np.stack([painter(_empty(scene)) for scene in scenes])
    masks = np.stack([hole(scene.items[0], side) for scene in scenes])

    def some(start: int, stop: int) -> Tensor:
        image = from_uint8(untouched[start:stop])
        mask = torch.from_numpy(masks[start:stop])[:, None].float()
        texts = [prompt(scene) for scene in scenes[start:stop]]
        return inpaint(stage, texts, image, mask, sampling, seed=range(start, stop))

    pictures = _in_batches(count, some, "inpainting")
    sights = thing_judge.look(judge, pictures)
    right = np.mean([sight.things == (scene.items[0].thing,) for sight, scene in zip(sights, scenes)])
    steps = [step_across(p, m) / step_across(u, m) for p, u, m in zip(pictures, untouched, masks)]
    return [["thing in the hole %", "step across the border"], [_percent(float(right)), f"{np.median(steps):.2f}"]]


def _asked(rng: np.random.Generator) -> ThingScene:
    while True:
        thing, style = THINGS[rng.integers(len(THINGS))], things.choose_style(rng)
        ground = list(TEXTURES)[rng.integers(len(TEXTURES))]
        if things.visible(style, ground):
            return single(rng, thing, style, ground, "medium")


def _empty(scene: ThingScene) -> ThingScene:
    return ThingScene(scene.style, scene.ground, (), scene.rgb, scene.variant)


def hole(item: Item, side: int) -> np.ndarray:
    """A square over a thing, [side, side] float32, 1 = repaint."""
    mask = np.zeros((side, side), np.float32)
    half = HOLE * item.extent / 2
    rows, columns = (
        slice(*(int(np.clip(round((c + sign * half) * side / SCENE_SIDE), 0, side)) for sign in (-1, 1)))
        for c in (item.centre[1], item.centre[0])
    )
    mask[rows, columns] = 1
    return mask


def step_across(picture: np.ndarray, mask: np.ndarray) -> float:
    """Mean difference of neighbouring pixels of which the mask [H, W] separates one from the other."""
    values = picture.astype(np.float32)
    total, count = 0.0, 0
    for axis in (0, 1):
        across = np.diff(mask, axis=axis) != 0
        total += float(np.abs(np.diff(values, axis=axis))[across].sum())
        count += 3 * int(across.sum())
    return total / max(count, 1) + 0.5  # half a level: a plain picture has no steps at all


def grain_rows(stage: Stage, sampling: Sampling, count: int) -> Rows:
    """How uneven backgrounds of one colour are: standard deviation of what a blur takes away, in levels of 255.

    True pictures of these have 0, so the figure stands for itself.
    """
    rng = np.random.default_rng(11)
    names = list(things.COLOURS)
    scenes = [single(rng, THINGS[k % len(THINGS)], "3d", names[k % len(names)], "small") for k in range(count)]
    pictures = draw(stage, [prompt(scene) for scene in scenes], sampling, first_seed=5000)
    return [["grain, levels"], [f"{np.median([grain(picture) for picture in pictures]):.2f}"]]


def grain(picture: np.ndarray) -> float:
    """Of the outermost 8 pixels of a picture, uint8 [H, W, 3]."""
    values = picture.astype(np.float32)
    rest = values - cv2.blur(values, (3, 3))
    border = np.ones(picture.shape[:2], bool)
    border[8:-8, 8:-8] = False
    return float(rest[border].std())


def share_right(verdicts: Sequence[dict[str, list[bool]]]) -> dict[str, float]:
    """Of each aspect, NaN where it was never asked for."""
    joined = {name: [right for each in verdicts for right in each[name]] for name in ASPECTS}
    return {name: sum(found) / len(found) if found else float("nan") for name, found in joined.items()}


def _in_batches(count: int, make: Callable[[int, int], Tensor], label: str) -> np.ndarray:
    starts = tqdm(range(0, count, BATCH), label, mininterval=10)
    return np.concatenate([to_uint8(make(start, min(start + BATCH, count))).numpy() for start in starts])


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
