"""``glide train clip`` on a folder of pictures."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from clips import small_clip
from glide_core import cli
from glide_core.files import clip_checkpoints
from glide_core.scoring import load_clip, load_scorer

COLOURS = {"red": (220, 30, 35), "green": (35, 160, 55), "blue": (35, 75, 215), "yellow": (250, 220, 40)}


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for k in range(24):
        name = list(COLOURS)[k % 4]
        pixels = np.clip(np.array(COLOURS[name]) + rng.integers(-9, 10, (20, 20, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
        (folder / f"{k}.txt").write_text(f"a {name} background\n")
    Image.fromarray(pixels).save(folder / "silent.png")
    (folder / "silent.txt").write_text("")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def start(tmp_path):
    model, _ = small_clip()
    clip_checkpoints.save(model, model.config, tmp_path / "start.safetensors")
    return tmp_path / "start.safetensors"


def train(data, out, *options, init=None):
    begin = ["--init", str(init)] if init else []
    common = ["--steps", "6", "--batch", "8", "--lr", "3e-3", "--warmup", "1", "--precision", "fp32", "--device", "cpu"]
    cli.main(["train", "clip", str(data), "--out", str(out), *begin, *common, *map(str, options)])


def clean(data, clip):
    """The share of the pictures that are most like their own caption."""
    texts = [f"a {name} background" for name in COLOURS]
    pictures = torch.tensor(list(COLOURS.values())).float().view(4, 3, 1, 1).expand(4, 3, 16, 16) / 127.5 - 1
    scores = torch.stack([clip.scores(pictures, [text] * 4) for text in texts], dim=1)
    return (scores.argmax(dim=1) == torch.arange(4)).float().mean()


def test_it_learns_from_a_folder_and_is_read_by_what_scores(tmp_path, data, start, capsys):
    out = tmp_path / "out"
    train(data, out, "--steps", 60, "--ema", 0.8, init=start)
    told = capsys.readouterr()
    assert "pictures to train on: 25" in told.err and "left out: " in told.err
    assert "the noised CLIP after 60 steps is" in told.out
    made = out / "clip.safetensors"
    assert clean(data, load_clip(made)) == 1 > clean(data, load_clip(start))
    assert (out / "clip.tokenizer.json").is_file() and (out / "log.csv").is_file()
    command = next(line for line in told.out.splitlines() if line.startswith("  glide score"))
    assert f"--clip {made}" in command
    cli.main(["score", str(data / "0.png"), "--prompt", "a red background", "--clip", str(made), "--json"])
    (row,) = json.loads(capsys.readouterr().out)
    assert row["score"] == pytest.approx(
        float(load_scorer("glide-clip", clip=made).scores(_picture(data / "0.png"), ["a red background"])[0]), abs=1e-4
    )


def _picture(path):
    from glide_core.images import read_image

    return read_image(path)


def test_it_goes_on_where_it_was_stopped(tmp_path, data, start):
    train(data, tmp_path / "whole", init=start)
    from glide_core.train import contrastive

    step, calls = contrastive.ContrastiveTrainer.train_step, []

    def interrupted(self):
        calls.append(None)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return step(self)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(contrastive.ContrastiveTrainer, "train_step", interrupted)
        train(data, tmp_path / "parts", init=start)
    assert ended.value.code == 130 and len(calls) == 3
    train(data, tmp_path / "parts", "--resume", init=start)
    whole, parts = (clip_checkpoints.read_clip(tmp_path / name / "clip.safetensors")[0] for name in ("whole", "parts"))
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name], rtol=0, atol=2e-4)


def test_a_frozen_encoder_stays(tmp_path, data, start):
    train(data, tmp_path / "out", "--freeze", "text", init=start)
    before, after = (clip_checkpoints.read_clip(path)[0] for path in (start, tmp_path / "out" / "clip.safetensors"))
    changed = {
        name.split(".")[0] for name in before if not torch.allclose(before[name], after[name].float(), atol=1e-3)
    }
    assert changed == {"image"}


def test_a_new_one_has_the_sizes_of_the_embedded_one(tmp_path, data):
    train(data, tmp_path / "out", "--model", "tiny-clip", "--steps", 1)
    model, _ = clip_checkpoints.load(tmp_path / "out" / "clip.safetensors")
    embedded, _ = clip_checkpoints.load("tiny-clip")
    assert {name: p.shape for name, p in model.named_parameters()} == {
        name: p.shape for name, p in embedded.named_parameters()
    }


@pytest.mark.parametrize(
    "options, says",
    [
        ([], "give either --init (openai, tiny or a file) to fine-tune, or --model"),
        (["--init", "START", "--model", "tiny-clip"], "give either --init"),
        (["--init", "none.pt"], "none.pt: no such file"),
        (["--init", "START", "--batch", "1"], "--batch 1: not a multiple of 1"),
        (["--init", "START", "--batch", "6", "--accumulate", "4"], "--batch 6: not a multiple of 4"),
        (["--init", "START", "--steps", "1", "2", "--batch", "4", "4", "4"], "give one value, or one for every phase"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path, data, start, capsys, options, says):
    options = [str(start) if each == "START" else each for each in options]
    with pytest.raises(SystemExit) as ended:
        train(data, tmp_path / "out", *options)
    assert ended.value.code == 2 and says in capsys.readouterr().err


def test_captions_that_say_nothing_are_told(tmp_path, start, capsys):
    (tmp_path / "bare").mkdir()
    for k in range(3):
        Image.new("RGB", (20, 20), (k, 0, 0)).save(tmp_path / "bare" / f"{k}.png")
        (tmp_path / "bare" / f"{k}.txt").write_text(" ")
    with pytest.raises(SystemExit):
        train(tmp_path / "bare", tmp_path / "out", init=start)
    assert "hardly any picture has a caption" in capsys.readouterr().err


def test_another_training_in_the_folder_is_kept(tmp_path, data, start, capsys):
    train(data, tmp_path / "out", init=start)
    with pytest.raises(SystemExit):
        train(data, tmp_path / "out", init=start)
    assert "holds a training: go on with it by --resume" in capsys.readouterr().err
