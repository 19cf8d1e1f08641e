"""Captions in metadata.jsonl and metadata.csv, as the library datasets lays them out."""

from __future__ import annotations

import json
import unicodedata

import numpy as np
import pytest
from PIL import Image

from glide_core.errors import DatasetError
from glide_core.train.folder import Folder


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png", "deep/c.v1.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), "red").save(path)
    return tmp_path


def captions(folder):
    data = Folder(folder, 8)
    _, texts = data.batch(np.random.default_rng(0), 40)
    return set(texts), data.left_out


def write_lines(path, rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")


@pytest.mark.parametrize("key", ["text", "caption", "prompt"])
def test_each_name_of_the_caption(folder, key):
    rows = [{"file_name": name, key: f"picture {name}"} for name in ("a.png", "b.png", "deep\\c.v1.png")]
    write_lines(folder / "metadata.jsonl", rows)
    texts, left_out = captions(folder)
    assert texts == {"picture a.png", "picture b.png", "picture deep\\c.v1.png"} and left_out.count == 0


def test_a_file_in_a_subfolder_several_captions_and_a_text_file_that_counts_first(folder):
    write_lines(
        folder / "metadata.jsonl", [{"file_name": "a.png", "text": ["one", "two"]}, {"file_name": "b.png", "text": "x"}]
    )
    write_lines(
        folder / "deep" / "metadata.jsonl",
        [{"file_name": "c.v1.png", "text": "three"}, {"file_name": "c.v1.png", "text": "four"}],
    )
    (folder / "b.txt").write_text("beside")
    assert captions(folder)[0] == {"one", "two", "beside", "three", "four"}


def test_csv(folder):
    (folder / "metadata.csv").write_text('file_name,text\na.png,"one, or\ntwo"\nb.png,\n', encoding="utf-8-sig")
    assert captions(folder)[0] == {"one, or", "two", ""}


def test_lines_that_cannot_be_used_are_counted_with_their_number(folder):
    rows = ['{"file_name": "a.png", "text": "cut off', "", {"file_name": "a.png", "text": "fine"}]
    rows += [{"text": "no name"}, {"file_name": "a.png"}, {"file_name": "a.png", "text": 3}, [1], "[" * 100_000]
    rows += [{"file_name": "../../etc/passwd", "text": "away"}]
    write_lines(folder / "metadata.jsonl", rows)
    texts, left_out = captions(folder)
    assert texts == {"fine"}
    bad, away, without = left_out.lines()
    first = f"{folder / 'metadata.jsonl'}, line 1 (it is no JSON in UTF-8)"
    assert bad == f"lines of metadata files that cannot be used: 6, such as {first}"
    assert away.startswith("pictures named in metadata files, but not there: 1, ")
    assert without.startswith("pictures without a caption: 2, such as ")


def test_an_accent_that_macos_wrote_as_a_character_of_its_own(folder):
    (folder / "a.png").rename(folder / unicodedata.normalize("NFD", "é.png"))
    write_lines(folder / "metadata.jsonl", [{"file_name": unicodedata.normalize("NFC", "é.png"), "text": "accent"}])
    assert captions(folder)[0] == {"accent"}


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"null\n", b'{"file_name": 1}'])
def test_metadata_that_names_nothing(folder, content):
    (folder / "metadata.jsonl").write_bytes(content)
    with pytest.raises(
        DatasetError, match="no picture in it has a caption .* left out: .*pictures without a caption: 3,"
    ):
        Folder(folder, 8)
