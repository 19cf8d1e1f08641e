"""The summary of a data set: every picture is counted once, where it belongs."""

from __future__ import annotations

import io
import os
import tarfile

import numpy as np
import pytest
from PIL import Image

from glide_core.errors import GlideWarning
from glide_core.files import checkpoints
from glide_core.models.config import TINY_BASE
from glide_core.train.sources import FileSource
from glide_core.train.survey import lines, short_lines, survey, write_shown

TOKENIZER = checkpoints.tokenizer_for(TINY_BASE, "tiny")


def surveyed(folder, side=16, most=None, **options):
    return survey(FileSource(str(folder), **options).open(side), TOKENIZER, most=most)


def write(path, image=None, caption="a red circle", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or Image.new("RGB", (32, 32), "red")).save(path, **options)
    path.with_suffix(".txt").write_text(caption)


@pytest.fixture
def odd(tmp_path):
    """One of each thing that people's folders hold."""
    rng = np.random.default_rng(0)
    write(tmp_path / "plain.png")
    write(tmp_path / "copy of plain.png")
    write(tmp_path / "photo.v1.2.png", Image.new("RGB", (100, 300), "blue"))
    write(tmp_path / "small.png", Image.new("L", (9, 20)))
    write(tmp_path / "palette.png", Image.new("P", (20, 20)))
    write(tmp_path / "key.gif", Image.new("P", (20, 20), 3), transparency=3)
    write(tmp_path / "deep.png", Image.fromarray(rng.integers(0, 65536, (16, 16)).astype(np.uint16)))
    write(tmp_path / "one bit.png", Image.new("1", (16, 16)))
    write(tmp_path / "inks.jpg", Image.new("CMYK", (16, 16)))
    write(tmp_path / "half.png", Image.new("RGBA", (16, 16), (255, 0, 0, 0)))
    write(tmp_path / "opaque.png", Image.new("RGBA", (16, 17), (255, 0, 0, 255)))
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    write(tmp_path / "moving.gif", frames[0], save_all=True, append_images=frames[1:])
    write(tmp_path / "long.png", Image.new("RGB", (16, 18)), caption="one two three " * 40)
    write(tmp_path / "no words.png", Image.new("RGB", (18, 16)), caption=" \n\n")
    write(tmp_path / "wide.png", Image.new("RGB", (18, 18)))
    (tmp_path / "wide.txt").write_bytes("ein Haus".encode("utf-16"))
    usable = {path.name for path in tmp_path.iterdir() if path.suffix != ".txt"}
    write(tmp_path / "empty.png")
    (tmp_path / "empty.png").write_bytes(b"")
    write(tmp_path / "text.png")
    (tmp_path / "text.png").write_text("<html>")
    write(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "plain.png").read_bytes()[:-30])
    write(tmp_path / "latin.png")
    (tmp_path / "latin.txt").write_bytes("für Elise".encode("latin-1"))
    write(tmp_path / "alone.png")
    (tmp_path / "alone.txt").unlink()
    (tmp_path / "orphan.caption").write_text("where is my picture")
    write(tmp_path / ".ipynb_checkpoints" / "plain-checkpoint.png")
    write(tmp_path / "__MACOSX" / "._plain.png")
    (tmp_path / "clip.mp4").write_bytes(b"film")
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    return tmp_path, usable


def test_every_thing_is_counted_where_it_belongs(odd):
    folder, usable = odd
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    found = surveyed(folder)
    assert found.usable == len(usable) == found.seen - 4 and found.complete
    assert {line.split(",")[0] for line in found.left_out.lines()} == {
        "pictures in hidden folders or with hidden names: 2",
        "pictures that are no files",
        "pictures without a caption: 1",
        "captions without a picture: 1",
        "files of other kinds: 1",
        "pictures that cannot be read: 3",
        "captions that cannot be read: 1",
    }
    assert (found.small, found.cropped, found.transparent, found.animated) == (1, 2, 2, 1)
    assert (found.copies, found.empty, found.cut) == (1, 1, 1)
    assert found.longest[-1][1].endswith("long.png") and max(found.longest)[0] > 32
    assert sum(found.short_sides.values()) == found.usable == found.kinds[".txt"] == len(found.shown)
    text = "\n".join(lines(found))
    for part in (
        f"pictures to train on: {len(usable)}",
        f"captions: {len(usable)} from .txt",
        "below 64: 14, 64 to 127: 1",
        "latin.txt (it is not UTF-8 text",
        "laid on white (--background): 2",
        "longer than the 32 tokens",
    ):
        assert part in text
    assert "latin.png" not in text


