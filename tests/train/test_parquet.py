"""Training data in parquet files."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image

from glide_core.errors import DatasetError, MissingPackageError
from glide_core.train.sources import FileSource

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

COUNT = 10
ALL = {f"grey {k}" for k in range(COUNT)}


def picture(k):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (10 * k,) * 3).save(buffer, "PNG")
    return buffer.getvalue()


def write(path, numbers=range(COUNT), image="image", caption="text", struct=True, **options):
    pictures = [{"bytes": picture(k), "path": None} if struct else picture(k) for k in numbers]
    columns = {"id": list(numbers), image: pictures, caption: [f"grey {k}" for k in numbers]}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, **options)
    return path


def opened(location, **options):
    return FileSource(str(location)).open(8, **options)


def captions(data, count):
    pictures, texts = data.batch(np.random.default_rng(0), count)
    assert [f"grey {pixels[0, 0, 0] // 10}" for pixels in pictures] == texts
    return texts


@pytest.mark.parametrize("struct", [True, False], ids=["struct", "bytes"])
@pytest.mark.parametrize("caption", ["text", "caption", "prompt"])
@pytest.mark.parametrize("image", ["image", "Image", "scan"])
def test_columns_by_their_types_and_names(tmp_path, image, caption, struct):
    data = opened(write(tmp_path / "a.parquet", image=image, caption=caption, struct=struct))
    first, second = captions(data, COUNT), captions(data, COUNT)
    assert set(first) == set(second) == ALL and first != second


@pytest.mark.parametrize("pattern", ["", "data/*.parquet", "data/train-0.parquet"])
def test_folders_and_patterns(tmp_path, pattern):
    write(tmp_path / "data" / "train-0.parquet", range(5))
    write(tmp_path / "data" / "train-1.parquet", range(5, 10))
    (tmp_path / "README.md").write_text("about it")
    texts = captions(opened(tmp_path / pattern if pattern else tmp_path), 10)
    assert set(texts) == (ALL if "train-0" not in pattern else {f"grey {k}" for k in range(5)})


def test_processes_share_the_rows_and_a_stream_goes_on_where_it_was(tmp_path):
    write(tmp_path / "a.parquet", row_group_size=3)
    parts = [captions(opened(tmp_path, process=k, processes=2), 5) for k in range(2)]
    assert set(parts[0]) | set(parts[1]) == ALL
    data, again = opened(tmp_path), opened(tmp_path)
    captions(data, 13)
    again.seek(data.position)
    assert captions(again, 9) == captions(data, 9)


def test_rows_that_cannot_be_used_are_counted(tmp_path):
    rows = [
        {"image": {"bytes": picture(1), "path": "1.png"}, "text": "grey 1"},
        {"image": {"bytes": None, "path": "/etc/passwd"}, "text": "elsewhere"},
        {"image": {"bytes": b"", "path": None}, "text": "empty"},
        {"image": None, "text": "none"},
        {"image": {"bytes": b"no picture", "path": None}, "text": "broken"},
        {"image": {"bytes": picture(2), "path": None}, "text": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    data = opened(tmp_path)
    assert set(captions(data, 4)) == {"grey 1"}
    told = data.left_out.lines()
    assert sorted(line.split(",")[0] for line in told) == [
        "pictures that cannot be read: 4",
        "pictures without a caption: 1",
    ]


def test_lists_of_captions(tmp_path):
    table = {"image": [picture(0)], "captions": [["no"]], "caption": [["grey 0", "grey 0"]]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    assert captions(opened(tmp_path), 2) == ["grey 0"] * 2


@pytest.mark.parametrize("image, caption", [("image", "title"), ("id", "text")])
def test_a_missing_column_is_named_with_those_that_are_there(tmp_path, image, caption):
    pq.write_table(pa.table({image: ["x"] if image == "id" else [picture(0)], caption: ["y"]}), tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match=f"no column (image|of text).*its columns: {image} .*{caption} "):
        opened(tmp_path)


def truncated(content):
    return content[:-20]


def flipped(content):
    return content[:200] + bytes(255 - byte for byte in content[200:260]) + content[260:]


def not_unicode(content):
    return content.replace(b"image", b"\xb9mage")


def empty(content):
    return b""


@pytest.mark.parametrize("damage", [truncated, flipped, not_unicode, empty])
def test_a_broken_file_is_left_out_and_the_others_are_read(tmp_path, damage):
    broken = write(tmp_path / "a.parquet", range(5), write_page_checksum=True)
    broken.write_bytes(damage(broken.read_bytes()))
    write(tmp_path / "b.parquet", range(5, 10))
    data = opened(tmp_path)
    assert {f"grey {k}" for k in range(5, 10)} <= set(captions(data, 20))
    assert data.left_out.lines()[0].startswith(f"files that are damaged from some place on: 1, {broken} (")


def test_nothing_but_a_broken_file_or_none(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    with pytest.raises(DatasetError, match="nothing to train on; files that are damaged"):
        opened(tmp_path)
    with pytest.raises(DatasetError, match="nowhere.parquet does not exist"):
        opened(tmp_path / "nowhere.parquet")


def test_beside_pictures_it_is_notes_about_them(tmp_path):
    (tmp_path / "0.jpg").write_bytes(picture(3))
    (tmp_path / "0.json").write_text('{"caption": "grey 3", "status": "success"}')
    pq.write_table(pa.table({"url": ["http://x"], "caption": ["grey 3"]}), tmp_path / "00000.parquet")
    assert captions(opened(tmp_path), 2) == ["grey 3"] * 2


def test_one_row_group_is_in_memory_at_a_time(tmp_path):
    rng = np.random.default_rng(0)
    noise = [rng.bytes(1 << 18) for _ in range(200)]
    pq.write_table(pa.table({"image": noise, "text": ["x"] * 200}), tmp_path / "a.parquet", row_group_size=10)
    before = pa.total_allocated_bytes()
    peak = max(pa.total_allocated_bytes() - before for _ in opened(tmp_path).in_order())
    assert peak < 0.4 * 200 * len(noise[0])


def test_the_missing_package_is_named(tmp_path, monkeypatch):
    write(tmp_path / "a.parquet")
    for name in [*(name for name in sys.modules if name.startswith("pyarrow")), "pyarrow"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "glide_core.train.parquet", raising=False)
    with pytest.raises(MissingPackageError, match=r'pyarrow: pip install "glide-nodes\[parquet\]"'):
        opened(tmp_path)
