"""What data sets of people hold, and folders are called: no row is lost, and none ends a run."""

from __future__ import annotations

import io
import json
import os
import tarfile
from dataclasses import replace

import pytest
from PIL import Image

from batches import DRY, QUICK, QUICK_CASCADE, paint, table, write_prompts
from glide_core import cli
from glide_core.batch.local import LocalEngine
from glide_core.batch.records import read_records
from glide_core.batch.request import Models
from glide_core.batch.rows import make_row
from glide_core.errors import GlideError, OptionError

HALF = r'{"prompt": "a red \ud83d"}'  # an emoji that another tool has cut in two


def write_rows(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_picture(path, colour="red"):
    Image.new("RGB", (8, 8), colour).save(path, "png")
    return path


@pytest.mark.parametrize("rows", [({"id": "00000001"}, {}), ({}, {"id": "00000000"})], ids=["before", "after"])
def test_a_number_that_another_row_has_as_its_id_is_told(tmp_path, rows):
    path = write_rows(tmp_path / "rows.jsonl", *({"prompt": "x", **row} for row in rows))
    with pytest.raises(OptionError, match="2 rows have the id '0000000[01]', among them rows 0 and 1"):
        paint(path, tmp_path / "out")


@pytest.mark.parametrize("row", [HALF, r'{"prompt": "x", "id": "\udc00"}', r'{"prompt": "x", "a": {"\ud83d": [1]}}'])
def test_half_a_character_is_a_failed_row(tmp_path, row):
    (tmp_path / "rows.jsonl").write_text(f'{{"prompt": "a star"}}\n{row}\n')
    paint(tmp_path / "rows.jsonl", tmp_path / "out")
    good, bad = table(tmp_path / "out")
    assert not good["error"] and "line 2" in bad["error"] and "UTF-8" in bad["error"]


def test_half_a_character_in_a_list_and_in_a_tar_file(tmp_path):
    (tmp_path / "p.txt").write_text(HALF)
    with tarfile.open(tmp_path / "rows.tar", "w") as archive:
        member = tarfile.TarInfo("0.json")
        member.size = len(HALF)
        archive.addfile(member, io.BytesIO(HALF.encode()))
    for name in ("p.txt", "rows.tar"):
        (record,) = read_records(str(tmp_path / name))
        assert "UTF-8" in record.problem


@pytest.mark.parametrize("value", [10**30, {}, [[], [{}]], [{"a": {}}]], ids=str)
def test_a_column_that_parquet_has_no_place_for_is_in_rest(tmp_path, value):
    path = write_rows(tmp_path / "rows.jsonl", {"prompt": "x", "odd": value}, {"prompt": "y", "odd": "text"})
    assert paint(path, tmp_path / "out").errors == 0
    first, second = table(tmp_path / "out")
    assert json.loads(first["rest"]) == {"odd": value} and second["odd"] == "text"


def test_whole_numbers_of_a_table_with_gaps(tmp_path):
    (tmp_path / "rows.csv").write_text("prompt,seed,steps\na,7.0,5.0\nb,,\n")
    first, second = (make_row(record, k, {}, DRY) for k, record in enumerate(read_records(str(tmp_path / "rows.csv"))))
    assert (first.seed, first.sampling.steps) == (7, "5") and not first.problem and not second.problem


@pytest.mark.parametrize("scale", [-3, 1e308, "nan", True])
def test_a_guidance_scale_that_the_option_forbids(scale):
    from glide_core.batch.records import Record

    row = make_row(Record({"prompt": "x", "guidance_scale": scale}), 0, {}, DRY)
    assert "guidance_scale is" in row.problem and "from 0 to 100" in row.problem


def test_names_with_brackets(tmp_path, capsys):
    folder = tmp_path / "in [1]*"
    folder.mkdir()
    write_picture(folder / "cat [1].png")
    (folder / "cat [1].txt").write_text("a cat")
    write_prompts(tmp_path / "p.txt", 9)
    for _ in range(2):
        assert paint(tmp_path / "p.txt", tmp_path / "out[1]", QUICK).rows == 9
        assert paint(folder, tmp_path / "out?", QUICK_CASCADE).errors == 0
    assert [row["prompt"] for row in table(tmp_path / "out?")] == ["a cat"]
    cli.main(["score", str(tmp_path / "out[1]")])
    assert "scored: 9" in capsys.readouterr().out


@pytest.mark.parametrize("output", [".", "out", "out/deep"])
def test_an_output_within_the_input_is_refused(tmp_path, output):
    write_picture(tmp_path / "a.png")
    with pytest.raises(OptionError, match="choose a folder beside it"):
        paint(tmp_path, tmp_path / output)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("files", [False, True], ids=["shards", "files"])
@pytest.mark.parametrize("finished", [False, True])
def test_what_failed_is_painted_once_its_cause_is_mended(tmp_path, files, finished):
    """Also where the run had stopped for it, in the middle of a shard, and no picture was made."""
    rows = [{"prompt": "x", "image": f"{k}.png"} for k in range(2 if finished else 40)]
    path, out = write_rows(tmp_path / "rows.jsonl", *rows), tmp_path / "out"
    for row in rows[2:]:
        write_picture(tmp_path / row["image"])
    options = {"painting": QUICK_CASCADE, "files": files, "engine": LocalEngine(1), "shard_size": 40}
    with pytest.raises(GlideError, match=r"2 rows failed, which is more than --max-errors 1, .* [01]\.png"):
        paint(path, out, max_errors=1, **options)
    assert (out / "00000.json").exists() == finished
    for row in rows[:2]:
        write_picture(tmp_path / row["image"])
    assert paint(path, out, max_errors=1, retry_errors=True, **options).errors == 0
    assert len(table(out)) == len(rows)


def test_too_many_errors_are_told_again_when_all_is_done(tmp_path):
    path = write_rows(tmp_path / "rows.jsonl", {"prompt": "x", "image": "no.png"})
    for _ in range(2):
        with pytest.raises(GlideError, match="more than --max-errors 0, one of them for this reason: image no.png"):
            paint(path, tmp_path / "out", QUICK_CASCADE, max_errors=0)


def test_prompts_that_lead_nowhere_have_no_score(tmp_path, capsys):
    path = write_rows(tmp_path / "rows.jsonl", {"prompt": "NOT a red circle"}, {"prompt": "a star"})
    paint(path, tmp_path / "out", QUICK)
    cli.main(["score", str(tmp_path / "out")])
    assert "scored: 1\nfailed: 1" in capsys.readouterr().out
    cli.main(["study", "shards", str(tmp_path / "out"), "-o", str(tmp_path / "study")])
    assert "2 pictures of 1 shard" in (tmp_path / "study" / "index.html").read_text(encoding="utf-8")
    paint(path, tmp_path / "best", replace(QUICK, best_of=2))
    bad, good = table(tmp_path / "best")
    assert "says nothing of that" in bad["error"] and not good["error"]


def test_pictures_that_were_replaced_are_scored_again(tmp_path):
    def score(colour):
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            for name, content in (("x.png", write_picture(tmp_path / "x.png", colour).read_bytes()), ("x.txt", b"red")):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        cli.main(["score", str(tmp_path / "a.tar")])
        return next(iter(table(tmp_path / "scores")))["score"]

    red, size = score("red"), os.path.getsize(tmp_path / "a.tar")
    assert score("blue") != red and os.path.getsize(tmp_path / "a.tar") == size


def test_a_picture_that_is_gone_is_told_in_its_row(tmp_path, capsys):
    write_prompts(tmp_path / "p.txt", 2)
    paint(tmp_path / "p.txt", tmp_path / "out", QUICK, files=True)
    (tmp_path / "out" / "pictures" / "00000001.png").unlink()
    cli.main(["score", str(tmp_path / "out")])
    assert "scored: 1\nfailed: 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv, says",
    [
        (["-o", ""], "--output is empty"),
        (["-o", "out", "--json-log", "no/log"], "--json-log: cannot write to no"),
        (["-o", "out", "--stage", "base", "--upsampler", "tiny-upsample"], "leave out --upsampler"),
        (["-o", "out", "--best-of", "2", "--scorer", "me"], "--scorer: no scorer is called 'me'"),
    ],
)
def test_what_is_wrong_with_an_option_is_told_before_the_work(tmp_path, monkeypatch, capsys, argv, says):
    monkeypatch.chdir(tmp_path)
    write_prompts(tmp_path / "p.txt", 1)
    with pytest.raises(SystemExit):
        cli.main(["batch", "p.txt", *argv])
    assert says in capsys.readouterr().err.replace(os.sep, "/") and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "change, says",
    [
        ({"painting": replace(QUICK, dry_run=True)}, "its dry-run is False, here it is True"),
        ({"painting": replace(QUICK, best_of=2)}, "its best-of is None, here it is 2"),
        ({"painting": replace(QUICK, models=Models())}, r"with the models base, here with base, upsampler"),
    ],
)
def test_the_option_that_makes_another_run_is_named(tmp_path, change, says):
    write_prompts(tmp_path / "p.txt", 1)
    paint(tmp_path / "p.txt", tmp_path / "out", QUICK)
    with pytest.raises(OptionError, match=says):
        paint(tmp_path / "p.txt", tmp_path / "out", **change)


def test_the_tries_of_a_list_are_all_in_the_scores(tmp_path):
    """Also after an interruption, whose pictures are not painted again."""
    (tmp_path / "p.txt").write_text("a red circle\na blue star\n")
    argv = ["generate", "--prompts", str(tmp_path / "p.txt"), "-o", str(tmp_path / "out"), "--best-of", "2"]
    argv += ["--stage", "base", "--steps", "1", "--sampler", "ddim"]
    cli.main(argv)
    whole = (tmp_path / "out" / "scores.json").read_bytes()
    (tmp_path / "out" / "00001.png").unlink()
    cli.main(argv)
    assert (tmp_path / "out" / "scores.json").read_bytes() == whole
