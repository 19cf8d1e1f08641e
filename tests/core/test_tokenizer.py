from __future__ import annotations

import hashlib
import json
import lzma
import time

import pytest
import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers, trainers

from glide_core.errors import CheckpointError
from glide_core.files.download import VOCABULARY
from glide_core.models import vocabulary
from glide_core.models.config import BASE
from glide_core.models.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def gpt2() -> Tokenizer:
    return Tokenizer.gpt2(BASE.text_ctx)


def test_the_embedded_vocabulary_is_that_of_the_published_files():
    """Both files can be written anew from what is embedded, with the published hashes."""
    vocab, merges = vocabulary.gpt2()
    assert hashlib.sha256(lzma.decompress(vocabulary.GPT2_MERGES.read_bytes())).hexdigest() == VOCABULARY["vocab.bpe"]
    assert hashlib.sha256(json.dumps(vocab).encode()).hexdigest() == VOCABULARY["encoder.json"]
    assert len(vocab) == BASE.vocab_size and len(merges) == 50_000


def test_the_published_files_make_the_same_tokenizer(gpt2, gpt2_files):
    assert Tokenizer.from_gpt2(*gpt2_files, BASE.text_ctx).to_json() == gpt2.to_json()


def with_vocab(vocab, **more):
    model = {"type": "BPE", "vocab": vocab, "merges": []}
    return json.dumps({"version": "1.0", "added_tokens": [], "model": model, **more})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<html>", "Expecting value"),
        ("[]", "no model"),
        ("{}", "no model"),
        ("[" * 200_000, ""),
        (with_vocab({}), "no vocabulary"),
        (with_vocab({"a": 0, "b": 2}), "its 2 tokens must have the ids 0 to 1, but one has 2"),
        (with_vocab({"a": 0, "b": -1}), "its 2 tokens must have the ids 0 to 1, but one has -1"),
        (with_vocab({"a": 0, "b": 10**30}), "its 2 tokens must have"),
        (with_vocab({"a": 0, "b": 0}), "two tokens of its vocabulary have the same id"),
        (with_vocab({"a": "0"}), "not a whole number"),
        (with_vocab({"a": 0}, added_tokens=[{"id": 4_000_000_000, "content": "<pad>"}]), "its 2 tokens must have"),
        (with_vocab({"a": 0}, added_tokens=[3]), "added tokens has no id"),
        (with_vocab({"a": 0}, model={"type": "what", "vocab": {"a": 0}}), "not a tokenizer.json"),
    ],
)
def test_tokenizer_file_of_nonsense(text, message, tmp_path):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(CheckpointError, match=f"t.json is not a tokenizer.json: .*{message}|t.json is {message}"):
        Tokenizer.from_file(tmp_path / "t.json", 32)


def test_tokenizer_file_that_is_not_utf8(tmp_path):
    (tmp_path / "t.json").write_bytes(b"{\xff\xfe}")
    with pytest.raises(CheckpointError, match="t.json is not a tokenizer.json"):
        Tokenizer.from_file(tmp_path / "t.json", 32)


def test_ids_equal_the_reference(gpt2, golden_dir):
    """Ids of every golden prompt, cut and padded as the reference does."""
    for case in json.loads((golden_dir / "tokens.json").read_text(encoding="utf-8")):
        ids, kept = case["gpt2"], min(len(case["gpt2"]), BASE.text_ctx)
        encoded = gpt2(case["prompt"])
        assert encoded.count == len(ids), case["prompt"]
        assert encoded.ids == ids[:kept] + [BASE.vocab_size - 1] * (BASE.text_ctx - kept), case["prompt"]
        assert encoded.mask == [True] * kept + [False] * (BASE.text_ctx - kept)
        assert bool(encoded.cut) == (len(ids) > kept)


def test_batch_is_the_tensor_of_single_prompts(gpt2):
    prompts = ["a corgi", "", "x " * 200]
    tokens, mask = gpt2.batch(prompts)
    assert tokens.shape == mask.shape == (3, 128) and tokens.dtype == torch.int64 and mask.dtype == torch.bool
    for i, prompt in enumerate(prompts):
        assert tokens[i].tolist() == gpt2(prompt).ids and mask[i].tolist() == gpt2(prompt).mask
    assert gpt2.batch([])[0].shape == (0, 128)


def test_empty_prompt_is_all_padding(gpt2):
    assert gpt2("") == ([50256] * 128, [False] * 128, 0, "", [])


