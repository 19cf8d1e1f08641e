"""``glide again`` makes a picture anew, bit for bit, and says what is different where it is not the same."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from glide_core import cli
from glide_core.files.checkpoints import TINY_FOLDER
from glide_core.files.clip_checkpoints import FOLDER as CLIP_FOLDER
from glide_core.images import read_parameters
from small_models import small_lora

QUICK = ["--dtype", "fp32", "--device", "cpu", "--steps", "1", "--guidance-scale", "1"]
BASE = [*QUICK, "--stage", "base"]
PROMPT = 'ein "rotes" \N{PARTY POPPER} café'


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def again(capsys, *arguments, code=0):
    """What the command says on stderr, without progress bars."""
    capsys.readouterr()
    try:
        cli.main(["again", *arguments])
        found = 0
    except SystemExit as stop:
        found = stop.code
    told = capsys.readouterr().err
    assert found == code, told
    return [line for line in told.splitlines() if "step/s" not in line and "s/step" not in line]


def same_file(a, b):
    return Path(a).read_bytes() == Path(b).read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        ["--negative", "x", "--guidance-scale", "2", "--threshold", "0.9", "--batch", "2"],
        ["--stage", "base", "--seed", "-5", "--batch", "2", "--as-reference", "--noise-offset", "0.2,0.1"],
        ["--best-of", "3", "--keep", "2", "--stage", "base", "--clip-guidance", "5"],
    ],
    ids=["batch", "base", "best of"],
)
def test_of_a_batch_bit_for_bit(capsys, options):
    cli.main(["generate", PROMPT, "-o", "out.png", *QUICK, "--upsample-steps", "1", *options])
    told = again(capsys, "out-1.png")
    assert told[-1] == "equal, pixel for pixel"
    with Image.open("out-1.png") as before, Image.open("out-1-again.png") as anew:
        assert before.tobytes() == anew.tobytes()
    if "--best-of" not in options:
        assert same_file("out-1.png", "out-1-again.png") and not same_file("out-0.png", "out-1-again.png")


def test_of_a_list(capsys):
    Path("list.txt").write_text("a red circle\na blue star ### blurry ### 7\na green ring\n")
    cli.main(["generate", "--prompts", "list.txt", "-o", "out", *BASE])
    assert again(capsys, "out/00001.png", "-o", "new.png")[-1] == "equal, pixel for pixel"
    assert read_parameters("out/00001.png") == read_parameters("new.png")


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_of_lossy_files(capsys, suffix):
    cli.main(["generate", "-o", f"out{suffix}", *BASE, "--", "--steps"])  # a prompt like an option
    assert read_parameters(f"out{suffix}")["prompt"] == "--steps"
    assert again(capsys, f"out{suffix}")[-1] == "equal, pixel for pixel"


@pytest.mark.parametrize(
    "axis", ["lora=; mine.safetensors:0.5", "checkpoint=tiny,own.safetensors", "clip-guidance=0,9", "negative=,x"]
)
def test_of_cells_of_a_study(capsys, axis):
    small_lora(Path("mine.safetensors"))
    shutil.copy(TINY_FOLDER / "tiny-base.safetensors", "own.safetensors")
    options = ["--stage", "base", "--steps", "2", "--dtype", "fp32", "--device", "cpu"]
    cli.main(["study", "axes", PROMPT, "--x", axis, "-o", "study", *options])
    cells = sorted(Path("study/cells").iterdir())
    for cell in cells:
        assert again(capsys, str(cell))[-1] == "equal, pixel for pixel"
    assert len({cell.read_bytes() for cell in cells}) == 2


def test_another_lora_or_clip_is_named(capsys):
    file = small_lora(Path("mine.safetensors"))
    shutil.copy(CLIP_FOLDER / "tiny-clip.safetensors", "clip.safetensors")
    options = ["--lora", "mine.safetensors:0.5", "--clip", "clip.safetensors", "--clip-guidance", "9"]
    cli.main(["generate", PROMPT, "-o", "out.png", *BASE, *options])
    file.rename("moved.safetensors")
    assert "mine.safetensors: No such file" in again(capsys, "out.png", code=2)[-1]
    assert again(capsys, "out.png", "--lora", "moved.safetensors:0.5")[-1] == "equal, pixel for pixel"
    small_lora(file, 0.1)
    told = again(capsys, "out.png", code=1)
    assert told[-2].startswith("lora: the file mine.safetensors:0.5 is another one")
    os.remove("clip.safetensors")
    told = again(capsys, "out.png", "--lora", "moved.safetensors:0.5", "--clip", "tiny-clip")
    assert told[-1] == "equal, pixel for pixel"


@pytest.mark.parametrize("command", ["inpaint", "upsample"])
def test_of_edits_bit_for_bit_until_the_photo_is_another(capsys, command):
    Image.new("RGB", (20, 16), (200, 30, 30)).save("in.png")
    options = {
        "inpaint": ["--pad", "4,0,4,8", "--each", "--upsample-steps", "1", "--repaint-passes", "1"],
        "upsample": [],
    }
    cli.main([command, "in.png", "--prompt", "a circle", "-o", "out.png", *QUICK, *options[command]])
    assert again(capsys, "out.png")[-1] == "equal, pixel for pixel"
    assert read_parameters("out.png") == read_parameters("out-again.png")
    shutil.move("in.png", "moved.png")
    told = again(capsys, "out.png", code=2)[-1]
    assert "in.png" in told and "No such file" in told
    assert again(capsys, "out.png", "--input", "moved.png")[-1] == "equal, pixel for pixel"
    Image.new("RGB", (20, 16), (20, 30, 200)).save("in.png")
    told = again(capsys, "out.png", code=1)
    assert told[-2].startswith("input: the file in.png is another one") and "of the pixels differ" in told[-1]


def test_what_differs_is_named(capsys):
    shutil.copy(TINY_FOLDER / "tiny-base.safetensors", "mine.safetensors")
    cli.main(["generate", "star", "-o", "out.png", *BASE, "--checkpoint", "mine.safetensors"])
    told = again(capsys, "out.png", "--dtype", "bf16", code=1)
    assert told[-2] == "dtype: made with fp32, now with bf16" and "of the pixels differ" in told[-1]
    assert again(capsys, "out.png", "--checkpoint", "tiny")[-1] == "equal, pixel for pixel"

    os.remove("mine.safetensors")
    told = again(capsys, "out.png", code=2)[-1]
    assert "--checkpoint mine.safetensors: no such file, and no model of this name" in told
    shutil.copy(TINY_FOLDER.parent / "tiny" / "tiny-base-inpaint.safetensors", "mine.safetensors")
    assert "kind base" in again(capsys, "out.png", code=2)[-1]

    changed = {**read_parameters("out.png"), "version": "0.1.0", "device": "cuda", "checkpoint": "tiny"}
    del changed["checkpoint-sha256"]
    noted("out.png", "old.png", parameters=json.dumps(changed))
    told = again(capsys, "old.png")
    assert told[-4:-1] == [
        "version: made by 0.1.0, this is 0.2.0",
        "device: made with cuda, now with cpu",
        "checkpoint: PICTURE does not say what its file held",
    ]


def noted(source, target, **chunks):
    info = PngInfo()
    for name, text in chunks.items():
        info.add_text(name, text)
    with Image.open(source) as image:
        image.save(target, pnginfo=info)


@pytest.mark.parametrize(
    "chunks, told",
    [
        ({}, "a.png has no parameters of glide in it"),
        ({"parameters": "a cat, Steps: 20"}, "a.png has no parameters of glide in it"),
        ({"parameters": '{"model": 1}'}, "a.png was not made by glide generate, upsample, inpaint"),
        ({"prompt": '{"3": {}}'}, "a.png was made by ComfyUI: drop it onto its canvas"),
        ({"parameters": '{"command": "generate", "prompt": "x", "new-option": 3}'}, "--new-option=3"),
        ({"parameters": '{"command": "generate", "prompt": "x", "steps": "many"}'}, "many"),
    ],
)
def test_pictures_that_cannot_be_made_again(capsys, chunks, told):
    Image.new("RGB", (8, 8)).save("plain.png")
    noted("plain.png", "a.png", **chunks)
    assert told in again(capsys, "a.png", code=2)[-1]
    assert sorted(os.listdir()) == ["a.png", "plain.png"]


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["nothing.png"], "nothing.png: No such file or directory"),
        (["text.png"], "text.png is not a picture"),
        (["out.png", "-o", "out.png"], "is the file of PICTURE, too"),
        (["out.png", "-o", "new.jpg"], "give a name that ends in .png"),
    ],
)
def test_wrong_arguments(capsys, arguments, told):
    Path("text.png").write_text("x")
    cli.main(["generate", "star", "-o", "out.png", *BASE])
    assert told in again(capsys, *arguments, code=2)[-1]
