"""``glide study`` on the embedded models, with very few steps."""

import shutil
import sys

import numpy as np
import pandas
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from glide_core import Sampling, Stage, cli, generate
from glide_core.cli import main
from glide_core.cli.study import KINDS
from glide_core.cli.study_sections import sections_of
from glide_core.cli.words import of_checkpoint
from glide_core.device import DTYPES, pick_dtype
from glide_core.files import checkpoints
from glide_core.images import read_parameters, to_uint8
from glide_core.study.builtin import EMBEDDED
from glide_core.tiny import asked as scenes
from glide_core.tiny.scenes import COLOURS, held_out
from small_models import small_lora

PROMPT = "a red circle on a blue background"
SMALL = ["--stage", "base", "--steps", "2"]


def study(folder, *argv):
    main(["study", *argv, "-o", str(folder)])
    return folder


def stamps(folder):
    return {path.name: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}


def failure(capsys, folder, *argv):
    """The message of a command that ends with 2."""
    with pytest.raises(SystemExit) as end:
        study(folder, *argv)
    assert end.value.code == 2
    return capsys.readouterr().err


def test_the_pictures_are_those_of_glide_generate(guidance_study, table):
    stage = Stage.load("tiny-base", dtype=DTYPES[pick_dtype("auto", torch.device("cpu"))])  # as commands do
    rows = table(guidance_study)
    assert [(row["row"], row["column"]) for row in rows] == [(f"seed {k}", v) for k in "01" for v in "13"]
    for scale in (1.0, 3.0):
        options = Sampling("2", "ddim", guidance_scale=scale)
        expected = to_uint8(generate(stage, [PROMPT] * 2, options, seed=[0, 1])).numpy()
        found = [row for row in rows if float(row["guidance-scale"]) == scale]
        pictures = [np.asarray(Image.open(guidance_study / row["file"])) for row in found]
        np.testing.assert_array_equal(pictures, expected)


def test_each_picture_notes_its_parameters(guidance_study, table):
    for row in table(guidance_study):
        notes = read_parameters(guidance_study / row["file"])
        assert notes["prompt"] == PROMPT and notes["painted-in"] == "2,1"
        assert (str(notes["seed"]), str(notes["guidance-scale"])) == (row["seed"], row["guidance-scale"])


def test_the_table_has_parameters_then_figures_then_what_varies(guidance_study, table):
    columns = list(table(guidance_study)[0])
    assert columns[:4] == ["section", "grid", "row", "column"] and columns[-1] == "seconds"
    assert columns.index("prompt") < columns.index("file") < columns.index("clip") < columns.index("contrast")
    assert all(-1 <= float(row["clip"]) <= 1 and 0 <= float(row["right"]) <= 100 for row in table(guidance_study))
    assert all(float(row["seconds"]) > 0 for row in table(guidance_study))


def test_the_parquet_holds_the_same(guidance_study, table):
    frame = pandas.read_parquet(guidance_study / "cells.parquet")
    assert list(frame["file"]) == [row["file"] for row in table(guidance_study)]
    assert frame["clip"].dtype == "float64"


def test_a_changed_axis_makes_only_what_is_new(guidance_study, tmp_path, table):
    folder = shutil.copytree(guidance_study, tmp_path / "study")
    before = stamps(folder)
    study(folder, "guidance", PROMPT, "--values", "0", "1", "3", *SMALL, "--seeds", "2")
    after = stamps(folder)
    assert before.items() < after.items() and len(after) == 6
    assert len(table(folder)) == 6


def test_the_small_picture_is_shared_along_the_temperature(tmp_path, table):
    argv = ["--steps", "1", "--upsample-steps", "1", "--seeds", "1"]
    study(tmp_path, "temperature", "a star", "--values", "0.9", "1.0", *argv)
    sizes = [Image.open(path).size for path in (tmp_path / "cells").iterdir()]
    assert sorted(sizes) == [(64, 64), (256, 256), (256, 256)]
    large = [np.asarray(Image.open(tmp_path / row["file"])) for row in table(tmp_path)]
    assert (large[0] != large[1]).any()


def asked(*argv):
    """The cells of a command line with their places, without painting them."""
    (section,) = sections_of(cli._parse(["study", *argv]))
    return section.placed


def test_two_axes():
    placed = asked("axes", PROMPT, "--x", "steps=1; 1,1", "--y", "sampler=ddim,euler")
    places = [(p.row, p.column, p.cell.sampling.sampler, p.cell.sampling.steps) for p in placed]
    assert places == [(s, f"steps {n}", s, n) for s in ("ddim", "euler") for n in ("1", "1,1")]
    assert {p.cell.prompt for p in placed} == {PROMPT}


