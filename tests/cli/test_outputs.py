"""Nothing painted is lost, nothing that is there is written over unasked, and what cannot work is told beforehand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from glide_core import cli
from glide_core.contact_sheet import write_sheet
from glide_core.images import FORMATS, read_parameters

QUICK = ["--dtype", "fp32", "--device", "cpu", "--steps", "1", "--guidance-scale", "1"]
BASE = ["--stage", "base", *QUICK]
CASCADE = [*QUICK, "--upsample-steps", "1"]
ROOT = Path(cli.__file__).parents[2]
PROMPTS = [f"a red circle {k}" for k in range(6)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text("\n".join(PROMPTS))
    return tmp_path


def fails(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(list(arguments))
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


# Lists


def test_a_second_run_makes_nothing_anew(capsys):
    command = ["generate", "--prompts", "list.txt", "-o", "out", *BASE]
    cli.main(command)
    before = {path: path.stat().st_mtime_ns for path in Path("out").iterdir()}
    capsys.readouterr()
    cli.main(command)
    out, err = capsys.readouterr()
    assert out == "" and "6 of 6 pictures are there already" in err
    assert before == {path: path.stat().st_mtime_ns for path in Path("out").iterdir()}


def test_a_run_that_was_stopped_goes_on_with_what_is_missing(capsys):
    command = ["generate", "--prompts", "list.txt", "-o", "out", "--batch", "1", *BASE]
    cli.main(command)
    whole = contents("out")
    for name in ("00001.png", "00004.png"):
        Path("out", name).unlink()
    capsys.readouterr()
    cli.main(command)
    assert capsys.readouterr().out.split() == [str(Path("out", f"0000{k}.png")) for k in (1, 4)]
    assert contents("out") == whole


@pytest.mark.parametrize("change", [["--seed", "9"], ["--negative", "blue"], ["--steps", "2"]])
def test_another_run_does_not_write_over_pictures(capsys, change):
    command = ["generate", "--prompts", "list.txt", "-o", "out", *BASE]
    cli.main(command)
    before = contents("out")
    says = fails(capsys, *command, *change)
    assert says.startswith("glide generate: error: --output: out/00000.png is another picture, one of 6")
    assert contents("out") == before
    cli.main([*command, *change, "--overwrite"])
    assert contents("out").keys() == before.keys() and contents("out") != before


def test_leftovers_of_killed_runs_are_removed():
    Path("out").mkdir()
    old, new, other = (Path("out", name) for name in (".glide-1.tmp", ".glide-2.tmp", "mine.tmp"))
    for file in (old, new, other):
        file.touch()
    for file in (old, other):
        os.utime(file, (0, 0))
    cli.main(["generate", "--prompts", "list.txt", "-o", "out", *BASE])
    assert not old.exists() and new.exists() and other.exists()


@pytest.mark.parametrize(
    "kills", [pytest.param(8, marks=pytest.mark.slow), pytest.param(50, marks=pytest.mark.nightly)]
)
def test_kill_at_any_moment_leaves_whole_pictures_and_the_next_run_goes_on(kills):
    prompts = [f"a red circle {k}" for k in range(6 * kills)]
    Path("list.txt").write_text("\n".join(prompts))
    command = [sys.executable, "-m", "glide_core", "generate", "--prompts", "list.txt", "-o", "out", "--batch", "1"]
    command += BASE
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    rng, killed_while_painting = np.random.default_rng(0), 0
    for number in range(kills):
        before = set(Path("out").glob("*.png"))
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while number % 5 and process.poll() is None and set(Path("out").glob("*.png")) == before:
            time.sleep(0.01)  # four of five are killed while they paint, and the others while they start
        time.sleep(float(rng.uniform(0, 0.4)))
        killed_while_painting += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        for path in Path("out").glob("*.png"):
            with Image.open(path) as image:
                image.load()
    assert killed_while_painting > kills / 2
    subprocess.run(command, env=environment, check=True)
    made = sorted(Path("out").glob("*.png"))
    assert [path.name for path in made] == [f"{k:05d}.png" for k in range(len(prompts))]
    assert [read_parameters(path)["prompt"] for path in made] == prompts
    assert not [path for path in Path("out").iterdir() if path.suffix not in (".png", ".tmp")]


# Names


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_holds_the_parameters(suffix):
    cli.main(["generate", "a red circle", "-o", f"out{suffix}", "--seed", "3", *BASE])
    found = read_parameters(f"out{suffix}")
    assert found["prompt"] == "a red circle" and found["seed"] == 3 and found["dtype"] == "fp32"


def make_link():
    Path("target.png").write_bytes(b"mine")
    Path("out.png").symlink_to("target.png")


@pytest.mark.parametrize(
    "prepare, output, says",
    [
        (None, f"{'a' * 300}.png", "File name too long"),
        (None, "out.gif", "give a name that ends in .png, .jpg, .jpeg, .webp"),
        (None, "out", "give a name that ends in"),
        (lambda: Path("out.png").mkdir(), "out.png", "out.png is a folder"),
        (make_link, "out.png", "is a symbolic link, which is not replaced"),
        (lambda: Path("file").write_text("x"), "file/out.png", "--output: cannot write to file"),
    ],
    ids=["too long", "another format", "no suffix", "folder", "link", "no folder"],
)
def test_a_name_that_cannot_be_written_is_told_before_anything_is_painted(capsys, monkeypatch, prepare, output, says):
    if prepare:
        prepare()
    monkeypatch.setattr("glide_core.pipeline.Stage.load", lambda *args, **kwargs: pytest.fail("a model was loaded"))
    assert says in fails(capsys, "generate", "a red circle", "-o", output, *BASE)


def test_every_name_of_a_batch_is_checked(capsys):
    Path("c-1.png").mkdir()
    assert "c-1.png is a folder" in fails(capsys, "generate", "a red circle", "-o", "c.png", "--batch", "2", *BASE)


def test_a_picture_that_cannot_be_written_after_all_is_rescued(capsys, monkeypatch):
    replace = os.replace

    def full(source, target):
        if Path(target).name == "out.png":
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    says = fails(capsys, "generate", "a red circle", "-o", "out.png", *BASE)
    assert "out.png cannot be written (No space left on device); the picture was saved as " in says
    with Image.open(says.rsplit(" ", 1)[1]) as image:
        assert image.size == (64, 64)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_that_the_terminal_cannot_show_are_written(encoding):
    name = "stern-\N{GLOWING STAR}.png"
    command = [sys.executable, "-m", "glide_core", "generate", "ein Stern \N{GLOWING STAR}", "-o", name, *BASE]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert Path(name).is_file()


def test_a_closed_stdout_does_not_lose_the_picture():
    command = f"{sys.executable} -m glide_core generate star -o star.png {' '.join(BASE)} >&-"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, shell=True, env=environment, check=True, capture_output=True)
    assert Path("star.png").is_file()


# Seeds and tries


@pytest.fixture
def captions(monkeypatch):
    """Of the contact sheets that are written."""
    seen = []

    def write(path, images, captions):
        seen.extend(captions)
        write_sheet(path, images, captions)

    monkeypatch.setattr("glide_core.contact_sheet.write_sheet", write)
    return seen


def test_a_sheet_of_several_tries_shows_their_seeds(captions):
    cli.main(["generate", "a star", "-o", "try.png", "--batch", "2", "--sheet", "sheet.png", *BASE])
    assert captions == [f"a star, seed {read_parameters(f'try-{k}.png')['seed']}" for k in range(2)]


def test_a_sheet_of_a_list_shows_its_prompts(captions):
    cli.main(["generate", "--prompts", "list.txt", "-o", "out", "--sheet", "sheet.png", *BASE])
    assert captions == PROMPTS


def test_a_random_seed_is_printed_and_makes_the_picture_again(capsys):
    cli.main(["generate", "a red circle", "-o", "one.png", "--seed", "random", *BASE])
    seed = capsys.readouterr().err.split("seed ")[1].split()[0]
    cli.main(["generate", "a red circle", "-o", "two.png", "--seed", seed, *BASE])
    assert Path("one.png").read_bytes() == Path("two.png").read_bytes()


@pytest.mark.parametrize("command", ["upsample", "inpaint"])
def test_several_tries_of_one_edit_differ_and_are_made_again_from_their_seeds(command, captions):
    Image.new("RGB", (16, 16), (200, 30, 30)).save("in.png")
    Image.new("L", (16, 16), 255).save("mask.png")
    options = ["in.png", *QUICK, "--temperature", "1"]
    if command == "inpaint":
        options += ["--mask", "mask.png", "--upsample-steps", "1"]
    cli.main([command, *options, "-o", "try.png", "--batch", "3", "--sheet", "sheet.png"])
    assert captions == [f"try-{k}.png, seed {read_parameters(f'try-{k}.png')['seed']}" for k in range(3)]
    tries = [Path(f"try-{k}.png").read_bytes() for k in range(3)]
    assert len(set(tries)) == 3 and Path("sheet.png").is_file()
    seed = read_parameters("try-2.png")["seed"]
    cli.main([command, *options, "-o", "again.png", "--seed", str(seed)])
    assert Path("again.png").read_bytes() == tries[2]


# Memory


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["generate", "star", "-o", "out.png", "--batch", str(10**30), *BASE], "is not a number from 1 to 1000000"),
        (["inpaint", "in.png", "--pad", "100000,100000,100000,100000", "-o", "out.png"], "GiB of memory, but"),
        (["inpaint", "in.png", "--pad", "8,8,8,8", "--square", "1", "-o", "out.png"], "'1' is too small"),
        (["inpaint", "long.png", "--mask", "long.png", "-o", "out.png", *CASCADE], "a square of 40000x40000 needs"),
    ],
    ids=["batch", "margins", "square", "long photo"],
)
def test_what_does_not_fit_in_memory_is_refused_with_the_numbers(capsys, arguments, says):
    Image.new("RGB", (64, 64)).save("in.png")
    Image.new("L", (40000, 2), 255).save("long.png")
    assert says in fails(capsys, *arguments)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_no_memory_is_one_clear_line(capsys, monkeypatch, error):
    def no_memory(*args, **kwargs):
        raise error

    monkeypatch.setattr("glide_core.pipeline.Stage.sample", no_memory)
    says = fails(capsys, "generate", "star", "-o", "out.png", *BASE)
    assert (
        says == "glide generate: error: there is not enough memory for this: take a smaller --batch, picture or model"
    )


# What the program must not write over


def inputs_for_edits():
    Image.new("RGB", (16, 16), (200, 30, 30)).save("in.png")
    Image.new("L", (16, 16), 255).save("mask.png")


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["generate", "star", "-o", "a.png", "--sheet", "a.png"], "--sheet a.png is the file of --output, too"),
        (
            ["generate", "star", "-o", "a.png", "--batch", "12", "--sheet", "a-5.png"],
            "--sheet a-5.png is the file of --output, too",
        ),
        (
            ["generate", "--prompts", "list.txt", "-o", "out", "--sheet", "out/00003.png"],
            "is the file of --output, too",
        ),
        (["inpaint", "in.png", "--mask", "mask.png", "-o", "mask.png"], "--output mask.png is the file of --mask, too"),
        (
            ["inpaint", "in.png", "--mask", "mask.png", "-o", "b.png", "--sheet", "in.png"],
            "is the picture that is read",
        ),
    ],
    ids=["a picture", "one of a batch", "one of a list", "the mask", "the photo"],
)
def test_a_file_that_is_read_or_written_already_is_refused(capsys, arguments, says):
    inputs_for_edits()
    read = {name: Path(name).read_bytes() for name in ("in.png", "mask.png", "list.txt")}
    assert says in fails(capsys, *arguments)
    assert read == {name: Path(name).read_bytes() for name in read}


def test_a_link_or_folder_anywhere_in_a_batch_or_list_is_refused(capsys):
    Path("b-4.png").symlink_to("keep.png")
    assert "b-4.png is a symbolic link" in fails(capsys, "generate", "star", "-o", "b.png", "--batch", "10", *BASE)
    Path("out").mkdir()
    Path("out/00001.png").symlink_to("nowhere.png")
    for more in ([], ["--overwrite"]):
        command = ["generate", "--prompts", "list.txt", "-o", "out", *more, *BASE]
        assert "00001.png is a symbolic link" in fails(capsys, *command)


def test_a_list_beside_a_sheet_of_its_name_stays(capsys):
    Path("prompts.txt").write_text("\u4e00\u53ea\u523a\u732c\n", encoding="utf-8")
    cli.main(["generate", "--prompts", "prompts.txt", "-o", "out", "--sheet", "prompts.png", *BASE])
    assert Path("prompts.txt").read_text(encoding="utf-8") == "\u4e00\u53ea\u523a\u732c\n"


@pytest.mark.parametrize("suffix", FORMATS)
def test_half_a_character_in_a_prompt_does_not_lose_the_picture(suffix):
    cli.main(["generate", "caf\udce9", "-o", f"out{suffix}", *BASE])
    assert read_parameters(f"out{suffix}")["prompt"] == "caf?"
