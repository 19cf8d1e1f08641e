"""The tiny models' tokenizer.json: ``python -m glide_core.tiny.vocabulary OUT`` makes the shipped file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable

import numpy as np
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from .scenes import caption, sample_scene


def train_tokenizer(captions: Iterable[str], vocab_size: int) -> tokenizers.Tokenizer:
    """Byte-level BPE on lower-cased text: each frequent word is one token, and any text can be encoded.

    Its vocabulary has exactly ``vocab_size`` entries; those after the learned ones are never produced from text, so
    that the last one can be the padding id.
    """
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Lowercase()
    # The prefix space makes the first word the same token as later ones.
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


def main(out: str) -> None:
    rng = np.random.default_rng(0)
    train_tokenizer((caption(sample_scene(i), rng) for i in range(6000)), 512).save(out)


if __name__ == "__main__":
    main(sys.argv[1])
