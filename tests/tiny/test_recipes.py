"""The recipes of the embedded models: each stage follows the one before, and a stopped recipe goes on."""

import dataclasses
import os
import signal
import sys

import pytest
import torch
from safetensors.torch import load_file

from glide_core.files import checkpoints
from glide_core.models.config import TINY
from glide_core.models.text2im import Text2Im
from glide_core.tiny import recipes
from glide_core.tiny.layout_lesson import LayoutLesson
from glide_core.train.loop import Trainer


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Recipes with the real stages on few scenes and small batches."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name, stages in recipes.STAGES.items():
        monkeypatch.setitem(recipes.STAGES, name, tuple(smaller(stage) for stage in stages))


def smaller(stage):
    phases = tuple(dataclasses.replace(phase, batch=2) for phase in stage.options.phases)
    return dataclasses.replace(stage, scenes=4, options=dataclasses.replace(stage.options, phases=phases))


def test_there_is_a_recipe_for_every_tiny_model():
    assert set(recipes.STAGES) == set(recipes.NAMES) == {f"tiny-{kind}" for kind in TINY}


@pytest.mark.parametrize("name", recipes.NAMES)
def test_every_stage_suits_its_model(name):
    for stage in recipes.STAGES[name]:
        stage.options.check(TINY[name.removeprefix("tiny-")], processes=1)
        assert stage.inpaint == name.endswith("-inpaint")
        assert bool(stage.layout_weight) == stage.freeze_text == ("base" in name)


def test_a_stage_becomes_a_request(tmp_path):
    stage = recipes.STAGES["tiny-base"][0]
    request = stage.request(tmp_path / "a.safetensors", tmp_path, scale=0.1, device="cpu", precision="bf16")
    assert [(phase.resolution, phase.steps, phase.batch) for phase in request.options.phases] == [
        (16, 100, 16),
        (32, 400, 16),
    ]
    assert (request.freeze, request.device, request.options.precision, request.resume) == ("text", "cpu", "bf16", False)
    lesson = request.auxiliary(Text2Im(TINY["base"]))
    assert isinstance(lesson, LayoutLesson) and lesson.weight == 0.02
    (tmp_path / "state.pt").touch()
    assert stage.request(tmp_path / "a.safetensors", tmp_path, scale=1, device="cpu", precision="fp32").resume


def test_an_inpainting_model_is_made_from_nothing(quick, tmp_path, monkeypatch, capsys):
    command = ["recipes", "tiny-upsample-inpaint", str(tmp_path), "--scale", "1e-6", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", [*command, "--precision", "fp32"])
    recipes.main()
    path = tmp_path / "tiny-upsample-inpaint.safetensors"
    assert capsys.readouterr().out.strip() == str(path)
    assert checkpoints.load_model(path).config == TINY["upsample-inpaint"]
    assert checkpoints.load_model(tmp_path / "tiny-upsample.safetensors").config == TINY["upsample"]
    stages = len(recipes.STAGES["tiny-upsample"]) + len(recipes.STAGES["tiny-upsample-inpaint"])
    assert len(list(tmp_path.glob("*/state.pt"))) == stages
    before = path.stat().st_mtime_ns
    assert recipes.make("tiny-upsample-inpaint", tmp_path).stat().st_mtime_ns == before  # nothing is made twice


def test_a_stopped_recipe_goes_on_where_it_was(quick, tmp_path, monkeypatch, capsys):
    train_step = Trainer.train_step

    def train_step_and_stop(trainer):
        result = train_step(trainer)
        if (trainer.out.parent.name, trainer.out.name, trainer.step) == ("broken", "tiny-base.1", 2):
            os.kill(os.getpid(), signal.SIGINT)  # what Ctrl-C sends
        return result

    monkeypatch.setattr(Trainer, "train_step", train_step_and_stop)
    options = ["--scale", "1e-3", "--device", "cpu", "--precision", "fp32"]
    monkeypatch.setattr(sys, "argv", ["recipes", "tiny-base", str(tmp_path / "broken"), *options])
    with pytest.raises(SystemExit) as stop:
        recipes.main()
    assert stop.value.code == 130
    assert "tiny-base.1 was stopped after step 2; the same command goes on" in capsys.readouterr().err
    assert not (tmp_path / "broken" / "tiny-base.safetensors").exists()
    recipes.main()
    whole = recipes.make("tiny-base", tmp_path / "whole", scale=1e-3, device="cpu", precision="fp32")
    expected, resumed = load_file(whole), load_file(tmp_path / "broken" / "tiny-base.safetensors")
    for name, tensor in expected.items():
        torch.testing.assert_close(resumed[name], tensor, atol=1e-3, rtol=1e-3)
