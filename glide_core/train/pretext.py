"""A first lesson for the text transformer: ``python -m glide_core.train.pretext MODEL OUT`` makes an initial model.

Before any picture it learns to tell, from its last token, what a caption says of a drawn scene. A minute of this
saves the diffusion training most of the time in which it would find out which colour belongs to which shape.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from .. import checkpoints
from ..config import TINY
from ..model import Text2Im
from ..tokenizer import Tokenizer
from .loop import initialise
from .optim import Optimizer
from .scenes import BACKGROUNDS, COLOURS, OPPOSITE, SHAPES, SIZES, STYLES, Object, Scene, caption, sample_scene

UNKNOWN = -100  # cross_entropy passes over it
ARRANGEMENTS = (None, "above", "to the left of", "inside")
ATTRIBUTES = {"shape": SHAPES, "colour": COLOURS, "size": SIZES, "style": STYLES}
CLASSES = [len(values) for values in ATTRIBUTES.values()] * 2 + [len(BACKGROUNDS), len(ARRANGEMENTS)]
SEEDS = 60000  # the scenes that training draws


def labels(scene: Scene) -> list[int]:
    """Class of each of ``CLASSES``: the attributes of two objects, upper or left one first, background, arrangement."""
    if scene.relation is None or scene.relation in ARRANGEMENTS:
        objects, arrangement = scene.objects, scene.relation
    else:
        objects, arrangement = scene.objects[::-1], OPPOSITE[scene.relation]
    known = [c for item in objects for c in _classes(item)]
    known += [UNKNOWN] * (2 * len(ATTRIBUTES) - len(known))
    return [*known, list(BACKGROUNDS).index(scene.background), ARRANGEMENTS.index(arrangement)]


def _classes(item: Object) -> list[int]:
    return [list(values).index(getattr(item, name)) for name, values in ATTRIBUTES.items()]


def teach(
    model: Text2Im, tokenizer: Tokenizer, *, steps: int, batch: int = 64, lr: float = 2e-3, seed: int = 0
) -> list[float]:
    """Train ``model.text`` in place. Returns the loss of each step (a sum of cross entropies, in nats)."""
    head = nn.Linear(model.config.xf_width, sum(CLASSES))
    optimizer, head_optimizer = Optimizer(model.text, lr, muon=True), torch.optim.AdamW(head.parameters(), lr)
    rng, losses = np.random.default_rng(seed), []
    for step in tqdm(range(steps), "reading captions"):
        scenes = [sample_scene(int(i)) for i in rng.integers(SEEDS, size=batch)]
        tokens, mask = tokenizer.batch(caption(scene, rng) for scene in scenes)
        with torch.autocast("cpu", torch.bfloat16):
            last, _ = model.text(tokens, mask)
        classes = torch.tensor([labels(scene) for scene in scenes])
        parts = head(last[:, -1].float()).split(CLASSES, dim=1)
        loss = sum(F.cross_entropy(part, classes[:, i]) for i, part in enumerate(parts))
        loss.backward()
        nn.utils.clip_grad_norm_(optimizer.parameters, 1.0)
        optimizer.step(min(1.0, (step + 1) / 50, (steps - step) / (0.3 * steps)))
        head_optimizer.step()
        head_optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=[f"tiny-{kind}" for kind in TINY])
    parser.add_argument("out", type=Path, help="the .safetensors to write")
    parser.add_argument("--tokenizer", type=Path, default=checkpoints.TINY_FOLDER / "tokenizer.json")
    parser.add_argument("--steps", type=int, default=250)
    args = parser.parse_args()
    torch.manual_seed(0)
    config = TINY[args.model.removeprefix("tiny-")]
    model = Text2Im(config)
    initialise(model)
    losses = teach(model, Tokenizer.from_file(args.tokenizer, config.text_ctx), steps=args.steps)
    print(f"loss {np.mean(losses[:10]):.2f} -> {np.mean(losses[-20:]):.2f}")
    checkpoints.save(model.state_dict(), config, args.out)


if __name__ == "__main__":
    main()
