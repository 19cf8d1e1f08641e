"""How many tokens a prompt has for a model that need not be loaded, and what of it the model does not read."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ...glide_core.diffusion.composition import split_prompt
from ...glide_core.files import checkpoints
from ...glide_core.models.tokenizer import Tokenizer
from .loader import checkpoint_path
from .text import TOKENS, HostTokenizer


def counted(checkpoint: str, text: str) -> list[dict[str, int | str]]:
    """Count the tokens of each part of a prompt: {count, limit, cut}, where cut is the end that is not read.

    Args:
        checkpoint: a choice of the loader.
    Raises:
        ValueError: there is no such checkpoint here, or a weight in the prompt is wrong.
    """
    path = checkpoint_path(checkpoint)
    tokenizer = HostTokenizer(tokenizer_data={TOKENS: _tokenizer(path, path.stat().st_mtime_ns)})
    found: list[dict[str, int | str]] = []
    for part in split_prompt(text):
        encoded, _ = tokenizer.encode(part.text)
        found.append({"count": encoded.count, "limit": len(encoded.ids), "cut": encoded.cut})
    return found


@lru_cache(maxsize=8)
def _tokenizer(path: Path, changed: int) -> Tokenizer:
    """The tokenizer of a file, which is read again once it has changed."""
    _, config = checkpoints.read_model(path)
    return checkpoints.tokenizer_for(config, path)
