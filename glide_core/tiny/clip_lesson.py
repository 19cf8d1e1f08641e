"""What the embedded noised CLIP learns from: scenes, captions of them, captions that are wrong in one detail, and what
a caption says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..choices import SCENES
from . import text_lesson
from .scene_data import Scenes
from .scenes import BACKGROUNDS, COLOURS, OPPOSITE, SHAPES, SIZES, STYLES, Scene, caption, prompt
from .text_lesson import CAPTION

WRONG = 2  # wrong captions for each picture
PLAIN_SHARE = 0.5  # share of the captions that say all of a scene, as the prompts do that pictures are scored with


@dataclass(frozen=True)
class ContrastSource:
    """The scenes of shapes with wrong captions, as a ``train.dataset.DataSource``."""

    count: int = SCENES

    def open(self, side: int, *, seed: int, process: int, processes: int) -> ContrastScenes:
        """Render the scenes or find them rendered; see ``scene_data.SceneSource.open``."""
        return ContrastScenes(side, self.count)


class ContrastScenes(Scenes):
    """The drawn scenes as a ``train.contrastive.ContrastDataset``."""

    def contrast_batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[str], list[str], list[Any]]:
        """Pictures, their captions, ``WRONG`` wrong captions for each, and the scenes."""
        pictures, _, scenes = self.labelled_batch(rng, size)
        captions, wrong = [], []
        for scene in scenes:
            phrasing = int(rng.integers(2**62))
            captions.append(_phrased(scene, phrasing))
            wrong += [_phrased(altered(scene, rng), phrasing) for _ in range(WRONG)]
        return pictures, captions, wrong, list(scenes)


def _phrased(scene: Scene, phrasing: int) -> str:
    """The caption of a scene in the phrasing of this number, the same for scenes that differ in a detail."""
    rng = np.random.default_rng(phrasing)
    return prompt(scene) if rng.random() < PLAIN_SHARE else caption(scene, rng)


def altered(scene: Scene, rng: np.random.Generator) -> Scene:
    """A scene that differs from this one in one detail: an attribute of an object, the background, or in which relation
    two objects are. Only its caption is meant to be used: the places of the objects are still the old ones."""
    choices = ["shape", "shape", "colour", "size", "style", "background"]
    if scene.relation is not None:
        choices += ["relation", "swap", "swap"]
    detail = choices[int(rng.integers(len(choices)))]
    if detail == "background":
        taken = {item.colour for item in scene.objects} | {scene.background}
        return replace(scene, background=_other(rng, BACKGROUNDS, taken))
    if detail == "relation" and scene.relation is not None:
        return replace(scene, relation=OPPOSITE.get(scene.relation, "above"))
    if detail == "swap":
        first, second = scene.objects
        if rng.random() < 0.5:
            return replace(scene, objects=(replace(first, shape=second.shape), replace(second, shape=first.shape)))
        return replace(scene, objects=(replace(first, colour=second.colour), replace(second, colour=first.colour)))
    k = int(rng.integers(len(scene.objects)))
    item = scene.objects[k]
    taken = {item.shape, item.colour, item.size, item.style, scene.background}
    if detail == "shape":
        changed = replace(item, shape=_other(rng, SHAPES, taken))
    elif detail == "colour":
        changed = replace(item, colour=_other(rng, COLOURS, taken))
    elif detail == "size":
        changed = replace(item, size=_other(rng, SIZES, taken))
    else:
        changed = replace(item, style=_other(rng, STYLES, taken))
    return replace(scene, objects=(*scene.objects[:k], changed, *scene.objects[k + 1 :]))


def _other(rng: np.random.Generator, values: Iterable[str], taken: set[str]) -> str:
    free = [value for value in values if value not in taken]
    return free[int(rng.integers(len(free)))]


class SceneLesson:
    """Linear heads that tell from a picture's embedding what its scene is, and from a text's what it says.

    Args:
        embed_width: of the noised CLIP.
    """

    def __init__(self, embed_width: int) -> None:
        self.image, self.text = nn.Linear(embed_width, sum(CAPTION)), nn.Linear(embed_width, sum(CAPTION))
        self.scale = nn.Parameter(torch.tensor(10.0))  # of embeddings, whose length is 1

    def parameters(self) -> list[nn.Parameter]:
        """All of them."""
        return [*self.image.parameters(), *self.text.parameters(), self.scale]

    def loss(self, image: Tensor, text: Tensor, labels: Sequence[Any], captions: Sequence[str]) -> Tensor:
        """The mean cross entropy of a picture's and a text's answers; see ``train.contrastive.Lesson``."""
        image, text = image.cpu(), text.cpu()  # where the heads are
        seen = torch.tensor([text_lesson.read(prompt(scene)).caption for scene in labels])
        said = torch.tensor([text_lesson.read(caption).caption for caption in captions])
        image_loss = text_lesson.cross_entropy(self.image(self.scale * image.float()), seen, CAPTION)
        text_loss = text_lesson.cross_entropy(self.text(self.scale * text.float()), said, CAPTION)
        return (image_loss + text_loss) / (2 * len(CAPTION))
