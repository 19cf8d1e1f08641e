"""The vocabulary of a tokenizer: GPT-2's, which is embedded, and the limits of any other."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

GPT2_MERGES = Path(__file__).parents[1] / "assets" / "gpt2" / "vocab.bpe.xz"
MAX_FILE = 64 << 20  # bytes of a tokenizer.json; GPT-2's has 2 MB
MAX_TOKENS = 1_000_000

Vocabulary = dict[str, int]
Merges = list[tuple[str, str]]

# The bytes that GPT-2's vocabulary writes as the character of the same number; the others follow in order.
PRINTABLE = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]


def gpt2() -> tuple[Vocabulary, Merges]:
    """GPT-2's 50257 tokens with their ids, and its 50000 merges, as in OpenAI's encoder.json and vocab.bpe.

    The order of the tokens follows from the merges: the 256 bytes, what each merge makes, and "<|endoftext|>".
    """
    merges = parse_merges(lzma.decompress(GPT2_MERGES.read_bytes()).decode("utf-8"))
    characters = [chr(byte) for byte in PRINTABLE]
    characters += [chr(256 + i) for i in range(256 - len(PRINTABLE))]
    tokens = characters + [first + second for first, second in merges] + ["<|endoftext|>"]
    return {token: i for i, token in enumerate(tokens)}, merges


def parse_merges(text: str) -> Merges:
    """The pairs of a vocab.bpe, whose first line is its version. Raises ValueError where a line is no pair."""
    merges = []
    for number, line in enumerate(text.splitlines()[1:], start=2):
        pair = line.split()
        if len(pair) != 2:
            raise ValueError(f"line {number} of the merges is not a pair of tokens")
        merges.append((pair[0], pair[1]))
    return merges


def check_tokenizer_json(text: str) -> None:
    """Make sure that the ids of a ``tokenizer.json`` are 0, 1, 2, ..., each of one token: an embedding has a row each.

    Raises:
        ValueError: it is not such a file; the message says what is wrong.
    """
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict):
        raise ValueError("it has no model")
    ids = _ids(model.get("vocab")) | _added_ids(content.get("added_tokens"))
    if len(ids) > MAX_TOKENS:
        raise ValueError(f"it has {len(ids)} tokens, more than {MAX_TOKENS}")
    outside = [i for i in ids if not 0 <= i < len(ids)]
    if outside:
        raise ValueError(f"its {len(ids)} tokens must have the ids 0 to {len(ids) - 1}, but one has {outside[0]}")


def _ids(vocab: Any) -> set[int]:
    if isinstance(vocab, list):  # a Unigram model: the id is the place in the list
        return set(range(len(vocab)))
    if not isinstance(vocab, dict) or not vocab:
        raise ValueError("it has no vocabulary")
    if any(type(i) is not int for i in vocab.values()):
        raise ValueError("an id in its vocabulary is not a whole number")
    if len(set(vocab.values())) < len(vocab):
        raise ValueError("two tokens of its vocabulary have the same id")
    return set(vocab.values())


def _added_ids(tokens: Any) -> set[int]:
    if tokens is None:
        return set()
    if not isinstance(tokens, list) or any(not isinstance(t, dict) or type(t.get("id")) is not int for t in tokens):
        raise ValueError("one of its added tokens has no id")
    return {token["id"] for token in tokens}
