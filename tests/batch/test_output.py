"""What a run writes loads where people load data sets."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from PIL import Image

from batches import DRY, QUICK, paint, samples, summaries, table, write_prompts
from glide_core.images import read_parameters

COUNT = 6


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    folder = tmp_path_factory.mktemp("output")
    write_prompts(folder / "p.txt", COUNT)
    paint(folder / "p.txt", folder / "out")
    return folder / "out"


def test_webdataset_loads_it(output):
    webdataset = pytest.importorskip("webdataset")
    data = webdataset.WebDataset([str(path) for path in sorted(output.glob("*.tar"))], shardshuffle=False).decode("pil")
    found = [(sample["json"]["prompt"], sample["png"].size) for sample in data]
    assert found == [(f"a red circle {k}", (64, 64)) for k in range(COUNT)]


def test_datasets_loads_it(output, tmp_path):
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")
    data = datasets.load_dataset(
        "webdataset", data_files=str(output / "*.tar"), split="train", cache_dir=str(tmp_path), streaming=True
    )
    found = [(sample["json"]["prompt"], sample["png"].size) for sample in data]
    assert found == [(f"a red circle {k}", (64, 64)) for k in range(COUNT)]


def test_pandas_loads_the_tables(output):
    pandas = pytest.importorskip("pandas", reason="the package pandas is not installed")
    frame = pandas.concat([pandas.read_parquet(path) for path in sorted(output.glob("*.parquet"))])
    assert list(frame["prompt"]) == [f"a red circle {k}" for k in range(COUNT)] and list(frame["seed"]) == list(
        range(COUNT)
    )


def test_duckdb_loads_the_tables(output):
    duckdb = pytest.importorskip("duckdb", reason="the package duckdb is not installed")
    query = f"SELECT count(*), count(DISTINCT picture_sha256), max(seed) FROM '{output}/*.parquet' WHERE error IS NULL"
    assert duckdb.sql(query).fetchall() == [(COUNT, COUNT, COUNT - 1)]


def test_the_json_of_a_shard_has_its_counts_and_hashes(output):
    import hashlib

    first, second = summaries(output)
    assert (first["rows"], first["pictures"], first["errors"], first["first"]) == (4, 4, 0, 0)
    assert (second["rows"], second["first"]) == (2, 4)
    for name, digest in {**first["sha256"], **second["sha256"]}.items():
        assert hashlib.sha256((output / name).read_bytes()).hexdigest() == digest
    assert not list(output.glob(".parts/*")) and not list(output.glob("*.tmp"))


@pytest.mark.parametrize("form", ["png", "jpg", "webp"])
def test_files_of_every_format(tmp_path, form):
    (tmp_path / "in.jsonl").write_text("\n".join(json.dumps({"id": f"../a{k}", "prompt": "x"}) for k in range(5)))
    paint(tmp_path / "in.jsonl", tmp_path / "out", files=True, format=form)
    found = sorted(path.name for path in (tmp_path / "out" / "pictures").iterdir())
    assert found == [f"%2E%2E%2Fa{k}.{form}" for k in range(5)]
    assert read_parameters(tmp_path / "out" / "pictures" / found[1]) == {"prompt": "x", "negative": "", "seed": 1}
    assert not list((tmp_path / "out").glob("*.tar")) and len(table(tmp_path / "out")) == 5


def test_pictures_are_those_of_glide_generate(tmp_path):
    from glide_core import cli

    write_prompts(tmp_path / "p.txt", 3)
    options = ["--stage", "base", "--steps", "2", "--sampler", "ddim", "--dtype", "fp32", "--seed", "5"]
    cli.main(["batch", str(tmp_path / "p.txt"), "-o", str(tmp_path / "out"), "--workers", "0", *options])
    cli.main(["generate", "--prompts", str(tmp_path / "p.txt"), "-o", str(tmp_path / "one"), *options, "--batch", "1"])
    for number, sample in enumerate(samples(tmp_path / "out").values()):
        with Image.open(tmp_path / "one" / f"{number:05d}.png") as picture:
            assert picture.tobytes() == Image.open(io.BytesIO(sample["png"])).tobytes()


def test_an_object_store_gets_the_same_files(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    write_prompts(tmp_path / "p.txt", COUNT)
    paint(tmp_path / "p.txt", "memory://bucket/run")
    paint(tmp_path / "p.txt", tmp_path / "out")
    store = fsspec.filesystem("memory")
    for path in [*(tmp_path / "out").glob("*.tar"), *(tmp_path / "out").glob("*.parquet")]:
        assert store.cat(f"/bucket/run/{path.name}") == path.read_bytes()
    assert paint(tmp_path / "p.txt", "memory://bucket/run").rows == COUNT


@pytest.mark.parametrize("painting", [DRY, QUICK, replace(QUICK, batch=3), replace(QUICK, batch=3, dtype="bf16")])
def test_the_batch_and_the_shards_do_not_change_a_picture(tmp_path, painting):
    write_prompts(tmp_path / "p.txt", 5)
    paint(tmp_path / "p.txt", tmp_path / "a", painting, shard_size=5)
    paint(tmp_path / "p.txt", tmp_path / "b", painting, shard_size=2)
    assert samples(tmp_path / "a") == samples(tmp_path / "b")