def test_an_axis_of_seeds_goes_before_the_option():
    placed = asked("axes", "--x", "prompt=a star; a heart", "--y", "seed=3..4", "--seeds", "5")
    assert [(p.cell.prompt, p.cell.seed) for p in placed] == [(t, s) for s in (3, 4) for t in ("a star", "a heart")]


def test_styles_put_the_subject_into_the_pattern(tmp_path):
    styles = tmp_path / "styles.txt"
    styles.write_text("# two of them\na {} on a white background\n\nan outlined {}\n", encoding="utf-8")
    placed = asked("styles", "red star", "--styles", str(styles), "--seeds", "1")
    assert [p.cell.prompt for p in placed] == ["a red star on a white background", "an outlined red star"]


def test_prompts_of_a_file_are_the_rows_of_novelty(tmp_path):
    (tmp_path / "prompts.txt").write_text("a red star\na blue heart\n", encoding="utf-8")
    placed = asked("novelty", str(tmp_path / "prompts.txt"), "--seeds", "2", "--seed", "7")
    assert [(p.row, p.cell.seed) for p in placed] == [(t, s) for t in ("a red star", "a blue heart") for s in (7, 8)]


def test_steps_are_compared_for_several_samplers():
    placed = asked("steps", PROMPT, "--values", "5", "fast27", "--sampler", "ddim", "ddpm", "--seeds", "1")
    assert [(p.row, p.column) for p in placed] == [(s, n) for s in ("ddim", "ddpm") for n in ("5", "fast27")]


@pytest.mark.parametrize("checkpoint, upsampler", [("tiny", "tiny-upsample"), ("openai", "upsample")])
def test_all_asks_every_question_in_the_words_of_the_models(checkpoint, upsampler):
    sections = sections_of(cli._parse(["study", "all", "--checkpoint", checkpoint]))
    assert {section.name.partition("-")[0] for section in sections} == set(KINDS) - {"axes", "shards", "all"}
    assert len({section.name for section in sections}) == len(sections)
    cells = [placed.cell for section in sections for placed in section.placed]
    assert {cell.upsampler for cell in cells} <= {upsampler, None}
    if checkpoint == "tiny":
        words = of_checkpoint("tiny-base")
        assert not any(words.unknown(cell.prompt) for cell in cells)
        assert all(scenes.asked(cell.prompt) for cell in cells)


def test_the_built_in_novelty_was_held_out():
    for prompt in EMBEDDED.novelty:
        wanted = scenes.asked(prompt)
        assert held_out(wanted.objects[0]["shape"], wanted.objects[0]["colour"], wanted.background)
    assert len(EMBEDDED.novelty) == 6


def test_bias_counts_labels_against_the_training_data(tmp_path):
    argv = ["bias", "a star", "--count", "4", "--labels", *COLOURS, "--stage", "base", "--steps", "8"]
    study(tmp_path, *argv)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "training data %" in page and "95 % interval" in page
    assert page.count('class="picture"') == 4
    counts = pandas.read_csv(tmp_path / "counts.csv")
    assert list(counts["label"]) == list(COLOURS) and counts["known"].sum() == pytest.approx(1)
    assert counts["count"].sum() == counts["of"][0] <= 4
    assert {read_parameters(path)["noise-offset"] for path in (tmp_path / "cells").iterdir()} == {"0.15,0.15"}


def test_bias_starts_from_the_noise_of_the_training_unless_told_otherwise(tmp_path):
    own = tmp_path / "own.safetensors"
    checkpoints.save(*checkpoints.read_model(checkpoints.find("tiny-base")), own, notes={"noise_offset": "0.1"})
    for argv, offset in (
        (["--checkpoint", "tiny"], (0.15, 0.15)),
        (["--checkpoint", str(own), "--stage", "base"], (0.1,)),
        (["--checkpoint", "none.safetensors", "--stage", "base"], ()),
        (["--noise-offset", "0"], ()),
        (["--noise-offset", "0.2,0.1"], (0.2, 0.1)),
    ):
        (section,) = sections_of(cli._parse(["study", "bias", "a star", "--labels", "red", "blue", *argv]))
        assert {placed.cell.sampling.noise_offset for placed in section.placed} == {offset}
        assert (",".join(map(str, offset)) in section.text) and ("low frequencies" in section.text) == bool(offset)
    (section, *_) = sections_of(cli._parse(["study", "all"]))
    assert section.placed[0].cell.sampling.noise_offset == ()


def test_bias_with_other_labels_is_told_by_clip(tmp_path):
    study(tmp_path, "bias", "a star", "--count", "2", "--labels", "a white background", "something dark", *SMALL)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "tiny-clip, zero-shot" in page and "training data %" not in page


