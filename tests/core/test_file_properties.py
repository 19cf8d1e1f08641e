"""Damaged files of every kind: each is refused with a message for the user, or what is read from it is right."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glide_core.errors import GlideError
from glide_core.files import checkpoints, detect
from glide_core.models.config import BASE, LARGEST, TINY_BASE, ModelConfig
from glide_core.models.tokenizer import Tokenizer
from glide_core.train import state

SMALL = dataclasses.replace(
    TINY_BASE, num_channels=8, xf_width=8, xf_layers=1, xf_heads=1, channel_mult=(1, 1), norm_groups=4, vocab_size=512
)
pytestmark = pytest.mark.hypothesis  # as what is decorated as a whole is marked
STATE = {name: {"a": torch.arange(1000.0)} for name in state.FIELDS}


@pytest.fixture(scope="module")
def weights() -> detect.StateDict:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in detect.shapes(SMALL).items()}


@st.composite
def damage(draw, content: bytes) -> bytes:
    """Flip bits of a file, cut it, write over a part of it, or put bytes in."""
    size = len(content)
    place = st.one_of(
        st.integers(0, size - 1),
        st.integers(0, min(2000, size - 1)),
        st.integers(max(0, size - 20_000), size - 1),
    )
    kind = draw(st.sampled_from(["flip", "cut", "overwrite", "insert"]))
    at = draw(place)
    if kind == "cut":
        return content[:at]
    if kind == "insert":
        return content[:at] + draw(st.binary(min_size=1, max_size=50)) + content[at:]
    if kind == "overwrite":
        new = draw(st.binary(min_size=1, max_size=50))
        return content[:at] + new + content[at + len(new) :]
    changed = bytearray(content)
    for place in [at, *draw(st.lists(st.integers(0, size - 1), max_size=3))]:
        changed[place] ^= 1 << draw(st.integers(0, 7))
    return bytes(changed)


def write_pt(weights, path):
    torch.save(weights, path)


def write_legacy(weights, path):
    torch.save(weights, path, _use_new_zipfile_serialization=False)


def write_safetensors(weights, path):
    checkpoints.save(weights, SMALL, path)


@pytest.mark.parametrize("write", [write_pt, write_legacy, write_safetensors])
def test_damaged_checkpoint(write, weights, tmp_path):
    path = tmp_path / "model"
    write(weights, path)
    content = path.read_bytes()
    checked = write is write_pt  # the other kinds have no checksums

    @given(damaged=damage(content))
    def check(damaged):
        replace(path, damaged)
        try:
            read, config = checkpoints.read_model(path)
        except GlideError as error:
            assert str(path) in str(error)
            return
        assert {name: tuple(tensor.shape) for name, tensor in read.items()} == detect.shapes(config)
        if checked:
            assert all(torch.equal(read[name], tensor) for name, tensor in weights.items())

    check()


def replace(path: Path, content: bytes) -> None:
    """Write a new file in the place of the old one, whose pages may still be mapped."""
    new = path.with_name("new")
    new.write_bytes(content)
    os.replace(new, path)


def test_damaged_state_of_a_training(tmp_path):
    path = tmp_path / "state.pt"
    state.write(path, STATE)
    content = path.read_bytes()

    @given(damaged=damage(content))
    def check(damaged):
        replace(path, damaged)
        try:
            read = state.read(path)
        except GlideError as error:
            assert str(path) in str(error)
            return
        assert all(torch.equal(read[name]["a"], STATE[name]["a"]) for name in STATE)

    check()


def test_damaged_tokenizer(tmp_path):
    path = tmp_path / "tokenizer.json"
    content = (checkpoints.TINY_FOLDER / "tokenizer.json").read_bytes()

    @given(damaged=damage(content))
    def check(damaged):
        replace(path, damaged)
        try:
            tokenizer = Tokenizer.from_file(path, 32)
        except GlideError as error:
            assert str(path) in str(error)
            return
        encoded = tokenizer("A red circle, 2 ☃ on a blue background")
        assert all(0 <= i < tokenizer.vocab_size for i in encoded.ids) and len(encoded.ids) == 32
        tokenizer.decode(encoded.ids)

    check()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
IN_RANGE = {
    name: st.lists(st.integers(1, largest), max_size=10)
    if name in ("channel_mult", "attention_resolutions")
    else st.integers(1, largest)
    for name, largest in LARGEST.items()
}
OTHERS = {"low_res": st.booleans(), "inpaint": st.booleans(), "noise_schedule": st.sampled_from(["linear", "cosine"])}
VALUES = {name: strategy | JSON for name, strategy in (IN_RANGE | OTHERS).items()}


def test_config_of_any_values():
    @given(changes=st.fixed_dictionaries({}, optional={**VALUES, "colour": JSON}))
    def check(changes):
        try:
            config = ModelConfig.from_json(json.dumps({**dataclasses.asdict(BASE), **changes}))
            detect.shapes(config)
        except GlideError:
            return
        assert ModelConfig.from_json(config.to_json()) == config

    check()


def test_config_of_any_text():
    @given(text=JSON.map(json.dumps) | st.text())
    def check(text):
        try:
            ModelConfig.from_json(text)
        except GlideError:
            return

    check()


def test_metadata_of_another_model(weights):
    """A config that does not belong to the tensors beside it is refused before a model is built in memory."""

    @given(changes=st.fixed_dictionaries({}, optional=IN_RANGE))
    def check(changes):
        metadata = {detect.CONFIG_KEY: json.dumps({**dataclasses.asdict(SMALL), **changes})}
        try:
            config = detect.detect_config(weights, metadata)
            detect.check(weights, detect.shapes(config))
        except GlideError:
            return
        assert detect.shapes(config) == detect.shapes(SMALL)

    check()
