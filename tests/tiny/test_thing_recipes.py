"""The recipes of the models of things: stages follow each other, a stopped one goes on, the plain model is a slice."""

import dataclasses

import numpy as np
import pytest
import torch

from glide_core.files import checkpoints
from glide_core.models.text2im import Text2Im, without_inpaint_inputs
from glide_core.tiny import thing_recipes, thing_vocabulary
from glide_core.tiny.thing_data import ThingSource
from glide_core.tiny.thing_layout_lesson import ThingLayout
from glide_core.tiny.thing_words import random_reading
from glide_core.tiny.vocabulary import train_tokenizer
from glide_core.train.loop import Trainer
from toy_things import toy_things


@pytest.fixture
def quick(monkeypatch):
    """Recipes with their real stages, but toy drawings, another vocabulary and small batches."""

    def write_tokenizer(out):
        rng = np.random.default_rng(0)
        texts = [random_reading(rng, 0.3, 0.5).text for _ in range(1000)]
        train_tokenizer(texts, thing_vocabulary.VOCAB_SIZE).save(str(out))

    monkeypatch.setattr(thing_vocabulary, "write_tokenizer", write_tokenizer)
    monkeypatch.setattr(ThingSource, "open", lambda self, side, **order: toy_things(side))
    for name, stages in thing_recipes.STAGES.items():
        monkeypatch.setitem(thing_recipes.STAGES, name, tuple(smaller(stage) for stage in stages))


def smaller(stage):
    phases = tuple(dataclasses.replace(phase, batch=2) for phase in stage.options.phases)
    return dataclasses.replace(stage, options=dataclasses.replace(stage.options, phases=phases))


@pytest.mark.parametrize("name", thing_recipes.MODELS)
def test_every_stage_suits_its_model(name):
    config = thing_recipes.MODELS[name]
    assert config.inpaint
    for stage in thing_recipes.STAGES[name]:
        stage.options.check(config, processes=1)


def test_the_base_has_the_size_that_was_decided():
    model = Text2Im(thing_recipes.BASE)
    count = sum(p.numel() for part in (model.unet, model.text) for p in part.parameters())
    assert 10e6 < count < 20e6


@pytest.mark.parametrize("name", thing_recipes.MODELS)
def test_a_recipe_makes_a_model_and_its_plain_slice_computes_the_same(quick, tmp_path, name):
    result = thing_recipes.make(name, tmp_path, scale=1e-6, device="cpu", precision="fp32")
    assert result == tmp_path / f"{name}.safetensors"
    state_dict, config = checkpoints.read_model(result)
    assert config == thing_recipes.MODELS[name]
    whole, plain = Text2Im(config), Text2Im(dataclasses.replace(config, inpaint=False))
    noisy = {key: value.float() + 0.01 * torch.randn_like(value.float()) for key, value in state_dict.items()}
    whole.load_state_dict(noisy)
    sliced, sliced_config = without_inpaint_inputs(noisy, config)
    assert sliced_config == plain.config
    plain.load_state_dict(sliced)
    tokens = torch.zeros(2, config.text_ctx, dtype=torch.int64)
    inputs = torch.randn(2, 3, 32, 32), torch.tensor([10, 900]), tokens, tokens > 0
    low_res = {"low_res": torch.randn(2, 3, 8, 8)} if config.low_res else {}
    with torch.no_grad():
        assert torch.allclose(whole(*inputs, **low_res), plain(*inputs, **low_res), atol=1e-6)


def test_a_stopped_recipe_goes_on_in_the_stage_it_was_in(quick, tmp_path, monkeypatch):
    thing_recipes.make("things-base", tmp_path, scale=1e-6, device="cpu", precision="fp32")
    (tmp_path / "things-base.safetensors").unlink()
    steps = []
    monkeypatch.setattr(Trainer, "train_step", lambda self: steps.append(self.step))
    thing_recipes.make("things-base", tmp_path, scale=1e-6, device="cpu", precision="fp32")
    assert steps == []  # every stage knew that it was done


def test_the_first_stage_has_the_layout_lesson_and_masks_that_know_the_scene(tmp_path):
    request = thing_recipes.STAGES["things-base"][0].request(
        tmp_path / "start.safetensors", tmp_path, scale=1, device="cpu", precision="fp32"
    )
    assert request.freeze == "text" and request.masks is not None
    model = Text2Im(thing_recipes.BASE)
    assert isinstance(request.auxiliary(model), ThingLayout)
    objective = request.objective(thing_recipes.BASE, torch.device("cpu"))
    assert (objective.side, objective.spread) == (64, 0.05)
