"""The command line, with the embedded models and few steps."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from glide_core import __version__, cli
from glide_core.cli import common as cli_common
from glide_core.contact_sheet import MARGIN
from glide_core.device import pick_device, pick_dtype
from glide_core.diffusion.noise import picture_seed
from glide_core.diffusion.samplers import SAMPLERS
from glide_core.images import read_image
from glide_core.pipeline import Stage

QUICK = ["--dtype", "fp32", "--device", "cpu", "--steps", "2"]
QUICK_CASCADE = [*QUICK, "--upsample-steps", "2"]
PROMPT = "a red circle on a blue background"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory of each test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def fails(capsys):
    """Run a command line that must fail; returns its one line on stderr."""

    def run(*argv):
        with pytest.raises(SystemExit) as stop:
            cli.main([str(arg) for arg in argv])
        assert stop.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"glide {argv[0]}: error: ")
        return line

    return run


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def same(path, other):
    """Batches of other sizes sum in another order, and the first of few steps magnifies that in single pixels."""
    return (np.abs(pixels(path) - pixels(other)) > 2).mean() < 0.002


def parameters(path):
    with Image.open(path) as image:
        return json.loads(image.text["parameters"])


def test_generate_writes_a_picture_and_nothing_else(folder, capsys):
    cli.main(["generate", PROMPT, "-o", "new/folder/out.png", *QUICK_CASCADE])
    out, err = capsys.readouterr()
    assert out.strip() == str(Path("new/folder/out.png"))
    assert "base: 100%" in err and "2/2" in err and "upsampler: 100%" in err
    assert os.listdir("new/folder") == ["out.png"]
    with Image.open("new/folder/out.png") as image:
        assert image.size == (256, 256) and image.mode == "RGB"
        assert image.text["Description"] == PROMPT
        assert "prompt" not in image.text  # ComfyUI would take it for a graph


def test_a_picture_of_a_batch_notes_what_it_was_made_with():
    prompt = 'ein "rotes" \N{PARTY POPPER} café'
    cli.main(["generate", prompt, "-o", "out.png", "--batch", "2", "--seed", "5", "--negative", "x", *QUICK_CASCADE])
    assert sorted(os.listdir()) == ["out-0.png", "out-1.png"]
    noted = parameters("out-1.png")
    assert (noted["command"], noted["prompt"], noted["negative"]) == ("generate", prompt, "x")
    assert noted["seed"] == picture_seed(5, 1) and noted["dtype"] == "fp32" and noted["version"] == __version__


def test_prompts_from_a_file_are_the_same_pictures_as_one_by_one(folder):
    (folder / "prompts.txt").write_bytes(b"\xef\xbb\xbfa red star\r\n\r\na blue heart\r\n\n")
    options = ["--stage", "base", *QUICK]
    cli.main(
        [
            "generate",
            "--prompts",
            "prompts.txt",
            "-o",
            "all",
            "--batch",
            "2",
            "--seed",
            "7",
            "--sheet",
            "sheet.png",
            *options,
        ]
    )
    assert sorted(os.listdir("all")) == ["00000.png", "00001.png"]
    for i, prompt in enumerate(["a red star", "a blue heart"]):
        cli.main(["generate", prompt, "-o", "one.png", "--seed", str(7 + i), *options])
        assert same("one.png", f"all/0000{i}.png")
        assert {**parameters(f"all/0000{i}.png"), "painted-in": "1,1"} == parameters("one.png")
    sheet = pixels("sheet.png")
    assert sheet.shape[1] > 3 * 64
    margin = MARGIN
    assert (sheet[margin : margin + 64, margin : margin + 64] == pixels("all/00000.png")).all()


def test_the_two_stages_one_by_one_are_the_cascade():
    cli.main(["generate", PROMPT, "-o", "small.png", "--stage", "base", *QUICK])
    assert pixels("small.png").shape == (64, 64, 3)
    cli.main(["upsample", "small.png", "--prompt", PROMPT, "-o", "large.png", *QUICK])
    cli.main(["generate", PROMPT, "-o", "whole.png", *QUICK_CASCADE])
    assert same("large.png", "whole.png")
    assert parameters("large.png")["command"] == "upsample" and parameters("large.png")["input"] == "small.png"


@pytest.mark.parametrize("width, height", [(24, 16), (25, 16), (17, 31), (1, 1)])
def test_upsample_takes_any_size(width, height):
    Image.new("RGBA", (width, height), (200, 10, 10, 128)).save("small.png")
    cli.main(["upsample", "small.png", "-o", "large.png", *QUICK])
    assert pixels("large.png").shape == (4 * height, 4 * width, 3)


@pytest.mark.parametrize("command", ["generate", "upsample", "inpaint"])
def test_as_reference_is_another_walk_of_all_models(command, monkeypatch):
    Image.new("RGB", (16, 16), (200, 10, 10)).save("small.png")
    Image.new("L", (16, 16), 255).save("mask.png")
    arguments = {
        "generate": [PROMPT, "--upsample-steps", "2"],
        "upsample": ["small.png", "--steps", "2"],
        "inpaint": ["small.png", "--mask", "mask.png", "--upsample-steps", "2"],
    }[command]
    walked = []
    sample = Stage.sample

    def spy(self, prompts, options, **kwargs):
        walked.append(options.as_reference)
        return sample(self, prompts, options, **kwargs)

    monkeypatch.setattr(Stage, "sample", spy)
    for name, option in (("out.png", []), ("reference.png", ["--as-reference"])):
        cli.main([command, *QUICK, *arguments, "-o", name, *option])
    models = 1 if command == "upsample" else 2
    assert walked == [False] * models + [True] * models
    assert np.abs(pixels("out.png") - pixels("reference.png")).mean() > 0.1
    assert "as-reference" not in parameters("out.png") and parameters("reference.png")["as-reference"] is True


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK"])
def test_pictures_of_any_kind_are_read(mode):
    if mode == "I;16":
        Image.fromarray(np.full((2, 3), 0x8080, np.uint16)).save("in.png")
    else:
        Image.new("RGB", (3, 2), (128, 128, 128)).convert(mode).save("in.tif")
    image = read_image("in.png" if mode == "I;16" else "in.tif")
    assert image.shape == (1, 3, 2, 3) and image.dtype == torch.float32
    if mode not in ("1", "P"):  # these dither
        assert image.sub(1 / 255).abs().max() < 1e-6


@pytest.mark.parametrize("steps", ["1", "2", "1000", "fast27", "ddim50", "10,10,3,2,2"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_steps_and_samplers_are_understood(steps, sampler):
    args = cli._parse(["generate", PROMPT, "-o", "out.png", "--steps", steps, "--upsample-sampler", sampler])
    assert cli_common.sampling(args).steps == steps
    assert cli_common.sampling(args, "upsample_").sampler == sampler


def test_an_empty_prompt_works():
    cli.main(["generate", "", "-o", "out.png", "--stage", "base", *QUICK])
    assert parameters("out.png")["prompt"] == ""


def test_a_prompt_that_is_too_long_is_cut_with_a_warning(capsys):
    cli.main(["generate", "circle " * 5000, "-o", "out.png", "--stage", "base", *QUICK])
    warning = capsys.readouterr().err.splitlines()[0]
    assert warning.startswith("warning: the prompt has ") and "were cut, from 'circle" in warning


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--steps", "0"], "--steps: respacing '0': '0' is not a number of steps from 1 to 1000"),
        (["--steps", "1001"], "from 1 to 1000"),
        (["--steps", "ddim3000"], "--steps"),
        (["--upsample-steps", "fast"], "--upsample-steps"),
        (["--guidance", "nan"], "--guidance: 'nan' is not a number from 0 to 100"),
        (["--guidance", "much"], "--guidance: 'much' is not a number"),
        (["--upsample-guidance", "inf"], "--upsample-guidance"),
        (["--threshold", "0"], "--threshold"),
        (["--eta", "2"], "--eta"),
        (["--upsample-temp", "-1"], "--upsample-temp"),
        (["--sampler", "magic"], "--sampler: invalid choice"),
        (["--batch", "0"], "--batch: '0' is not a number from 1"),
        (["--seed", "x"], "--seed"),
        (["--prompts", "p.txt"], "either a PROMPT or --prompts"),
        (["--output", "out.gif"], "--output out.gif: give a name that ends in"),
        (["--output", "file/out.png"], "--output: cannot write to file"),
        (["--sheet", "file/out.png"], "--sheet: cannot write to file"),
        (["--checkpoint", "none.pt"], "--checkpoint none.pt: no such file"),
        (["--checkpoint", "file"], "--checkpoint file is a text file, not a checkpoint"),
        (["--checkpoint", "openai"], "download it with `glide fetch base`"),
        (["--checkpoint", "tiny-base"], "--upsampler: name the one that belongs to tiny-base"),
        (["--checkpoint", "tiny-upsample", "--stage", "base"], "--checkpoint"),
        (["--upsampler", "tiny-base"], "--upsampler"),
    ],
)
def test_bad_options_are_named(folder, fails, monkeypatch, arguments, says):
    monkeypatch.setenv("GLIDE_MODELS", str(folder))
    (folder / "file").write_text("no checkpoint")
    if "--checkpoint" in arguments and "--upsampler" not in says and "--stage" not in arguments:
        arguments = [*arguments, "--upsampler", "tiny-upsample"]
    assert says in fails("generate", PROMPT, "-o", "out.png", *QUICK, *arguments)
    assert os.listdir() == ["file"]


@pytest.mark.parametrize(
    "content, says",
    [
        (None, "p.txt: No such file"),
        (b" \n\n", "--prompts p.txt: there is no prompt in it"),
        (b"\xff\xfe\x00", "--prompts p.txt, line 1: this is not UTF-16 text"),
    ],
)
def test_bad_prompt_files_are_named(folder, fails, content, says):
    if content is not None:
        (folder / "p.txt").write_bytes(content)
    assert says in fails("generate", "--prompts", "p.txt", "-o", "out", *QUICK)


def test_bad_pictures_are_named(folder, fails):
    (folder / "text.png").write_text("no picture")
    assert "none.png cannot be read: No such file" in fails("upsample", "none.png", "-o", "out.png")
    assert "text.png is not a picture" in fails("upsample", "text.png", "-o", "out.png")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu(fails):
    assert "'cuda'" in fails("generate", PROMPT, "-o", "out.png", "--device", "cuda")


def test_the_dtype_follows_the_hardware(monkeypatch):
    cpu = pick_device("cpu")
    assert pick_dtype("fp16", cpu) == "fp16"
    assert pick_dtype("auto", torch.device("cuda")) == "fp16"
    for bf16, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda bf16=bf16: {"avx512_bf16": bf16}, raising=False)
        assert pick_dtype("auto", cpu) == expected


@pytest.mark.parametrize("when", ["sampling", "writing"])
def test_ctrl_c_leaves_the_file_that_was_there(folder, capsys, monkeypatch, when):
    def interrupted(self, path=None, *args, **kwargs):
        if path:
            Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    target = "PIL.Image.Image.save" if when == "writing" else "glide_core.pipeline.Stage.sample"
    monkeypatch.setattr(target, interrupted if when == "writing" else lambda *args, **kwargs: interrupted(None))
    (folder / "out.png").write_bytes(b"old")
    with pytest.raises(SystemExit) as stop:
        cli.main(["generate", PROMPT, "-o", "out.png", "--stage", "base", *QUICK])
    assert stop.value.code == 130 and "interrupted" in capsys.readouterr().err
    assert os.listdir() == ["out.png"] and (folder / "out.png").read_bytes() == b"old"


def test_help_names_the_published_defaults(capsys):
    with pytest.raises(SystemExit):
        cli.main(["generate", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "GLIDE's published: --steps 100 --sampler ddpm --guidance-scale 3" in text
    assert (
        "--upsample-steps fast27 --upsample-sampler ddim --upsample-temperature 0.997 --upsample-guidance-scale 1"
        in text
    )


def test_help_comes_without_torch():
    code = "import sys, glide_core.cli as cli\ntry: cli.main(['--help'])\nfinally: assert 'torch' not in sys.modules"
    project = Path(cli.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0 and "generate" in done.stdout


def test_fetch_checks_what_is_there(folder, capsys, fails, gpt2_files):
    for file in gpt2_files:
        shutil.copy(file, folder)
    cli.main(["fetch", "vocab", "--to", str(folder)])
    assert capsys.readouterr().out.split() == [str(folder / name) for name in ("encoder.json", "vocab.bpe")]
    (folder / "encoder.json").write_text("changed")
    assert "encoder.json is not the published file" in fails("fetch", "vocab", "--to", folder)
    assert "no published file is called 'nothing'" in fails("fetch", "nothing")


def test_train_is_handed_its_options(monkeypatch):
    seen = []
    monkeypatch.setattr("glide_core.cli.train.run", seen.append)
    cli.main(["train", "scenes", "--out", "run", "--steps", "3"])
    assert seen[0].out == Path("run") and seen[0].steps == [3]
