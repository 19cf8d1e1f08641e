"""A first lesson for the text transformer.

Before any picture it learns to tell, from its last token and that token's projection, what a caption says, and from
the token of each shape's name what is said of that shape. Two minutes of this teach it which colour belongs to which
of two objects, which an hour and a half of diffusion training had not; afterwards it is best frozen (``--freeze
text``), because a diffusion loss that does not use shapes yet makes it forget them.
"""

from __future__ import annotations

import re
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
from ..train.loop import initialise
from ..train.optim import Optimizer
from .scenes import BACKGROUNDS, COLOURS, OPPOSITE, RELATIONS, SHAPES, SIZES, STYLES, caption, sample_scene

UNKNOWN = -100  # cross_entropy passes over it
ATTRIBUTES = [list(values) for values in (SHAPES, COLOURS, SIZES, STYLES)]
ARRANGEMENTS = [None, "above", "to the left of", "inside"]
ROLES = 3  # alone, the first of two objects (the upper, left or inner one), the second
OBJECT = [len(values) + 1 for values in ATTRIBUTES]
CAPTION = [*OBJECT, *OBJECT, len(BACKGROUNDS) + 1, len(ARRANGEMENTS)]
MENTION = [*OBJECT, ROLES]
SEEDS = 60000  # the scenes that training draws
SINGLE_SHARE = 0.3  # of captions about one object, which are soon learned


class Reading(NamedTuple):
    """What a caption says, as classes; class 0 of an attribute or a background: it is not named.

    Attributes:
        caption: of ``CAPTION``: both objects by their roles (``UNKNOWN`` where there is one), background, arrangement.
        mentions: of ``MENTION``: the objects in the order of the words.
    """

    caption: list[int]
    mentions: list[list[int]]


def read(text: str) -> Reading:
    """A caption of ``scenes.caption`` or ``scenes.prompt`` -> what it says."""
    ground = re.search(r"(\w+) background", text)
    if ground:
        text = text[: ground.start()] + text[ground.end() :]
    relation = next((relation for relation in RELATIONS if f" {relation} " in text), None)
    objects = [_attributes(part) for part in (text.split(f" {relation} ") if relation else [text])]
    turned = relation not in ARRANGEMENTS
    roles = [0] if relation is None else [2, 1] if turned else [1, 2]
    by_role = [value for item in (objects[::-1] if turned else objects) for value in item]
    whole = [
        *by_role,
        *[UNKNOWN] * (2 * len(OBJECT) - len(by_role)),
        1 + list(BACKGROUNDS).index(ground[1]) if ground else 0,
        ARRANGEMENTS.index(OPPOSITE[relation] if turned else relation),
    ]
    return Reading(whole, [[*item, role] for item, role in zip(objects, roles)])


def _attributes(text: str) -> list[int]:
    words = text.replace(",", " ").split()
    return [next((1 + values.index(word) for word in words if word in values), 0) for values in ATTRIBUTES]


class Reader(nn.Module):
    """The linear heads that tell what a caption says."""

    def __init__(self, model: Text2Im, tokenizer: Tokenizer):
        super().__init__()
        width, projected = model.config.xf_width, model.text.transformer_proj.out_features
        self.last, self.projection = nn.Linear(width, sum(CAPTION)), nn.Linear(projected, sum(CAPTION))
        self.mention = nn.Linear(width, sum(MENTION))
        tokens, mask = tokenizer.batch(f"a {shape}" for shape in SHAPES)
        self.shape_tokens = tokens[torch.arange(len(tokens)), mask.sum(dim=1) - 1]

    def loss(self, tokens: Tensor, features: Tensor, projection: Tensor, readings: list[Reading]) -> Tensor:
        """tokens [B, N], what the text transformer made of them, what they say -> sum of cross entropies, in nats."""
        whole = torch.tensor([reading.caption for reading in readings])
        named = torch.tensor([item for reading in readings for item in reading.mentions if item[0]])
        return (
            _cross_entropy(self.last(features[:, -1].float()), whole, CAPTION)
            + _cross_entropy(self.projection(projection.float()), whole, CAPTION)
            + _cross_entropy(self.mention(features[torch.isin(tokens, self.shape_tokens)].float()), named, MENTION)
        )


def _cross_entropy(logits: Tensor, classes: Tensor, sizes: list[int]) -> Tensor:
    return sum(F.cross_entropy(part, classes[:, k]) for k, part in enumerate(logits.split(sizes, dim=1)))


def teach(
    model: Text2Im, tokenizer: Tokenizer, *, steps: int, batch: int = 64, lr: float = 2e-3, seed: int = 0
) -> list[float]:
    """Train ``model.text`` in place. Returns the loss of each step."""
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
        loss.backward()
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


def lesson(name: str, out: Path, tokenizer: Path, steps: int) -> None:
    """Write an initial checkpoint of a tiny model whose text transformer can read; name: "tiny-base", ..."""
    torch.manual_seed(0)
    config = TINY[name.removeprefix("tiny-")]
    model = Text2Im(config)
    initialise(model)
    teach(model, Tokenizer.from_file(tokenizer, config.text_ctx), steps=steps)
    checkpoints.save(model.state_dict(), config, out)
