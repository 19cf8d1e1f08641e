"""What the embedded noised CLIP learns from: scenes, captions of them, captions that are wrong in one detail, and what
a caption says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..choices import SCENES
from ..models.clip import NoisedClip
from . import layout_lesson, text_lesson
from .layout_lesson import CLASSES, UNKNOWN, VALUES
from .scene_data import Scenes
from .scenes import BACKGROUNDS, COLOURS, OPPOSITE, SHAPES, SIDE, SIZES, STYLES, Scene, caption, prompt
from .text_lesson import CAPTION

WRONG = 2  # wrong captions for each picture
EMBEDDING_WEIGHT, SILHOUETTE_WEIGHT, LAYOUT_WEIGHT, SHAPE_WEIGHT = 0.2, 5.0, 0.5, 1.0  # of the lesson's losses
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
    """Linear heads that tell what a scene is, in three places of the noised CLIP.

    From the vectors of the patches after the second block: which of a patch's pixels an object covers. Without these
    silhouettes, which are the same in all colours, shapes are not learned. After the block before the last: what lies
    where. From the embeddings of a picture and of a caption: what is shown or said, by one head, so that the two agree.

    Args:
        model: the noised CLIP; each of its forward passes that is trained on leaves the patches' vectors here.
    """

    def __init__(self, model: NoisedClip) -> None:
        config = model.config
        self.side, self.patch = config.image_size, config.patch_size
        self.whole = nn.Linear(config.embed_width, sum(CAPTION))
        self.scale = nn.Parameter(torch.tensor(10.0))  # of embeddings, whose length is 1
        self.silhouettes, self.layout = (
            nn.Sequential(nn.LayerNorm(config.image_width), nn.Linear(config.image_width, size))
            for size in (2 * self.patch**2, sum(CLASSES) + VALUES)
        )
        self.seen: dict[str, Tensor] = {}
        last = config.image_layers - 1
        for name, block in (("early", min(1, last)), ("late", max(0, last - 1))):
            model.image.blocks[f"block_{block}"].register_forward_hook(self._keeper(name))

    def _keeper(self, name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        def keep(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
            if torch.is_grad_enabled():  # the averaged copy of the model has this hook, too
                self.seen[name] = output

        return keep

    def parameters(self) -> list[nn.Parameter]:
        """All of them."""
        heads = (self.whole, self.silhouettes, self.layout)
        return [self.scale, *(p for head in heads for p in head.parameters())]

    def loss(self, image: Tensor, text: Tensor, labels: Sequence[Any], captions: Sequence[str]) -> Tensor:
        """The weighted sum of all losses; see ``train.contrastive.Lesson``."""
        shown = torch.tensor([text_lesson.read(prompt(scene)).caption for scene in labels])
        said = torch.tensor([text_lesson.read(caption).caption for caption in captions])
        told = [self.whole(self.scale * part.cpu().float()) for part in (image, text)]  # the heads are on the CPU
        losses = [text_lesson.cross_entropy(*pair, CAPTION) for pair in zip(told, (shown, said))]
        early, late = (self.seen.pop(name)[:, 1:].cpu().float() for name in ("early", "late"))
        return (
            EMBEDDING_WEIGHT * (losses[0] + losses[1])
            + SILHOUETTE_WEIGHT * self._silhouette_loss(early, labels)
            + LAYOUT_WEIGHT * self._layout_loss(late, labels)
        )

    def _silhouette_loss(self, vectors: Tensor, scenes: Sequence[Scene]) -> Tensor:
        masks = torch.from_numpy(np.stack([silhouettes(scene, self.side) for scene in scenes]))
        patches = F.pixel_unshuffle(masks, self.patch).flatten(2).mT  # [B, patches, 2 * patch^2]
        return F.binary_cross_entropy_with_logits(self.silhouettes(vectors).float(), patches)

    def _layout_loss(self, vectors: Tensor, scenes: Sequence[Scene]) -> Tensor:
        grid = self.side // self.patch
        classes, values = layout_lesson.targets(scenes, grid)
        told = self.layout(vectors).float().mT.unflatten(2, (grid, grid))
        return layout_lesson.head_loss(told, classes, values, CLASSES) + SHAPE_WEIGHT * F.cross_entropy(
            told[:, 1 : CLASSES[0]], classes[:, 0] - 1 + (classes[:, 0] == 0) * (UNKNOWN + 1)
        )


def silhouettes(scene: Scene, side: int) -> np.ndarray:
    """Which pixels the objects of a scene cover, and which of these the one that is inside of another: float32
    [2, side, side], 0..1."""
    import cv2

    drawn = np.zeros((2, side, side), np.uint8)
    for k, item in enumerate(scene.objects):
        points = np.round((item.outline * side / SIDE - 0.5) * 16).astype(np.int32)
        for mask in drawn if scene.relation == "inside" and k == 0 else drawn[:1]:
            cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, shift=4)
    return drawn.astype(np.float32) / 255