def test_a_checkpoint_axis_goes_on_where_one_is_missing(tmp_path, capsys, table):
    """The other cells are made, the page shows the error, and the command says so at the end."""
    argv = ["axes", PROMPT, "--x", "checkpoint=tiny,none.safetensors", *SMALL]
    message = failure(capsys, tmp_path, *argv)
    assert "1 of 2 pictures could not be made: none.safetensors: no such file" in message
    assert [bool(row["error"]) for row in table(tmp_path)] == [False, True]
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "none.safetensors: no such file" in page and page.count('class="picture"') == 1
    assert len(stamps(tmp_path)) == 1


def test_where_every_cell_fails_the_page_says_why(tmp_path, capsys):
    argv = ["guidance", PROMPT, "--values", "1", "--seeds", "2", "--checkpoint", "none.safetensors", *SMALL]
    assert "2 of 2 pictures could not be made" in failure(capsys, tmp_path, *argv)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count("none.safetensors: no such file") == 2 and "2 could not be made" in page


def test_a_lora_changes_the_picture(tmp_path, table):
    file = small_lora(tmp_path / "mine.safetensors")
    study(tmp_path / "out", "axes", PROMPT, "--x", f"lora=; {file}:0; {file}", *SMALL)
    none, zero, one = (np.asarray(Image.open(tmp_path / "out" / row["file"])) for row in table(tmp_path / "out"))
    assert (none == zero).all() and (none != one).any()


def test_another_checkpoint_of_the_same_name_is_another_picture(tmp_path):
    original = checkpoints.find("tiny-base")
    own = tmp_path / "own.safetensors"
    shutil.copy(original.with_name("tokenizer.json"), tmp_path / "own.tokenizer.json")
    shutil.copy(original, own)
    argv = ["axes", PROMPT, "--x", "seed=0", "--checkpoint", str(own), *SMALL]
    study(tmp_path / "out", *argv)
    from safetensors import safe_open

    with safe_open(own, "pt") as file:
        notes = file.metadata()
    save_file({name: tensor * 0.9 for name, tensor in load_file(own).items()}, own, notes)
    study(tmp_path / "out", *argv)
    assert len(stamps(tmp_path / "out")) == 2


@pytest.mark.parametrize(
    "argv, message",
    [
        (["guidance", PROMPT, "--values", ""], "--values: guidance has no value"),
        (["guidance", PROMPT, "--values", "many"], "--values: guidance 'many': give a number"),
        (["guidance", "a \x07 circle"], "U+0007, which no font draws"),
        (["guidance", "--guidance-scale", "1000"], "argument --guidance-scale"),
        (["axes", PROMPT, "--x", "guidence=1"], "--x: there is no axis 'guidence'"),
        (["axes", PROMPT, "--x", "seed=0", "--y", "seed=1"], "--y: seed is the axis of --x, too"),
        (["axes", "--x", "seed=0"], "PROMPT: give one, or else an axis of prompts"),
        (["axes", PROMPT, "--x", "seed=0..9999", "--y", "guidance=1,2"], "20,000 pictures will be made: take fewer"),
        (["bias", "a star"], "PROMPT and --labels belong together"),
        (["bias", "a star", "--labels", "red"], "--labels: give two or more"),
        (["bias", "a star", "--labels", "red", "\ue000"], "--labels: '\\ue000' holds the character U+E000"),
        (["styles", "--styles", "none.txt"], "none.txt: No such file"),
        (["novelty", "none.txt"], "none.txt: No such file"),
        (["guidance", "--checkpoint", "mine.safetensors"], "--upsampler: name the one that belongs to"),
        (["guidance", "--clip", "none.safetensors"], "--clip none.safetensors: no such file"),
        (["guidance", "--seeds", "10001"], "'10001' is more than 10,000"),
        (["guidence"], "argument KIND: invalid choice: 'guidence'"),
    ],
)
def test_errors_come_before_anything_is_painted(tmp_path, capsys, argv, message):
    assert message in failure(capsys, tmp_path / "out", *argv)
    assert not (tmp_path / "out" / "cells").exists()


def test_a_style_without_a_subject_is_refused(tmp_path, capsys):
    (tmp_path / "styles.txt").write_text("an oil painting\n", encoding="utf-8")
    message = failure(capsys, tmp_path / "out", "styles", "--styles", str(tmp_path / "styles.txt"))
    assert "'an oil painting' has no {} where the subject belongs" in message


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert "--output: cannot write to" in failure(capsys, tmp_path / "file" / "out", "guidance")


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_missing_package_is_named_with_its_fix(tmp_path, capsys, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    message = failure(capsys, tmp_path / "out", "guidance")
    assert package in message and 'pip install "glide-nodes[study]"' in message
    assert not (tmp_path / "out").exists()
