"""What a model does not get of a row's prompt: the end of one that is too long, and words that it has never seen."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..diffusion.composition import split_prompt
from ..errors import CheckpointError, counted
from ..files import checkpoints, words
from ..models.tokenizer import Tokenizer
from .request import FIRST_MODEL, Models
from .rows import Row

WORDS_NAMED = 10  # in a shard's .json and at the end of a run
KEPT = 4096  # prompts whose reading is kept


@dataclass(frozen=True)
class Misread:
    """What a model does not get of one prompt.

    Attributes:
        cut: tokens that were cut off.
        unknown: words that no caption of its training had.
    """

    cut: int = 0
    unknown: tuple[str, ...] = ()

    def __str__(self) -> str:
        cut = f"the last {self.cut} tokens were cut" if self.cut else ""
        unknown = f"never seen: {', '.join(self.unknown)}" if self.unknown else ""
        return "; ".join(filter(None, (cut, unknown)))


class PromptReader:
    """Reads the prompts of rows as their first model does.

    Args:
        models: the checkpoints of the run.
        tokenizer: gives what the first model of a task reads with, see ``Painter``.
    """

    def __init__(self, models: Models, tokenizer: Callable[[str], Tokenizer]) -> None:
        self._models, self._tokenizer = models, tokenizer
        self._readers: dict[str, tuple[Tokenizer | None, words.Words | None]] = {}
        self._misread = functools.lru_cache(KEPT)(self._read)

    def __call__(self, row: Row) -> Misread:
        """What is not read of a row's prompt; nothing of a row that cannot be painted."""
        return self._misread(row.task, row.prompt) if row.task and row.prompt else Misread()

    def _read(self, task: str, prompt: str) -> Misread:
        if task not in self._readers:
            self._readers[task] = self._reader(task)
        tokenizer, known = self._readers[task]
        texts = [part.text for part in split_prompt(prompt)]
        cut = 0
        if tokenizer is not None:
            cut = sum(max(0, tokenizer(text).count - tokenizer.text_ctx) for text in texts)
        unknown = dict.fromkeys(word for text in texts for word in (known.strange(text) if known else ()))
        return Misread(cut, tuple(unknown))

    def _reader(self, task: str) -> tuple[Tokenizer | None, words.Words | None]:
        """Of a checkpoint that is missing nothing is told: who paints with it tells of that."""
        try:
            source = str(getattr(self._models, FIRST_MODEL[task]))
            return self._tokenizer(task), words.beside(checkpoints.find(source))
        except CheckpointError:
            return None, None


def summary(found: Iterable[Misread]) -> dict[str, Any]:
    """The counts of a shard: rows with cut prompts, rows with unknown words, and the most frequent of these."""
    cut, rows, seen = 0, 0, Counter[str]()
    for each in found:
        cut += bool(each.cut)
        rows += bool(each.unknown)
        seen.update(each.unknown)
    return {"cut": cut, "unknown": rows, "unknown_words": dict(seen.most_common(WORDS_NAMED))}


def joined(summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The counts of several shards together."""
    total: dict[str, Any] = {"cut": 0, "unknown": 0}
    seen = Counter[str]()
    for each in summaries:
        for name in total:
            total[name] += each.get(name, 0)
        seen.update(each.get("unknown_words", {}))
    return {**total, "unknown_words": dict(seen.most_common(WORDS_NAMED))}


def sentence(counts: Mapping[str, Any]) -> str:
    """What to tell at the end of a run, or nothing."""
    cut = f"{counted(counts['cut'], 'row')} with prompts that were cut" if counts["cut"] else ""
    words = ", ".join(counts["unknown_words"])
    unknown = f"{counted(counts['unknown'], 'row')} with words that the model has never seen ({words})" if words else ""
    found = ", ".join(filter(None, (cut, unknown)))
    return f"{found}: see the column warnings" if found else ""
