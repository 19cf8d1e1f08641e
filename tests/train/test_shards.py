"""Training data in the tar shards of a WebDataset."""

import io
import tarfile

import numpy as np
import pytest

from drawings import house
from glide_core.errors import DatasetError
from glide_core.train.sources import FileSource

pytest.importorskip("webdataset")


def png(seed):
    buffer = io.BytesIO()
    house(seed, 24).save(buffer, "PNG")
    return buffer.getvalue()


def write(path, samples):
    """samples: name -> its files by extension."""
    with tarfile.open(path, "w") as tar:
        for name, files in samples.items():
            for extension, content in files.items():
                info = tarfile.TarInfo(f"{name}.{extension}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


@pytest.fixture
def shards(tmp_path):
    for shard in range(2):
        names = range(5 * shard, 5 * shard + 5)
        write(tmp_path / f"s-{shard}.tar", {f"{k:03d}": {"png": png(k), "txt": f"house {k}".encode()} for k in names})
    return tmp_path


def opened(location, **options):
    return FileSource(str(location)).open(16, **options)


def captions(data, count):
    rng = np.random.default_rng(0)
    pictures, texts = data.batch(rng, count)
    assert pictures.shape == (count, 16, 16, 3) and pictures.dtype == np.uint8
    return texts


ALL = {f"house {k}" for k in range(10)}


@pytest.mark.parametrize("pattern", ["", "s-{0..1}.tar"])
def test_every_sample_once_an_epoch_in_a_new_order(shards, pattern):
    data = opened(shards / pattern)
    first, second = captions(data, 10), captions(data, 10)
    assert set(first) == set(second) == ALL and first != second


def test_processes_share_the_samples(shards):
    parts = [captions(opened(shards, process=k, processes=2), 5) for k in range(2)]
    assert set(parts[0]) | set(parts[1]) == ALL


def test_a_stream_goes_on_where_it_was(shards):
    data = opened(shards)
    captions(data, 13)
    again = opened(shards)
    again.seek(data.position)
    assert captions(again, 9) == captions(data, 9)


def test_bad_samples_and_shards_are_counted_and_skipped(shards):
    write(
        shards / "s-2.tar",
        {
            "a": {"png": b"no picture", "txt": b"broken"},
            "b": {"png": png(1)},
            "c": {"txt": b"no picture"},
        },
    )
    whole = (shards / "s-1.tar").read_bytes()
    (shards / "s-3.tar").write_bytes(whole[:700])
    data = opened(shards)
    assert set(captions(data, 30)) == ALL
    bad = f"{shards / 's-2.tar'}: "
    told = dict(line.split(": 1, ") for line in data.left_out.lines())
    assert told.pop("files that are damaged from some place on") == f"{shards / 's-3.tar'} (unexpected end of data)"
    assert told == {
        "pictures that cannot be read": f"{bad}a.png (Pillow knows no such picture)",
        "pictures without a caption": f"{bad}b.png",
        "captions without a picture": f"{bad}c",
    }


def test_shards_without_samples_or_that_are_not_there(tmp_path):
    write(tmp_path / "empty.tar", {})
    with pytest.raises(DatasetError, match="no samples"):
        captions(opened(tmp_path / "empty.tar"), 1)
    with pytest.raises(DatasetError, match="missing.tar does not exist"):
        opened(tmp_path / "missing.tar")
