"""The best of several in a run, and what its prompts do not say to the model."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace

import pytest
from PIL import Image

from batches import DRY, QUICK, QUICK_CASCADE, hashes, paint, samples, summaries, table, write_prompts
from glide_core import cli
from glide_core.diffusion.noise import picture_seeds
from glide_core.errors import OptionError
from glide_core.images import read_image, read_parameters
from glide_core.scoring import load_scorer

BEST = replace(QUICK, best_of=3)
OPTIONS = ["--stage", "base", "--steps", "1", "--sampler", "ddim", "--guidance-scale", "1", "--dtype", "fp32"]


def picture(sample):
    return io.BytesIO(sample["png"])


def test_the_best_is_that_of_glide_generate(tmp_path):
    write_prompts(tmp_path / "p.txt", 2)
    options = [*OPTIONS, "--best-of", "3"]
    cli.main(["batch", str(tmp_path / "p.txt"), "-o", str(tmp_path / "out"), "--workers", "0", *options])
    cli.main(["generate", "--prompts", str(tmp_path / "p.txt"), "-o", str(tmp_path / "one"), *options])
    scores = json.loads((tmp_path / "one" / "scores.json").read_text())
    for row, sample in zip(table(tmp_path / "out"), samples(tmp_path / "out").values()):
        other = read_parameters(tmp_path / "one" / f"{row['index']:05d}.png")
        tries = scores[f"{row['index']:05d}.png"]
        assert row["try_seed"] == other["try-seed"] == tries[0]["seed"] in picture_seeds(row["index"], 3)
        assert row["score"] == pytest.approx(tries[0]["score"], abs=1e-4) and row["score"] >= tries[1]["score"]
        notes = json.loads(sample["json"])
        assert (notes["score"], notes["try_seed"]) == (row["score"], row["try_seed"])
        assert read_parameters(picture(sample))["try-seed"] == row["try_seed"]
        again = load_scorer("glide-clip").scores(read_image(picture(sample)), [row["prompt"]])
        assert float(again[0]) == pytest.approx(row["score"], abs=2e-3)  # the file holds 8 bits a value


def test_neither_the_batch_nor_the_shards_change_the_choice(tmp_path):
    write_prompts(tmp_path / "p.txt", 5)
    paint(tmp_path / "p.txt", tmp_path / "a", replace(BEST, batch=2), shard_size=5)
    paint(tmp_path / "p.txt", tmp_path / "b", replace(BEST, batch=2), shard_size=2)
    assert samples(tmp_path / "a") == samples(tmp_path / "b")


def test_enlarged_and_repainted_rows(tmp_path):
    Image.new("RGB", (16, 16), (200, 30, 30)).save(tmp_path / "a.png")
    Image.new("RGB", (40, 40), (30, 30, 200)).save(tmp_path / "b.png")
    mask = Image.new("L", (40, 40))
    mask.paste(255, (10, 10, 30, 30))
    mask.save(tmp_path / "m.png")
    rows = [
        {"prompt": "a red circle"},
        {"prompt": "a red circle", "image": "a.png"},
        {"prompt": "a red circle", "image": "b.png", "mask": "m.png"},
        {"image": "a.png"},
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    painting = replace(QUICK_CASCADE, best_of=2)
    assert paint(tmp_path / "in.jsonl", tmp_path / "out", painting).errors == 1
    found = table(tmp_path / "out")
    assert [row["picture_width"] for row in found] == [256, 64, 40, None]
    for row in found[:3]:
        assert row["try_seed"] in picture_seeds(row["seed"], 2) and -1 <= row["score"] <= 1
    assert "says nothing of that" in found[3]["error"] and found[3]["score"] is None


def test_scores_are_kept_when_failed_rows_are_painted_again(tmp_path):
    rows = [{"id": f"r{k}", "prompt": "a red star", "image": f"{k}.png"} for k in range(2)]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for k in range(2):
        Image.new("RGB", (8, 8), (k, 0, 0)).save(tmp_path / f"{k}.png")
    painting = replace(QUICK_CASCADE, best_of=2)
    paint(tmp_path / "in.jsonl", tmp_path / "whole", painting)
    os.rename(tmp_path / "1.png", tmp_path / "away.png")
    paint(tmp_path / "in.jsonl", tmp_path / "out", painting)
    os.rename(tmp_path / "away.png", tmp_path / "1.png")
    assert paint(tmp_path / "in.jsonl", tmp_path / "out", painting, retry_errors=True).errors == 0
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")


def test_another_number_of_tries_is_another_run(tmp_path):
    write_prompts(tmp_path / "p.txt", 1)
    paint(tmp_path / "p.txt", tmp_path / "out", BEST)
    with pytest.raises(OptionError, match="its best-of is 3, here it is 2"):
        paint(tmp_path / "p.txt", tmp_path / "out", replace(BEST, best_of=2))


def test_an_inputs_own_score_passes_where_there_is_none_of_ours(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"prompt": "a", "score": 7}\n')
    paint(tmp_path / "in.jsonl", tmp_path / "out")
    assert table(tmp_path / "out")[0]["score"] == 7


@pytest.mark.parametrize(
    "options, says",
    [
        (["--scorer", "glide-clip"], "--scorer chooses among several tries: give --best-of N"),
        (["--best-of", "2", "--scorer", "me"], "no scorer is called 'me'"),
        (["--best-of", "2", "--clip", "no.pt"], "--clip no.pt: no such file"),
        (["--best-of", "0"], "is not a number from 1"),
    ],
)
def test_wrong_options_are_told_before_the_work(tmp_path, capsys, options, says):
    write_prompts(tmp_path / "p.txt", 1)
    with pytest.raises(SystemExit):
        cli.main(["batch", str(tmp_path / "p.txt"), "-o", str(tmp_path / "out"), "--workers", "0", *OPTIONS, *options])
    assert says in capsys.readouterr().err and not (tmp_path / "out").exists()


LONG = ("a red circle " * 20).strip()


@pytest.mark.parametrize("painting", [DRY, QUICK], ids=["dry", "painted"])
def test_what_a_prompt_does_not_say_is_in_its_row_and_counted(tmp_path, painting):
    prompts = ["a red circle", LONG, "a red dog AND a blue cat", "a dog NOT a star", ""]
    (tmp_path / "in.jsonl").write_text("\n".join(json.dumps({"prompt": each}) for each in prompts) + '\n{"prompt": 1}')
    totals = paint(tmp_path / "in.jsonl", tmp_path / "out", painting, shard_size=3)
    told = [row["warnings"] for row in table(tmp_path / "out")]
    assert told[0] is None and told[4:] == [None, None]
    assert told[1] == "the last 28 tokens were cut"
    assert told[2:4] == ["never seen: dog, cat", "never seen: dog"]
    words = {"dog": 2, "cat": 1}
    assert totals.warnings == {"cut": 1, "unknown": 2, "unknown_words": words}
    assert [each["warnings"]["unknown"] for each in summaries(tmp_path / "out")] == [1, 1]
    assert paint(tmp_path / "in.jsonl", tmp_path / "out", painting, shard_size=3).warnings == totals.warnings


def test_the_end_of_a_run_tells_it_once(tmp_path, capsys):
    (tmp_path / "p.txt").write_text("a red dog\na blue dog\na cat\n")
    cli.main(["batch", str(tmp_path / "p.txt"), "-o", str(tmp_path / "out"), "--workers", "0", *OPTIONS])
    lines = capsys.readouterr().err.splitlines()
    told = [line for line in lines if "never seen" in line]
    assert told == ["3 rows with words that the model has never seen (dog, cat): see the column warnings"]
