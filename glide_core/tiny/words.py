"""The words that an embedded model was trained on: ``words.json`` beside it.

python -m glide_core.tiny.words shapes|things OUT
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np

from ..errors import CheckpointError
from .things import CATEGORIES, GROUNDS, STYLES, THINGS

SHORTEST = 4  # of a word that a known one is suggested for
NAMED_SIZES = ("small", "large")  # no prompt says medium
CAPTIONS = 20000  # enough that every phrasing occurs


@dataclass(frozen=True)
class Words:
    """What a model knows; ``others`` are all further words of its captions."""

    things: list[str]
    styles: list[str]
    backgrounds: list[str]
    categories: list[str]
    others: list[str]
    # Lists of models that were made earlier hold these words among the others.
    colours: list[str] = field(default_factory=list)
    sizes: list[str] = field(default_factory=list)
    relations: list[str] = field(default_factory=list)

    def unknown(self, prompt: str) -> dict[str, str | None]:
        """The words of a prompt that no caption had, each with the known one that looks most like it, if any does."""
        known = sorted({word for names in asdict(self).values() for name in names for word in split(name)})
        found: dict[str, str | None] = {}
        for word in split(prompt):
            if word not in known:
                near = difflib.get_close_matches(word, known, n=1, cutoff=0.75) if len(word) >= SHORTEST else []
                found[word] = near[0] if near else None
        return found


def split(text: str) -> list[str]:
    """The words of a text in lower case."""
    return re.findall(r"\w+", text.lower())


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


def read(path: Path) -> Words:
    """Raises CheckpointError: the file is not there, or has no words in it."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Words(**{each.name: values[each.name] for each in fields(Words) if each.name in values})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is no list of words: install this package again ({error})") from error


def main(what: str, out: str) -> None:
    words = {"shapes": of_shapes, "things": of_things}[what]()
    Path(out).write_text(json.dumps(asdict(words), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
