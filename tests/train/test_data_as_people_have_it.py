"""Training data as people have it: what is read, and what is left out with a word."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from glide_core.train.decoding import EXTENSIONS, caption_lines, choose
from glide_core.train.folder import Folder
from glide_core.train.sources import FileSource

RNG = np.random.default_rng(0)


def write(path, colour="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path)


@given(lines=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), max_size=6))
def test_a_caption_is_always_a_line_with_text(lines):
    text = "\n".join(lines)
    captions = {line.strip() for line in text.splitlines() if line.strip()}
    chosen = {choose(caption_lines(text), RNG) for _ in range(20)}
    assert chosen <= (captions or {""})


@pytest.mark.parametrize("name", ["a.txt", "a.TXT", "a.caption"])
def test_captions_by_other_names(tmp_path, name):
    write(tmp_path / "a.png")
    (tmp_path / name).write_text("a red square\n\n\n")
    assert Folder(tmp_path, 8).batch(RNG, 4)[1] == ["a red square"] * 4


WRITTEN = [e for e in EXTENSIONS if Image.registered_extensions().get(e) in Image.SAVE and e != ".pgm"]


@pytest.mark.parametrize("extension", [e for e in WRITTEN if e != ".avif" or features.check("avif")])
def test_every_kind_of_picture(tmp_path, extension):
    Image.new("RGB", (8, 8), "red").save(tmp_path / f"photo.v1{extension}")
    (tmp_path / "photo.v1.txt").write_text("a red square")
    pictures, captions = Folder(tmp_path, 8).batch(RNG, 1)
    assert captions == ["a red square"] and pictures[0, 4, 4, 0] > 240 and pictures[0, 4, 4, 1] < 20


@pytest.mark.parametrize("folder", [".ipynb_checkpoints", "__MACOSX", ".hidden"])
def test_stale_copies_are_left_out_and_counted(tmp_path, folder):
    write(tmp_path / "0.png", "red")
    write(tmp_path / folder / "0-checkpoint.png", "blue")
    for path in (tmp_path / "0.txt", tmp_path / folder / "0-checkpoint.txt"):
        path.write_text("a square")
    data = Folder(tmp_path, 8)
    pictures, _ = data.batch(RNG, 8)
    assert (pictures[..., 0] == 255).all()
    copy = tmp_path / folder / "0-checkpoint.png"
    assert data.left_out.lines() == [f"pictures in hidden folders or with hidden names: 1, {copy}"]


def test_transparent_pictures_are_laid_on_white(tmp_path):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:4] = (255, 0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("half")
    (picture,), _ = Folder(tmp_path, 8).batch(RNG, 1)
    assert (picture[:4] == (255, 0, 0)).all() and (picture[4:] == 255).all()


@pytest.mark.parametrize(
    "caption",
    [
        {"photo.v1.txt": b"a red square"},
        {"photo.v1.json": json.dumps({"caption": "a red square"}).encode()},
        {"photo.v1.json": json.dumps({"prompt": "a red square", "width": 8}).encode()},
        {"photo.v1.caption": b"a red square\n\n"},
    ],
    ids=["txt", "json caption", "json prompt", "caption"],
)
def test_tars_with_dots_in_names_and_captions_in_json(tmp_path, caption):
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(picture, format="PNG")
    with tarfile.open(tmp_path / "data.tar", "w") as tar:
        for name, content in {"photo.v1.png": picture.getvalue(), **caption}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    pictures, captions = FileSource(str(tmp_path)).open(8).batch(RNG, 2)
    assert captions == ["a red square"] * 2 and (pictures[..., 0] == 255).all()
