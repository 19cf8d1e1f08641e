"""What ``glide train`` says: with --check of the data, and at its end of how to use what it wrote."""

from __future__ import annotations

import shlex

import pytest
from PIL import Image

from drawings import write_houses
from glide_core import cli
from glide_core.files import checkpoints


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def fails(capsys, *args):
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", *args])
    assert stop.value.code == 2
    return capsys.readouterr()


def check(capsys, *args):
    cli.main(["train", *args, "--check"])
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "options, side, tokens",
    [([], 64, 128), (["--init", "tiny"], 64, 32), (["--init", "base", "--stage", "upsample"], 256, 128)],
)
def test_check_tells_what_the_model_would_see_and_stops(capsys, tmp_path, options, side, tokens):
    folder = write_houses(tmp_path / "houses", 5, side=100)
    (folder / "00.txt").write_text("house " * 200)
    (folder / "01.txt").unlink()
    text = check(capsys, "houses", *options)
    assert text.startswith("houses: pictures to train on: 4\ncaptions: 4 from .txt\n")
    assert "left out: pictures without a caption: 1, houses/01.png" in text
    assert (f"smaller than {side} pixels, which are enlarged: 4" in text) == (side > 100)
    assert f"longer than the {tokens} tokens that the model reads, so that the end is cut: 1" in text
    assert text.endswith("as the model sees them: glide-check.png\n")
    with Image.open("glide-check.png") as sheet:
        assert sheet.width > 4 * 120
    assert sorted(path.name for path in tmp_path.iterdir()) == ["glide-check.png", "houses"]


def test_check_puts_the_sheet_beside_the_training_and_knows_the_background(capsys, tmp_path):
    write_houses(tmp_path / "houses", 1)
    Image.new("RGBA", (64, 64)).save(tmp_path / "houses" / "00.png")
    text = check(capsys, "houses", "--out", "out", "--background", "#ff0000")
    assert "laid on #ff0000 (--background): 1" in text and (tmp_path / "out" / "check.png").exists()


def test_check_fails_where_nothing_can_be_trained_on(capsys, tmp_path):
    folder = write_houses(tmp_path / "houses", 2)
    for path in folder.glob("*.png"):
        path.write_bytes(b"")
    streams = fails(capsys, "houses", "--check")
    assert "left out: pictures that cannot be read: 2, such as houses/00.png (it is empty)" in streams.out
    assert streams.err.splitlines()[-1] == "glide train: error: houses: nothing in it can be trained on"
    for path in folder.glob("*.txt"):
        path.unlink()
    assert "left out: pictures without a caption: 2, such as houses/00.png" in fails(capsys, "houses", "--check").err


@pytest.mark.parametrize("colour", ["wite", "#12", "#ffffff00", "rgb(1,2)"])
def test_a_background_that_is_no_colour(capsys, tmp_path, colour):
    write_houses(tmp_path / "houses", 1)
    assert f"--background {colour!r} is no colour" in fails(capsys, "houses", "--check", "--background", colour).err


def test_options_that_make_no_sense_are_refused_before_anything_is_read(capsys):
    assert "give --out, a folder for the model, or --check" in fails(capsys, "nowhere", "--init", "tiny").err
    says = fails(capsys, "nowhere", "--init", "tiny", "--out", "out", "--lora", "100000").err
    assert "--lora: '100000' is not a rank from 1 to 256" in says
    assert "--check reads pictures in files" in fails(capsys, "scenes", "--check").err


TINY = ["--steps", "1", "--batch", "1", "--device", "cpu"]


@pytest.mark.parametrize("stage", ["base", "upsample"])
@pytest.mark.parametrize("variant", ["plain", "inpaint"])
def test_the_command_at_the_end_uses_the_model(capsys, tmp_path, stage, variant):
    write_houses(tmp_path / "my houses", 1)
    options = ["--init", "tiny", "--stage", stage, "--variant", variant, "--resolution", "32", "--out", "my model"]
    cli.main(["train", "my houses", *options, *TINY])
    out = capsys.readouterr().out.splitlines()
    kind = stage + ("-inpaint" if variant == "inpaint" else "")
    assert out[0] == f"the model after 1 steps is my model/{kind}.safetensors; to use it:"
    assert f"copy it and {kind}.tokenizer.json into models/glide" in out[2]
    Image.new("RGB", (64, 64), "red").save("SMALL.png")
    Image.new("RGB", (64, 64), "red").save("PHOTO.png")
    mask = Image.new("L", (64, 64))
    mask.paste(255, (20, 20, 40, 40))
    mask.save("MASK.png")
    command = shlex.split(out[1])
    assert command[0] == "glide" and "a house" in command and f"my model/{kind}.safetensors" in command
    fast = ["--steps", "1", *(["--upsample-steps", "1"] if command[1] != "upsample" else [])]
    cli.main([*command[1:], *fast, "--device", "cpu", "--dtype", "fp32"])
    with Image.open(command[-1]) as picture:
        assert picture.size == ((256, 256) if stage == "upsample" and variant == "plain" else (64, 64))


def test_the_end_of_a_lora_names_its_file(capsys, tmp_path):
    write_houses(tmp_path / "houses", 1)
    cli.main(["train", "houses", "--init", "tiny", "--lora", "2", "--resolution", "32", "--out", "out", *TINY])
    assert "the additions alone are out/lora.safetensors: for ComfyUI's models/loras" in capsys.readouterr().out
    assert (tmp_path / "out" / "lora.safetensors").exists() and checkpoints.load_model("out/base.safetensors")
