"""Training data with flipped bytes or cut off anywhere: it is counted or refused, and never a traceback."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from glide_core.errors import DatasetError
from glide_core.files import checkpoints
from glide_core.models.config import TINY_BASE
from glide_core.train.sources import FileSource
from glide_core.train.survey import lines, survey

TOKENIZER = checkpoints.tokenizer_for(TINY_BASE, "tiny")
SIDE = 8


def picture(form):
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((SIDE, SIDE)).convert("RGB").save(buffer, form)
    return buffer.getvalue()


def tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for k in range(3):
            for name, content in ((f"{k}.png", picture("PNG")), (f"{k}.json", b'{"caption": "a red circle"}')):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def parquet():
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    buffer = io.BytesIO()
    pictures = [{"bytes": picture("PNG"), "path": None}] * 3
    pq.write_table(pa.table({"image": pictures, "text": ["a red circle"] * 3}), buffer)
    return buffer.getvalue()


METADATA = b"".join(json.dumps({"file_name": f"{k}.png", "text": "a red circle"}).encode() + b"\n" for k in range(3))
KINDS = {
    "x.png": lambda: picture("PNG"),
    "x.jpg": lambda: picture("JPEG"),
    "x.gif": lambda: picture("GIF"),
    "x.tif": lambda: picture("TIFF"),
    "x.webp": lambda: picture("WEBP"),
    "x.txt": lambda: "a red circle\nein größerer Kreis".encode(),
    "x.json": lambda: b'{"caption": "a red circle"}',
    "metadata.jsonl": lambda: METADATA,
    "metadata.csv": lambda: b"file_name,text\n0.png,a red circle\n1.png,another\n",
    "x.tar": tar,
    "x.parquet": parquet,
}


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_damaged_data_is_counted_or_refused(name, data):
    content = bytearray(KINDS[name]())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=6), "flipped bytes"):
        content[place] ^= data.draw(st.integers(1, 255))
    content = content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))), "length")]
    folder = Path(tempfile.mkdtemp())
    try:
        if not name.endswith((".tar", ".parquet")):
            for k in range(3):
                (folder / f"{k}.png").write_bytes(picture("PNG"))
            for stem in ("0", "x"):
                (folder / f"{stem}.txt").write_text("beside")
            (folder / "x.png").write_bytes(picture("PNG"))
        if name == "x.json":
            (folder / "x.txt").unlink()
        (folder / name).write_bytes(content)
        try:
            opened = FileSource(str(folder)).open(SIDE)
        except DatasetError:
            assert name.endswith((".tar", ".parquet"))
            return
        found = survey(opened, TOKENIZER)
        assert found.usable + len([line for line in lines(found) if line.startswith("left out")]) > 0
        assert found.usable <= found.seen and all(pixels.shape == (SIDE, SIDE, 3) for pixels, _ in found.shown)
    finally:
        shutil.rmtree(folder)
