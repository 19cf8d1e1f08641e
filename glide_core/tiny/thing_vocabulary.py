"""The vocabulary of the models of things."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from . import drawings, thing_scenes
from . import scenes as shapes
from .vocabulary import train_tokenizer

VOCAB_SIZE = 2048
SHAPE_CAPTIONS, THING_CAPTIONS = 4000, 16000


def write_tokenizer(out: Path) -> None:
    """Write the tokenizer.json of the models of things; it is the same in every run.

    It is learned from captions, and from the names of all drawings in the first package: words that nothing drawn is
    called by are then a few tokens, too, and not a row of letters.
    """
    rng = np.random.default_rng(0)
    package = drawings.read(drawings.fetch(drawings.PACKAGES["cartoon"], drawings.CACHE))
    names = [name.replace("-", " ") for name in package["icons"] if "skin-tone" not in name]
    captions = [shapes.caption(shapes.sample_scene(seed), rng) for seed in range(SHAPE_CAPTIONS)]
    captions += [thing_scenes.caption(thing_scenes.sample_scene(rng), rng).text for _ in range(THING_CAPTIONS)]
    train_tokenizer(captions + 2 * names, VOCAB_SIZE).save(str(out))  # twice: rarer words get no token
