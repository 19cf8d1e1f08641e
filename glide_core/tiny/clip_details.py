"""How well a noised CLIP tells a scene's prompt from prompts that differ in one detail: what the best of several tries
depends on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from ..images import from_uint8
from ..models.clip import NoisedClip
from ..models.clip_tokenizer import ClipTokenizer
from .scenes import (
    BACKGROUNDS,
    COLOURS,
    RELATIONS,
    SHAPES,
    SIZES,
    STYLES,
    Object,
    Scene,
    held_out_scenes,
    prompt,
    render,
)

DETAILS = ("background", "colour", "shape", "size", "style", "relation")
SEEN = 300  # held-out scenes


def near_misses(scene: Scene) -> dict[str, list[list[str]]]:
    """For each detail, and each object that has it, the prompts in which it alone is another one."""
    found: dict[str, list[list[str]]] = defaultdict(list)
    for k, item in enumerate(scene.objects):
        for name, changed in _changed(item, scene):
            others = [prompt(replace(scene, objects=(*scene.objects[:k], o, *scene.objects[k + 1 :]))) for o in changed]
            found[name].append(others)
    grounds = [name for name in BACKGROUNDS if name != scene.background]
    found["background"].append([prompt(replace(scene, background=name)) for name in grounds])
    if scene.relation is not None:
        relations = [name for name in RELATIONS if name != scene.relation]
        found["relation"].append([prompt(replace(scene, relation=name)) for name in relations])
    return dict(found)


def _changed(item: Object, scene: Scene) -> Iterator[tuple[str, list[Object]]]:
    yield "shape", [replace(item, shape=name) for name in SHAPES if name != item.shape]
    colours = [name for name in COLOURS if name not in (item.colour, scene.background)]
    yield "colour", [replace(item, colour=name) for name in colours]
    yield "style", [replace(item, style=name) for name in STYLES if name != item.style]
    if scene.relation != "inside":  # where sizes go without saying
        possible = SIZES if scene.relation is None else ("small", "medium")
        yield "size", [replace(item, size=name) for name in possible if name != item.size]


@torch.no_grad()
def details(model: NoisedClip, tokenizer: ClipTokenizer, count: int = SEEN) -> dict[str, tuple[float, float]]:
    """For each of ``DETAILS`` the share, 0..1, of the held-out scenes' objects (or scenes) of which the true prompt is
    more similar to the picture than all its near misses in this detail; and what chance would give."""
    scenes = held_out_scenes(count)
    pictures = from_uint8(np.stack([render(scene, model.config.image_size) for scene in scenes]))
    images = model.embed_image(pictures, torch.zeros(len(pictures), dtype=torch.int64))
    right: dict[str, list[bool]] = defaultdict(list)
    chance: dict[str, list[float]] = defaultdict(list)
    for scene, image in zip(scenes, images):
        for name, choices in near_misses(scene).items():
            for others in choices:
                texts = model.embed_text(*tokenizer([prompt(scene), *others]))
                right[name].append(int((texts @ image).argmax()) == 0)
                chance[name].append(1 / len(texts))
    return {name: (float(np.mean(right[name])), float(np.mean(chance[name]))) for name in DETAILS}
