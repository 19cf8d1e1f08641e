"""``glide study shards``: figures of the pictures of ``glide batch``, in groups."""

import csv
import io
import json
import tarfile
from dataclasses import replace

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from batches import QUICK, hashes, paint
from glide_core.cli import main
from glide_core.images import read_image
from glide_core.scoring import load_scorer
from glide_core.study.figures import contrast, diversity, saturation, thumbnail

PROMPTS = ("a red star", "a blue cross")
SCALES = (1.0, 2.0, 10.0)


def study(folder, *argv):
    main(["study", "shards", *map(str, argv), "-o", str(folder)])
    return folder


def means(folder):
    with (folder / "means.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def measured(folder):
    return [
        row for path in sorted((folder / "figures").iterdir()) for row in pyarrow.parquet.read_table(path).to_pylist()
    ]


def failure(capsys, folder, *argv):
    with pytest.raises(SystemExit) as end:
        study(folder, *argv)
    assert end.value.code == 2
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """The folder of a run with single pictures: two prompts at three guidance scales, with two seeds each."""
    folder = tmp_path_factory.mktemp("batch")
    rows = [
        {"prompt": prompt, "guidance_scale": scale, "seed": seed, "mood": mood}
        for prompt, mood in zip(PROMPTS, ("warm", "cold"))
        for scale in SCALES
        for seed in (0, 1)
    ]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"prompt": 1}]))
    paint(folder / "in.jsonl", folder / "out", QUICK, files=True)
    return folder / "out"


def test_the_means_are_those_of_the_groups_pictures(shards, tmp_path):
    before = hashes(shards)
    study(tmp_path, shards, "--x", "guidance_scale", "--y", "prompt")
    rows = means(tmp_path)
    assert [(row["prompt"], row["guidance_scale"]) for row in rows] == [
        (p, s) for p in PROMPTS for s in ("1", "2", "10")
    ]
    assert {row["pictures"] for row in rows} == {"2"}
    pictures = [shards / "pictures" / f"{k:08d}.png" for k in (2, 3)]  # of the first prompt at scale 2
    pixels = [np.asarray(Image.open(path).convert("RGB")) for path in pictures]
    row = rows[1]
    assert float(row["saturation"]) == pytest.approx(np.mean([saturation(each) for each in pixels]), abs=1e-4)
    assert float(row["contrast"]) == pytest.approx(np.mean([contrast(each) for each in pixels]), abs=1e-4)
    assert float(row["diversity"]) == pytest.approx(diversity([thumbnail(each) for each in pixels]), abs=1e-4)
    scorer = load_scorer("glide-clip")
    scores = [float(scorer.scores(read_image(path), [PROMPTS[0]])) for path in pictures]
    assert float(row["clip"]) == pytest.approx(np.mean(scores), abs=1e-4)
    assert hashes(shards) == before


def test_the_page_shows_examples_and_opens_without_other_files(shards, tmp_path):
    study(tmp_path, shards, "--examples", "1")
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "12 pictures of 4 shards, grouped by guidance_scale and prompt." in page
    assert page.count('src="data:image/webp') == page.count('class="picture"') == 6
    assert "CLIP score by guidance_scale" in page and "cells.csv" not in page
    details = json.loads(page.partition('id="details">')[2].partition("</script>")[0])
    assert {each["mood"] for each in details.values()} == {"warm", "cold"}
    assert all({"CLIP score", "contrast", "seed"} <= set(each) for each in details.values())


def test_columns_of_the_input_are_axes_too(shards, tmp_path):
    study(tmp_path, shards, "--x", "mood")
    assert [(row["mood"], row["pictures"]) for row in means(tmp_path)] == [("warm", "6"), ("cold", "6")]


def test_several_runs_are_compared(shards, tmp_path):
    (tmp_path / "p.txt").write_text("a red star\n")
    paint(tmp_path / "p.txt", tmp_path / "other", replace(QUICK, seed=5))  # as a tar file
    study(tmp_path / "study", shards, tmp_path / "other")
    found = {(row["source"], row["pictures"]) for row in means(tmp_path / "study")}
    assert {source for source, _ in found} == {str(shards), str(tmp_path / "other")}
    with tarfile.open(tmp_path / "other" / "00000.tar") as archive:
        (name,) = (name for name in archive.getnames() if name.endswith(".png"))
        pixels = np.asarray(Image.open(io.BytesIO(archive.extractfile(name).read())))
    assert measured(tmp_path / "study")[-1]["contrast"] == pytest.approx(contrast(pixels))


def test_what_is_measured_is_not_measured_again(shards, tmp_path):
    study(tmp_path, shards)
    paths = sorted((tmp_path / "figures").iterdir())
    page, whole = (tmp_path / "index.html").read_bytes(), [path.read_bytes() for path in paths]
    paths[0].write_bytes(b"half a table")
    paths[1].unlink()
    stamp = paths[2].stat().st_mtime_ns
    study(tmp_path, shards)
    assert [path.read_bytes() for path in paths] == whole and (tmp_path / "index.html").read_bytes() == page
    assert paths[2].stat().st_mtime_ns == stamp


def test_pictures_that_cannot_be_read_are_told(tmp_path):
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        for name, content in (("0.txt", b"a star"), ("0.png", b"no picture"), ("1.txt", b"a star"), ("1.png", png())):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    study(tmp_path / "study", tmp_path / "data.tar")
    page = (tmp_path / "study" / "index.html").read_text(encoding="utf-8")
    assert "1 picture of 1 shard, in one group" in page and "1 picture could not be measured; the first: " in page
    assert ["cannot be read" in (row["error"] or "") for row in measured(tmp_path / "study")] == [True, False]


def png():
    stream = io.BytesIO()
    Image.new("RGB", (20, 10), (200, 30, 30)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--x", "guidance"], "--x: the shards have no column 'guidance': use one of index, id, prompt"),
        (["--x", "prompt", "--y", "prompt"], "--y: prompt is the column of --x, too"),
        (["--y", "prompt"], "--y prompt: give --x, too"),
        (["--x", "prompt", "--y", "id"], "--y: id has more than 8 values"),
        (["--clip", "none.safetensors"], "--clip none.safetensors: no such file"),
        (["nowhere"], "nowhere does not exist"),
    ],
)
def test_errors(shards, tmp_path, capsys, argv, message):
    assert message in failure(capsys, tmp_path / "study", shards, *argv)
    assert not (tmp_path / "study" / "index.html").exists()


def test_a_folder_without_shards_is_refused(tmp_path, capsys):
    assert "there are no shards: give the folder of a `glide batch`" in failure(capsys, tmp_path / "study", tmp_path)
