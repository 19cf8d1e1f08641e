"""Makes the ``words.json`` that lies beside an embedded model.

python -m glide_core.tiny.words shapes|things OUT
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..files.words import Words, split
from .things import CATEGORIES, GROUNDS, STYLES, THINGS

NAMED_SIZES = ("small", "large")  # no prompt says medium
CAPTIONS = 20000  # enough that every phrasing occurs


def of_shapes() -> Words:
    rng = np.random.default_rng(0)
    from . import scenes

    captions = [scenes.caption(scenes.sample_scene(seed), rng) for seed in range(CAPTIONS)]
    return _words(
        captions,
        things=scenes.SHAPES,
        styles=scenes.STYLES,
        backgrounds=scenes.BACKGROUNDS,
        categories=[],
        colours=scenes.COLOURS,
        sizes=NAMED_SIZES,
        relations=scenes.RELATIONS,
    )


def of_things() -> Words:
    rng = np.random.default_rng(0)
    from . import thing_scenes

    captions = [thing_scenes.caption(thing_scenes.sample_scene(rng), rng).text for _ in range(CAPTIONS)]
    shapes = of_shapes()
    return _words(
        captions + shapes.others,
        things=[*THINGS, *shapes.things],
        styles=[*STYLES, *shapes.styles],
        backgrounds=GROUNDS,
        categories=CATEGORIES,
        colours=shapes.colours,
        sizes=NAMED_SIZES,
        relations=[*thing_scenes.RELATIONS, *shapes.relations],
    )


def _words(texts: list[str], **lists: Iterable[str]) -> Words:
    """The words of captions; ``lists`` are those that have a name in ``Words``."""
    once = {name: list(dict.fromkeys(names)) for name, names in lists.items()}  # both grammars say "flat"
    named = {word for names in once.values() for name in names for word in split(name)}
    return Words(**once, others=sorted({word for text in texts for word in split(text)} - named))


def main(what: str, out: str) -> None:
    words = {"shapes": of_shapes, "things": of_things}[what]()
    Path(out).write_text(json.dumps(asdict(words), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
