"""``glide score`` on shards."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace

import pyarrow.parquet
import pytest
from PIL import Image

from batches import QUICK, hashes, paint, table, write_prompts
from glide_core import cli
from glide_core.errors import OptionError
from glide_core.images import read_image
from glide_core.scoring import load_scorer


def score(capsys, *arguments):
    cli.main(["score", *map(str, arguments), "--json"])
    return json.loads(capsys.readouterr().out)


def scores(folder):
    return [
        row for path in sorted((folder / "scores").iterdir()) for row in pyarrow.parquet.read_table(path).to_pylist()
    ]


@pytest.mark.parametrize("files", [False, True])
def test_each_picture_of_a_run_is_scored_by_its_prompt(tmp_path, capsys, files):
    (tmp_path / "in.jsonl").write_text('{"prompt": "a red star"}\n{"prompt": 1}\n{"prompt": "a blue cross"}\n' * 2)
    paint(tmp_path / "in.jsonl", tmp_path / "out", replace(QUICK, seed=3), files=files)
    before = hashes(tmp_path / "out")
    summary = score(capsys, tmp_path / "out")
    found, rows = scores(tmp_path / "out"), [row for row in table(tmp_path / "out") if not row["error"]]
    names = [("index", "index"), ("id", "id"), ("prompt", "prompt"), ("sha256", "picture_sha256")]
    assert [[row[ours] for ours, _ in names] for row in found] == [[row[theirs] for _, theirs in names] for row in rows]
    if files:
        pictures = [tmp_path / "out" / "pictures" / f"{row['id']}.png" for row in rows]
        again = [
            float(load_scorer("glide-clip").scores(read_image(path), [row["prompt"]]))
            for path, row in zip(pictures, rows)
        ]
        assert [row["score"] for row in found] == pytest.approx(again, abs=1e-5)
    assert (summary["scored"], summary["failed"]) == (4, 0)
    assert summary["mean"] == pytest.approx(sum(row["score"] for row in found) / 4)
    assert summary["lowest"][0]["score"] == min(row["score"] for row in found)
    assert {name: value for name, value in hashes(tmp_path / "out").items() if "scores" not in name} == before


def test_only_what_is_not_scored_yet_is_scored(tmp_path, capsys):
    write_prompts(tmp_path / "p.txt", 9)
    paint(tmp_path / "p.txt", tmp_path / "out", QUICK)
    first = score(capsys, tmp_path / "out")
    paths = sorted((tmp_path / "out" / "scores").iterdir())
    whole = [path.read_bytes() for path in paths]
    paths[1].write_bytes(b"half a table")
    paths[2].unlink()
    stamp = paths[0].stat().st_mtime_ns
    assert score(capsys, tmp_path / "out") == first
    assert [path.read_bytes() for path in paths] == whole and paths[0].stat().st_mtime_ns == stamp


def test_other_pictures_and_other_scorers_are_scored_anew(tmp_path, capsys):
    write_prompts(tmp_path / "p.txt", 2)
    paint(tmp_path / "p.txt", tmp_path / "out", QUICK)
    from clips import small_clip
    from glide_core.files import clip_checkpoints

    model, tokenizer = small_clip()
    clip_checkpoints.save(model, model.config, tmp_path / "other.safetensors")
    first = score(capsys, tmp_path / "out")
    assert score(capsys, tmp_path / "out", "--clip", tmp_path / "other.safetensors")["mean"] != first["mean"]
    assert score(capsys, tmp_path / "out") == first


def test_any_webdataset_is_scored(tmp_path, capsys):
    picture = io.BytesIO()
    Image.new("RGB", (70, 50), (220, 30, 35)).save(picture, "png")
    members = {
        "a.png": picture.getvalue(),
        "a.txt": b"a red background",
        "b.png": b"no picture",
        "b.txt": b"a star",
        "c.png": picture.getvalue(),
    }
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    for source in (tmp_path / "x.tar", tmp_path):
        summary = score(capsys, source)
        assert (summary["scored"], summary["failed"], summary["lowest"][0]["id"]) == (1, 2, "a")
    told = [row["error"] for row in scores(tmp_path)]
    assert told[0] is None and "the picture cannot be read" in told[1] and told[2] == "there is no prompt"


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["FOLDER"], "there are no shards"),
        (["FOLDER/none.tar"], "does not exist"),
        (["FOLDER/none/none.tar"], "does not exist"),
        (["FOLDER", "a.png"], "give no single pictures such as a.png"),
        (["FOLDER", "--prompt", "a star"], "give no --prompt"),
        (["FOLDER", "--scorer", "me"], "no scorer is called 'me'"),
    ],
)
def test_what_cannot_be_scored_is_told(tmp_path, capsys, arguments, says):
    with pytest.raises(SystemExit):
        cli.main(["score", *(each.replace("FOLDER", str(tmp_path)) for each in arguments)])
    assert says in capsys.readouterr().err
    assert not (tmp_path / "scores").exists()


def test_a_broken_tar_file_is_told(tmp_path):
    from glide_core.batch.scores import score_shards

    (tmp_path / "x.tar").write_bytes(b"x" * 2000)
    with pytest.raises(OptionError, match="broken tar file"):
        list(score_shards(str(tmp_path), load_scorer("glide-clip"), {}))


def test_shards_in_an_object_store_are_scored(tmp_path, capsys):
    write_prompts(tmp_path / "p.txt", 5)
    paint(tmp_path / "p.txt", "memory://scored/run", QUICK)
    paint(tmp_path / "p.txt", tmp_path / "out", QUICK)
    assert score(capsys, "memory://scored/run") == score(capsys, tmp_path / "out")