def test_text_of_special_tokens_is_ordinary(gpt2):
    encoded = gpt2("<|endoftext|>")
    assert encoded.count > 1 and 50256 not in encoded.ids[: encoded.count]
    assert gpt2.decode(encoded.ids) == "<|endoftext|>"


@pytest.mark.parametrize("text", ["A Corgi 😀 in  Kyōto", "семь 猫 👩‍👩‍👧", "it's\n2\tdogs", "İstanbul"])
def test_decode_returns_the_lower_cased_text(gpt2, text):
    assert gpt2.decode(gpt2(text).ids) == text.lower()


def test_half_an_emoji_is_encoded(gpt2):
    assert gpt2.decode(gpt2("a \ud83d cat").ids) == "a \ufffd cat"


def test_long_prompt_is_quick_and_says_what_was_cut(gpt2):
    text = " ".join(f"Word{i}" for i in range(5000))
    start = time.perf_counter()
    encoded = gpt2(text)
    assert time.perf_counter() - start < 2
    assert len(encoded.ids) == 128 and all(encoded.mask) and encoded.count > 5000
    assert text.endswith(encoded.cut)
    kept = text[: -len(encoded.cut)].strip()
    assert gpt2(kept).count == 128 and gpt2.decode(encoded.ids) == kept.lower()


def test_cut_is_the_users_own_text(gpt2):
    """Lower-casing lengthens "İ": the cut must still begin at the right character."""
    head = "İ" * 8
    kept = gpt2(head).count
    short = Tokenizer(gpt2._tokenizer, kept)
    assert short(head + " Then THIS").cut == "Then THIS"
    assert short(head).cut == ""


def test_cut_inside_an_emoji_gives_the_whole_emoji(gpt2):
    assert Tokenizer(gpt2._tokenizer, 2)("a 👩 b").cut == "👩 b"


def test_input_that_is_no_string(gpt2):
    for value in (None, 3, ["a"], b"a"):
        with pytest.raises(TypeError, match=f"must be a string, not {type(value).__name__}"):
            gpt2(value)
    with pytest.raises(TypeError, match="list of strings"):
        gpt2.batch("a corgi")


def test_truncated_vocabulary_is_refused(gpt2_files, tmp_path):
    encoder, merges = gpt2_files
    (tmp_path / "vocab.bpe").write_text("\n".join(merges.read_text(encoding="utf-8").splitlines()[:40000]))
    with pytest.raises(ValueError, match="vocab.bpe are not GPT-2's vocabulary"):
        Tokenizer.from_gpt2(encoder, tmp_path / "vocab.bpe", 128)
    (tmp_path / "encoder.json").write_text(encoder.read_text(encoding="utf-8")[:1000])
    with pytest.raises(ValueError, match="encoder.json"):
        Tokenizer.from_gpt2(tmp_path / "encoder.json", merges, 128)


def test_tokenizer_json_ignores_its_own_padding_and_specials(tmp_path):
    """A tokenizer.json made for another program pads, cuts and knows special tokens: GLIDE's rules replace them."""
    source = tokenizers.Tokenizer(models.BPE())
    source.pre_tokenizer, source.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    source.train_from_iterator(["a red circle on a blue background", "a small green square"] * 9, trainer)
    source.add_special_tokens(["<pad>"])
    source.enable_padding(length=99)
    source.enable_truncation(2)
    source.save(str(tmp_path / "tokenizer.json"))

    tokenizer = Tokenizer.from_file(tmp_path / "tokenizer.json", 32)
    assert tokenizer.padding_id == tokenizer.vocab_size - 1 == source.token_to_id("<pad>")
    encoded = tokenizer("A RED circle <pad>")
    assert len(encoded.ids) == 32 and sum(encoded.mask) == encoded.count
    assert tokenizer.padding_id not in encoded.ids[: encoded.count]
    assert tokenizer.decode(encoded.ids) == "a red circle <pad>"

    (tmp_path / "copy.json").write_text(tokenizer.to_json(), encoding="utf-8")
    assert Tokenizer.from_file(tmp_path / "copy.json", 32)("a green square") == tokenizer("a green square")
    (tmp_path / "broken.json").write_text("<html>")
    with pytest.raises(ValueError, match="broken.json is not a tokenizer.json"):
        Tokenizer.from_file(tmp_path / "broken.json", 32)


def test_where_tokens_end(gpt2):
    text = "A red İ circle, ☃!"
    encoded = gpt2(text)
    assert encoded.ends[-1] == len(text.lower())
    assert encoded.ends == sorted(encoded.ends)
    assert len(encoded.ends) == sum(encoded.mask)
