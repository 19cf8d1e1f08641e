"""Text to token ids: GPT-2's byte-pair encoding as GLIDE uses it, or a small model's own ``tokenizer.json``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers
from torch import Tensor

from ..errors import CheckpointError
from . import vocabulary
from .vocabulary import Merges, Vocabulary


class TokenizedPrompt(NamedTuple):
    """One prompt as a model reads it.

    Attributes:
        ids: ``text_ctx`` token ids, padded with the padding id.
        mask: ``text_ctx`` flags, True where the id is text and not padding.
        count: tokens of the whole prompt, also those that did not fit.
        cut: the end of the prompt that did not fit ("" if all of it did).
        ends: for each id that is text, where it ends in the lower-cased prompt, in characters.
    """

    ids: list[int]
    mask: list[bool]
    count: int  # type: ignore[assignment]  # tuple.count is never used
    cut: str
    ends: list[int]


class Tokenizer:
    """Lower-cases a prompt, encodes it and pads it to ``text_ctx`` ids.

    No text is special: "<|endoftext|>" is encoded like any other. The last id of the vocabulary is the padding id.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer, text_ctx: int) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = True  # as ordinary text
        self._tokenizer = tokenizer
        self.text_ctx = text_ctx
        self.vocab_size = tokenizer.get_vocab_size()

    @classmethod
    def from_file(cls, path: str | Path, text_ctx: int) -> Tokenizer:
        """Load a ``tokenizer.json`` of the ``tokenizers`` library. Raises CheckpointError if it is not one."""
        try:
            size = Path(path).stat().st_size
            if size > vocabulary.MAX_FILE:
                raise ValueError(f"it has {size} bytes, more than any vocabulary needs")
            text = Path(path).read_text(encoding="utf-8")
            vocabulary.check_tokenizer_json(text)
            return cls(tokenizers.Tokenizer.from_str(text), text_ctx)
        except OSError:
            raise
        except Exception as error:  # the library raises no narrower class
            raise CheckpointError(f"{path} is not a tokenizer.json: {error}") from error

    @classmethod
    def from_gpt2(cls, encoder_json: str | Path, vocab_bpe: str | Path, text_ctx: int) -> Tokenizer:
        """Build GPT-2's tokenizer from its two published files. Raises CheckpointError if they are not those."""
        try:
            vocab = json.loads(Path(encoder_json).read_text(encoding="utf-8"))
            merges = vocabulary.parse_merges(Path(vocab_bpe).read_text(encoding="utf-8"))
            if len(vocab) != 256 + len(merges) + 1:  # the bytes, a token for each merge, <|endoftext|>
                raise ValueError(f"{len(vocab)} tokens and {len(merges)} merges do not belong together")
            return cls._byte_level(vocab, merges, text_ctx)
        except OSError:
            raise
        except Exception as error:  # the library raises no narrower class
            message = (
                f"{encoder_json} and {vocab_bpe} are not GPT-2's vocabulary: {error}. Without them it is there too"
            )
            raise CheckpointError(message) from error

    @classmethod
    def gpt2(cls, text_ctx: int) -> Tokenizer:
        """GPT-2's tokenizer, which the published models have, from the embedded vocabulary."""
        return cls._byte_level(*vocabulary.gpt2(), text_ctx)

    @classmethod
    def _byte_level(cls, vocab: Vocabulary, merges: Merges, text_ctx: int) -> Tokenizer:
        tokenizer = tokenizers.Tokenizer(models.BPE(vocab, merges))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        return cls(tokenizer, text_ctx)

    @property
    def library(self) -> tokenizers.Tokenizer:
        """The object of the ``tokenizers`` library that does the work."""
        return self._tokenizer

    @property
    def padding_id(self) -> int:
        """The last id of the vocabulary, which fills the places behind a prompt."""
        return self.vocab_size - 1

    def __call__(self, text: str) -> TokenizedPrompt:
        """Encode one prompt. Raises TypeError if it is not a string."""
        if not isinstance(text, str):
            raise TypeError(f"a prompt must be a string, not {type(text).__name__}")
        # Half an emoji (a string cut in JavaScript) is no Unicode text: it becomes the replacement character.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        encoding = self._tokenizer.encode(text.lower(), add_special_tokens=False)
        ids = encoding.ids[: self.text_ctx]
        padding = self.text_ctx - len(ids)
        return TokenizedPrompt(
            ids=ids + [self.padding_id] * padding,
            mask=[True] * len(ids) + [False] * padding,
            count=len(encoding.ids),
            cut=_tail(text, encoding.offsets[self.text_ctx][0]) if len(encoding.ids) > self.text_ctx else "",
            ends=[end for _, end in encoding.offsets[: self.text_ctx]],
        )

    def count(self, text: str) -> int:
        """How many tokens a text has, also those that are cut off."""
        return self(text).count

    def batch(self, prompts: Iterable[str]) -> tuple[Tensor, Tensor]:
        """Encode prompts: ids [B, text_ctx] int64 and their mask [B, text_ctx] bool."""
        if isinstance(prompts, str):
            raise TypeError("prompts must be a list of strings, not one string")
        encoded = [self(prompt) for prompt in prompts]
        shape = (len(encoded), self.text_ctx)
        tokens = torch.tensor([e.ids for e in encoded], dtype=torch.int64).reshape(shape)
        return tokens, torch.tensor([e.mask for e in encoded], dtype=torch.bool).reshape(shape)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids without their padding."""
        return self._tokenizer.decode([i for i in ids if i != self.padding_id])

    def to_json(self) -> str:
        """The text of a ``tokenizer.json`` that ``from_file`` loads."""
        return self._tokenizer.to_str()


def _tail(text: str, start: int) -> str:
    """The part of ``text`` from character ``start`` of its lower-cased form, which may be longer ("İ" becomes two)."""
    for i, char in enumerate(text):
        if start <= 0:
            return text[i:].strip()
        start -= len(char.lower())
    return ""
