"""The measurements of models of things."""

import dataclasses

import numpy as np
import pytest
import torch

from glide_core import cli
from glide_core.models.text2im import Text2Im
from glide_core.models.tokenizer import Tokenizer
from glide_core.pipeline import Sampling, Stage
from glide_core.tiny import thing_judge, thing_quality, thing_recipes
from glide_core.tiny.thing_judge import Sight, ThingJudge
from glide_core.tiny.thing_scenes import Item, single
from glide_core.tiny.vocabulary import train_tokenizer
from glide_core.train.initial import initialise
from toy_things import toy_painter


@pytest.fixture(scope="module")
def stage():
    config = dataclasses.replace(thing_recipes.BASE, num_channels=8, num_head_channels=8, norm_groups=2)
    torch.manual_seed(0)
    model = Text2Im(config).eval()
    initialise(model)
    torch.nn.init.normal_(model.unet.out[2].weight, std=0.02)
    tokenizer = train_tokenizer(["a fox on grass"], config.vocab_size)
    return Stage(model, Tokenizer(tokenizer, config.text_ctx))


def test_the_plain_stage_draws_what_the_whole_one_draws_with_nothing_known(stage):
    sampling = Sampling("3", "ddim", 3.0)
    whole = stage.sample(["a fox"], sampling, size=32)
    assert torch.allclose(thing_quality.plain(stage).sample(["a fox"], sampling, size=32), whole, atol=1e-5)


def test_shares_of_the_verdicts_on_held_out_prompts(stage, monkeypatch):
    monkeypatch.setattr(thing_judge, "look", lambda judge, pictures: [Sight((), "3d", "white", None)] * len(pictures))
    rows, pictures, texts = thing_quality.prompts_rows(
        thing_quality.plain(stage), ThingJudge(), Sampling("1", "ddim", 1.0), 12
    )
    assert pictures.shape == (12, 64, 64, 3) and len(texts) == 12
    shares = dict(zip(rows[0], rows[1]))
    assert shares["thing %"] == "0.0"
    assert float(shares["background %"]) == pytest.approx(
        100 * np.mean(["white background" in text for text in texts]), abs=0.1
    )


def test_a_hole_is_a_square_over_the_thing():
    mask = thing_quality.hole(Item("fox", (128, 100), 80), 64)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    assert len(rows) in (25, 26) and len(columns) in (24, 25)  # 1.25 * 80 / 4
    assert mask.sum() == len(rows) * len(columns)
    assert rows.mean() == pytest.approx(100 / 4 - 0.5, abs=0.6) and columns.mean() == pytest.approx(31.5, abs=0.6)


def test_a_seam_is_a_step_across_the_border_alone():
    mask = np.zeros((16, 16), np.float32)
    mask[4:12, 4:12] = 1
    even = np.full((16, 16, 3), 100, np.uint8)
    seam = even.copy()
    seam[4:12, 4:12] += 30
    inside = even.copy()
    inside[6:10, 6:10] += 30
    assert thing_quality.step_across(even, mask) == thing_quality.step_across(inside, mask) == 0.5
    assert thing_quality.step_across(seam, mask) == pytest.approx(30.5)


def test_grain_is_of_single_pixels_and_not_of_areas():
    rng = np.random.default_rng(0)
    even = np.full((64, 64, 3), 100, np.uint8)
    ramp = np.repeat(np.linspace(60, 180, 64)[:, None, None], 64, axis=1).repeat(3, axis=2).round().astype(np.uint8)
    snow = (even + rng.normal(0, 6, even.shape)).astype(np.uint8)
    assert thing_quality.grain(even) == 0
    assert thing_quality.grain(ramp) < 1 < 4 < thing_quality.grain(snow) < 7


def test_inpainting_keeps_what_is_around_the_hole(stage, monkeypatch):
    toy = toy_painter(64)
    monkeypatch.setattr(thing_quality, "textures", lambda: None)
    monkeypatch.setattr(thing_quality, "Painter", lambda *args: toy)
    rows = thing_quality.inpainting_rows(stage, ThingJudge().eval(), Sampling("1", "ddim", 1.0), 2)
    assert float(rows[1][1]) > 0 and 0 <= float(rows[1][0]) <= 100


def test_the_bias_table_compares_with_the_known_frequencies(stage, monkeypatch):
    sights = [Sight(("elephant",), "3d", "white", None)]
    monkeypatch.setattr(thing_judge, "look", lambda judge, pictures: sights * len(pictures))
    monkeypatch.setattr(thing_quality, "draw", lambda stage, texts, *args, **kwargs: np.zeros((len(texts), 64, 64, 3)))
    rows = {row[0]: row for row in thing_quality.bias_rows(stage, ThingJudge(), Sampling(), 20)[1:]}
    assert rows["animal"][3] == "100.0" and rows["animal"][5] == "no" and rows["toy"][3] == "0.0"


def test_measuring_things_needs_a_judge(capsys):
    with pytest.raises(SystemExit):
        cli.main(["bench", "quality", "--measure", "things"])
    assert "--judge" in capsys.readouterr().err


def test_medium_things_leave_room_around_the_hole():
    scene = single(np.random.default_rng(0), "fox", "3d", "grass", "medium")
    assert thing_quality.hole(scene.items[0], 64).mean() < 0.75
