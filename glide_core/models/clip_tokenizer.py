"""Text to the token ids of a noised CLIP: OpenAI's CLIP vocabulary, or a small model's own ``tokenizer.json``."""

from __future__ import annotations

import html
import lzma
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import tokenizers
import torch
from tokenizers import Regex, decoders, models, pre_tokenizers
from torch import Tensor

from .vocabulary import PRINTABLE, parse_merges

MERGES = Path(__file__).parents[1] / "assets" / "clip" / "merges.txt.xz"
PIECES = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
STRAIGHT = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"'})


class ClipTokenizer:
    """Encodes texts as [start, *words, end] and fills up with zeros.

    Args:
        tokenizer: of the words; start and end follow its ids.
        text_ctx: the longest text, with start and end. The rest is cut off.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer, text_ctx: int) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self.text_ctx = text_ctx
        self.start = tokenizer.get_vocab_size(with_added_tokens=False)
        self.end = self.start + 1

    @classmethod
    def openai(cls, text_ctx: int) -> ClipTokenizer:
        """The tokenizer of OpenAI's CLIP, from the embedded vocabulary.

        As in OpenAI's code, "<|startoftext|>" and "<|endoftext|>" in a text are the start and the end themselves.
        """
        merges = parse_merges(lzma.decompress(MERGES.read_bytes()).decode("utf-8"))
        characters = [chr(byte) for byte in PRINTABLE] + [chr(256 + i) for i in range(256 - len(PRINTABLE))]
        tokens = [*characters, *(c + "</w>" for c in characters), *(a + b for a, b in merges)]
        vocab = {token: i for i, token in enumerate(tokens)}
        tokenizer = tokenizers.Tokenizer(models.BPE(vocab, merges, end_of_word_suffix="</w>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(PIECES), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens(["<|startoftext|>", "<|endoftext|>"])
        return cls(tokenizer, text_ctx)

    @property
    def vocab_size(self) -> int:
        """How many ids there are, with start and end."""
        return self.end + 1

    def encode(self, text: str) -> list[int]:
        """All words of a text, without start, end and limit."""
        return list(self._tokenizer.encode(cleaned(text), add_special_tokens=False).ids)

    def count(self, text: str) -> int:
        """How many tokens a text has, with start and end, also those that are cut off."""
        return len(self.encode(text)) + 2

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Encode texts: ids [B, text_ctx] int64 and the length [B] of each, with start and end."""
        if isinstance(texts, str):
            raise TypeError("texts must be a list of strings, not one string")
        rows = [[self.start, *self.encode(text)[: self.text_ctx - 2], self.end] for text in texts]
        padded = [row + [0] * (self.text_ctx - len(row)) for row in rows]
        tokens = torch.tensor(padded, dtype=torch.int64).reshape(len(rows), self.text_ctx)
        return tokens, torch.tensor([len(row) for row in rows], dtype=torch.int64)

    def to_json(self) -> str:
        """The text of a ``tokenizer.json`` of the words."""
        return self._tokenizer.to_str()


def cleaned(text: str) -> str:
    """A text as CLIP reads it: without HTML's entities, with single spaces and straight quotes, in lower case."""
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = unicodedata.normalize("NFC", text).translate(STRAIGHT)
    return re.sub(r"\s+", " ", html.unescape(html.unescape(text))).strip().lower()
