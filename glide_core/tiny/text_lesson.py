"""A first lesson for the text transformer.

Before it sees any picture it learns to tell what a caption says from its last token and from that token's projection,
and to tell what is said of a shape from the token of that shape's name. Two minutes of this teach it which colour
belongs to which of two objects, which an hour and a half of diffusion training had not taught it. Afterwards it is best
frozen (``--freeze text``), because a diffusion loss that does not use shapes yet makes it forget them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from ..device import DTYPES, pick_dtype
from ..files import checkpoints
from ..models.config import TINY
from ..models.text2im import Text2Im
from ..models.tokenizer import Tokenizer
from ..train.initial import initialise
from ..train.optim import Optimizer
from .scenes import BACKGROUNDS, COLOURS, OPPOSITE, RELATIONS, SHAPES, SIZES, STYLES, caption, sample_scene

UNKNOWN = -100  # the class that cross_entropy ignores
ATTRIBUTES = [list(values) for values in (SHAPES, COLOURS, SIZES, STYLES)]
ARRANGEMENTS = [None, "above", "to the left of", "inside"]
ROLES = 3  # 0 is a single object; 1 is the upper, left or inner one of two, and 2 is the other one
OBJECT = [len(values) + 1 for values in ATTRIBUTES]
CAPTION = [*OBJECT, *OBJECT, len(BACKGROUNDS) + 1, len(ARRANGEMENTS)]
MENTION = [*OBJECT, ROLES]
SEEDS = 60000  # the scenes that the diffusion training draws, too
SINGLE_SHARE = 0.3  # captions about one object are soon learned, so only this share of them is used


class Reading(NamedTuple):
    """What a caption says, as classes. Class 0 of an attribute or a background means that it is not named.

    Attributes:
        caption: classes of ``CAPTION``: the attributes of the objects with the roles 1 and 2, or of a single object and
            ``UNKNOWN``; then the background and the arrangement.
        mentions: classes of ``MENTION`` for each object, in the order of the words.
    """

    caption: list[int]
    mentions: list[list[int]]


def read(text: str) -> Reading:
    """Read a caption that ``scenes.caption`` or ``scenes.prompt`` wrote."""
    background = re.search(r"(\w+) background", text)
    if background:
        text = text[: background.start()] + text[background.end() :]
    relation = next((relation for relation in RELATIONS if f" {relation} " in text), None)
    objects = [_attributes(part) for part in (text.split(f" {relation} ") if relation else [text])]
    arrangement, roles = _arranged(relation)
    by_role = [value for _, item in sorted(zip(roles, objects), key=lambda pair: pair[0]) for value in item]
    whole = [
        *by_role,
        *[UNKNOWN] * (2 * len(OBJECT) - len(by_role)),
        1 + list(BACKGROUNDS).index(background[1]) if background else 0,
        ARRANGEMENTS.index(arrangement),
    ]
    return Reading(whole, [[*item, role] for item, role in zip(objects, roles)])


def _arranged(relation: str | None) -> tuple[str | None, list[int]]:
    """The arrangement that a relation amounts to, and the roles of the objects in the order of the words."""
    if relation is None:
        return None, [0]
    if relation in ARRANGEMENTS:
        return relation, [1, 2]
    return OPPOSITE[relation], [2, 1]


def _attributes(text: str) -> list[int]:
    words = text.replace(",", " ").split()
    return [next((1 + values.index(word) for word in words if word in values), 0) for values in ATTRIBUTES]


class Reader(nn.Module):
    """The linear heads that tell what a caption says.

    Args:
        model: its sizes decide those of the heads.
        tokenizer: of the model; the name of each shape must be one token.
    """

    def __init__(self, model: Text2Im, tokenizer: Tokenizer) -> None:
        super().__init__()
        width, projected = model.config.xf_width, model.text.transformer_proj.out_features
        self.last, self.projection = nn.Linear(width, sum(CAPTION)), nn.Linear(projected, sum(CAPTION))
        self.mention = nn.Linear(width, sum(MENTION))
        tokens, mask = tokenizer.batch([f"a {shape}" for shape in SHAPES])
        self.shape_tokens = tokens[torch.arange(len(tokens)), mask.sum(dim=1) - 1]

    def loss(self, tokens: Tensor, features: Tensor, projection: Tensor, readings: Sequence[Reading]) -> Tensor:
        """The sum of all cross entropies, in nats.

        Args:
            tokens: [B, N].
            features, projection: what the text transformer returned for them, [B, N, xf_width] and [B, projected].
            readings: what the captions say.
        """
        whole = torch.tensor([reading.caption for reading in readings])
        named = torch.tensor([item for reading in readings for item in reading.mentions if item[0]])
        return (
            cross_entropy(self.last(features[:, -1].float()), whole, CAPTION)
            + cross_entropy(self.projection(projection.float()), whole, CAPTION)
            + cross_entropy(self.mention(features[torch.isin(tokens, self.shape_tokens)].float()), named, MENTION)
        )


def cross_entropy(logits: Tensor, classes: Tensor, sizes: list[int]) -> Tensor:
    """The sum of the cross entropies of several answers at once.

    Args:
        logits: [B, sum(sizes)]; classes: [B, len(sizes)]; sizes: the number of classes of each answer.
    """
    parts = torch.split(logits, sizes, dim=1)
    return sum((F.cross_entropy(part, classes[:, k]) for k, part in enumerate(parts)), logits.new_zeros(()))


def teach(
    model: Text2Im, tokenizer: Tokenizer, *, steps: int, batch: int = 64, lr: float = 2e-3, seed: int = 0
) -> list[float]:
    """Train ``model.text`` on the CPU, in place.

    Args:
        steps: updates of the weights.
        batch: captions in each update.
        lr: learning rate.
        seed: decides the captions.
    Returns:
        The loss of each step.
    """
    reader = Reader(model, tokenizer)
    model.unet.requires_grad_(False)
    optimizer, head_optimizer = Optimizer(model, lr, muon=True), torch.optim.AdamW(reader.parameters(), lr)
    rng, losses = np.random.default_rng(seed), []
    precision = pick_dtype("auto", torch.device("cpu"))
    for step in tqdm(range(steps), "reading captions"):
        texts = [_caption(rng) for _ in range(batch)]
        tokens, mask = tokenizer.batch(texts)
        with torch.autocast("cpu", DTYPES[precision], enabled=precision != "fp32"):
            features, projection = model.text(tokens, mask)
        loss = reader.loss(tokens, features, projection, [read(text) for text in texts])
        torch.autograd.backward(loss)
        optimizer.step(min(1.0, (step + 1) / 50, (steps - step) / (0.3 * steps)))
        head_optimizer.step()
        head_optimizer.zero_grad()
        losses.append(float(loss.detach()))
    model.requires_grad_(True)
    return losses


def _caption(rng: np.random.Generator) -> str:
    while True:
        scene = sample_scene(int(rng.integers(SEEDS)))
        if scene.relation or rng.random() < SINGLE_SHARE:
            return caption(scene, rng)


def write_taught(name: str, out: Path, tokenizer: Path, steps: int) -> None:
    """Write a checkpoint of a tiny model with random weights, but for a text transformer that had this lesson.

    Args:
        name: of the model: "tiny-base" or "tiny-upsample".
        out: the .safetensors file to write.
        tokenizer: the tokenizer.json of the model.
        steps: see ``teach``.
    """
    torch.manual_seed(0)
    config = TINY[name.removeprefix("tiny-")]
    model = Text2Im(config)
    initialise(model)
    teach(model, Tokenizer.from_file(tokenizer, config.text_ctx), steps=steps)
    checkpoints.save(model.state_dict(), config, out)