def test_linked_folders_are_read(tmp_path):
    write(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert surveyed(tmp_path / "data").usable == 1


@pytest.mark.parametrize("colour, value", [("white", 255), ("black", 0), ("#102030", (16, 32, 48))])
def test_transparency_is_laid_on_the_background(tmp_path, colour, value):
    write(tmp_path / "a.png", Image.new("RGBA", (16, 16), (255, 0, 0, 0)))
    found = surveyed(tmp_path, background=colour)
    assert (found.shown[0][0] == value).all() and f"laid on {colour}" in "\n".join(short_lines(found))


def test_the_short_form_reads_a_part_evenly(tmp_path):
    for k in range(10):
        write(tmp_path / f"{k}.png", Image.new("RGB", (16, 16), (k, 0, 0)))
    found = surveyed(tmp_path, most=5)
    assert short_lines(found)[0] == f"{tmp_path}: pictures to train on among 5 of 10: 5"
    assert sorted(pixels[0, 0, 0] for pixels, _ in found.shown) == [0, 2, 4, 6, 8]
    assert short_lines(surveyed(tmp_path, most=10)) == [f"{tmp_path}: pictures to train on: 10"]


def test_tars_with_files_of_one_first_name(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for k, colour in enumerate(("red", "blue")):
            buffer = io.BytesIO()
            Image.new("RGB", (16, 16), colour).save(buffer, "PNG")
            for name, content in ((f"photo.v{k}.png", buffer.getvalue()), (f"photo.v{k}.txt", colour.encode())):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    found = surveyed(tmp_path)
    assert found.left_out.count == 0
    assert {caption: tuple(pixels[0, 0]) for pixels, caption in found.shown} == {
        "red": (255, 0, 0),
        "blue": (0, 0, 255),
    }
    assert short_lines(surveyed(tmp_path, most=1))[0] == f"{tmp_path}: pictures to train on among the first 1: 1"


def test_a_damaged_exif_block_is_not_told_for_each_reading(tmp_path, recwarn):
    write(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\xff\xff\xff\xff")
    found = surveyed(tmp_path)
    assert found.usable == 1
    assert not [w for w in recwarn if issubclass(w.category, GlideWarning)]


FLOATS = io.BytesIO()
Image.new("F", (4, 4), 7).save(FLOATS, "TIFF")


@pytest.mark.parametrize(
    "name, content, detail",
    [
        ("a.png", b"", "it is empty"),
        ("a.png", b"<html>", "Pillow knows no such picture"),
        ("a.png", FLOATS.getvalue(), "(it holds floating point values from 7 to 7"),
        ("a.txt", "für".encode("latin-1"), "it is not UTF-8 text"),
        ("a.txt", "house".encode("utf-16-le"), "null characters"),
        ("a.txt", b"x" * 2_000_000, "it has 2000000 bytes, more than captions have"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path, name, content, detail):
    write(tmp_path / "a.png")
    (tmp_path / name).write_bytes(content)
    (line,) = surveyed(tmp_path).left_out.lines()
    assert f"{tmp_path / name} (" in line and detail in line


def test_a_caption_cannot_command_the_terminal(tmp_path):
    write(tmp_path / "a\x1b[2J.png", caption="red \x1b[31m\x07 circle")
    assert all(line.isprintable() for line in (*lines(surveyed(tmp_path)), *short_lines(surveyed(tmp_path))))


def test_the_sheet_shows_some_pictures(odd, tmp_path):
    found = surveyed(odd[0])
    write_shown(found, tmp_path / "new" / "check.png")
    with Image.open(tmp_path / "new" / "check.png") as sheet:
        assert sheet.width > 6 * 128 and sheet.height > 3 * 128
