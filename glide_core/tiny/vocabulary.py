"""The vocabulary of the tiny models: ``python -m glide_core.tiny.vocabulary OUT`` makes their tokenizer.json."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from .scenes import caption, sample_scene

CAPTIONS, VOCAB_SIZE = 6000, 512


def train_tokenizer(captions: Iterable[str], vocab_size: int) -> tokenizers.Tokenizer:
    """Learn byte-level BPE of lower-cased text: each frequent word becomes one token, and any text can be encoded.

    Args:
        captions: what to learn it from.
        vocab_size: the exact size of the vocabulary. It is filled up with entries that no text is encoded as, so that
            the last id can be the padding's.
    """
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Lowercase()
    # With a space before it the first word of a text is the same token as elsewhere.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    state = json.loads(tokenizer.to_str())
    vocab = state["model"]["vocab"]
    vocab.update({f"<unused {i}>": i for i in range(len(vocab), vocab_size - 1)}, **{"<padding>": vocab_size - 1})
    return tokenizers.Tokenizer.from_str(json.dumps(state))


def write_tokenizer(out: Path) -> None:
    """Write the tokenizer.json of the tiny models; it is the same in every run."""
    rng = np.random.default_rng(0)
    captions = (caption(sample_scene(seed), rng) for seed in range(CAPTIONS))
    train_tokenizer(captions, VOCAB_SIZE).save(str(out))


if __name__ == "__main__":
    write_tokenizer(Path(sys.argv[1]))
