"""The words that a model knows: listed on request, and a warning about those in a prompt that it does not know."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..errors import GlideWarning, OptionError

if TYPE_CHECKING:
    from ..files.words import Words

LISTED = ("things", "styles", "colours", "sizes", "relations", "backgrounds", "categories")


def of_checkpoint(name: str) -> Words:
    """The words of a checkpoint. Raises OptionError: no list of them is kept beside it."""
    from ..files import checkpoints, words

    found = words.beside(checkpoints.find(name))
    if found is None:
        raise OptionError(f"--list-words: {name} has no list of words, it was trained on too many")
    return found


def listed(words: Words, *, as_json: bool) -> str:
    """The words for a reader, or as a JSON object."""
    lists = {name: asdict(words)[name] for name in LISTED}
    if as_json:
        return json.dumps(lists)
    return "\n".join(f"{name}: {', '.join(values) or 'none'}" for name, values in lists.items())


def warn_of_unknown(name: str, prompts: Iterable[str]) -> None:
    """Say once on stderr which words a model has never seen, if a list of its words is kept beside it."""
    from ..files import checkpoints, words

    known = words.beside(checkpoints.find(name))
    if known is None:
        return
    unknown: dict[str, str | None] = {}
    for prompt in prompts:
        unknown |= known.unknown(prompt)
    if unknown:
        named = [word if near is None else f"{word} (did you mean {near}?)" for word, near in unknown.items()]
        text = f"{name} has never seen: {', '.join(named)}; see --list-words"
        warnings.warn(text, GlideWarning, stacklevel=2)
