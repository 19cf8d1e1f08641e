"""The words that a model was trained on: ``words.json`` beside its checkpoint."""

from __future__ import annotations

import difflib
import functools
import json
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from ..errors import CheckpointError

NAME = "words.json"
SHORTEST = 4  # of a word that a known one is suggested for


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

    @functools.cached_property
    def known(self) -> frozenset[str]:
        """All single words, in lower case."""
        return frozenset(word for names in asdict(self).values() for name in names for word in split(name))

    def strange(self, prompt: str) -> list[str]:
        """The words of a prompt that no caption had."""
        return [word for word in split(prompt) if word not in self.known]

    def unknown(self, prompt: str) -> dict[str, str | None]:
        """The same, each with the known word that looks most like it, if any does."""
        return {word: self._near(word) for word in self.strange(prompt)}

    def _near(self, word: str) -> str | None:
        near = difflib.get_close_matches(word, sorted(self.known), n=1, cutoff=0.75) if len(word) >= SHORTEST else []
        return near[0] if near else None


def split(text: str) -> list[str]:
    """The words of a text in lower case."""
    return re.findall(r"\w+", text.lower())


def beside(checkpoint: Path) -> Words | None:
    """The words of a checkpoint, or None where no list is kept beside it. Raises CheckpointError: see ``read``."""
    path = checkpoint.with_name(NAME)
    return read(path) if path.is_file() else None


def read(path: Path) -> Words:
    """Raises CheckpointError: the file is not there, or has no words in it."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Words(**{each.name: values[each.name] for each in fields(Words) if each.name in values})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is no list of words: install this package again ({error})") from error
