"""The first lesson of the text transformer: to tell, before any picture, what captions of things say.

See ``text_lesson``, which does the same for shapes alone; afterwards the text transformer is frozen.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from ..device import DTYPES, pick_dtype
from ..models.text2im import Text2Im
from ..models.tokenizer import Tokenizer
from ..train.optim import Optimizer
from .thing_words import CAPTION, MENTION, UNKNOWN, Reading, random_reading

SHAPES_SHARE, PAIRS_SHARE = 0.3, 0.6


class Reader(nn.Module):
    """The linear heads that tell what a caption says, from the last token and from those that end a name."""

    def __init__(self, model: Text2Im):
        super().__init__()
        width, projected = model.config.xf_width, model.text.transformer_proj.out_features
        self.last, self.projection = nn.Linear(width, sum(CAPTION)), nn.Linear(projected, sum(CAPTION))
        self.mention = nn.Linear(width, sum(MENTION))

    def forward(self, features: Tensor, projection: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [B, sum(CAPTION)] of both kinds, and [M, sum(MENTION)] at (row, token) places [M, 2]."""
        named = features[places[:, 0], places[:, 1]]
        return self.last(features[:, -1].float()), self.projection(projection.float()), self.mention(named.float())


def encode(tokenizer: Tokenizer, readings: list[Reading]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """tokens, mask [B, N]; classes of the captions [B, len(CAPTION)]; places [M, 2] and classes [M, len(MENTION)]."""
    tokens, mask = tokenizer.batch([reading.text for reading in readings])
    places, named = [], []
    for row, reading in enumerate(readings):
        ends = tokenizer(reading.text).ends
        for end, mention in zip(reading.ends, reading.mentions):
            if end != UNKNOWN:
                places.append((row, next(k for k, last in enumerate(ends) if last >= end)))
                named.append(mention)
    return tokens, mask, torch.tensor([r.whole for r in readings]), torch.tensor(places), torch.tensor(named)


def cross_entropy(logits: Tensor, classes: Tensor, sizes: list[int]) -> Tensor:
    """Sum over the attributes, of those captions that have one."""
    total = logits.new_zeros(())
    for k, part in enumerate(logits.split(sizes, dim=1)):
        if (classes[:, k] != UNKNOWN).any():
            total = total + F.cross_entropy(part, classes[:, k])
    return total


def teach(
    model: Text2Im, tokenizer: Tokenizer, *, steps: int, batch: int = 64, lr: float = 2e-3, seed: int = 0
) -> list[float]:
    """Train ``model.text`` in place. Returns the loss of each step."""
    device = next(model.parameters()).device
    reader = Reader(model).to(device)
    model.unet.requires_grad_(False)
    optimizer, head_optimizer = Optimizer(model, lr, muon=True), torch.optim.AdamW(reader.parameters(), lr)
    rng, losses = np.random.default_rng(seed), []
    precision = pick_dtype("auto", device)
    for step in tqdm(range(steps), "reading captions", mininterval=10):
        readings = [random_reading(rng, SHAPES_SHARE, PAIRS_SHARE) for _ in range(batch)]
        tokens, mask, whole, places, named = (part.to(device) for part in encode(tokenizer, readings))
        with torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32"):
            features, projection = model.text(tokens, mask)
        last, projected, mention = reader(features, projection, places)
        loss = cross_entropy(last, whole, CAPTION) + cross_entropy(projected, whole, CAPTION)
        loss = loss + cross_entropy(mention, named, MENTION)
        loss.backward()
        optimizer.step(min(1.0, (step + 1) / 50, (steps - step) / (0.3 * steps)))
        head_optimizer.step()
        head_optimizer.zero_grad()
        losses.append(float(loss.detach()))
    model.requires_grad_(True)
    return losses
