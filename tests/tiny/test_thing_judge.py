"""The judge of things: its verdicts, and that it can learn from renderings."""

import dataclasses

import numpy as np
import pytest
import torch

from glide_core.errors import CheckpointError
from glide_core.tiny import thing_judge, thing_judge_recipe, things
from glide_core.tiny.thing_judge import Sight, ThingJudge
from glide_core.tiny.thing_scenes import held_out, held_out_scenes, pair, single
from toy_things import toy_things

RNG = np.random.default_rng(0)


def right_sight(scene):
    names, axis = thing_judge.in_order(scene)
    return Sight(tuple(names), scene.style, scene.ground, axis)


@pytest.mark.parametrize("relation", ["above", "below", "to the left of", "to the right of", "next to"])
def test_a_pair_is_right_in_its_order_alone(relation):
    scene = pair(RNG, "fox", "owl", relation, "3d", "grass")
    sight = right_sight(scene)
    turned = dataclasses.replace(sight, things=sight.things[::-1])
    across = dataclasses.replace(sight, axis="vertical" if sight.axis == "horizontal" else "horizontal")
    one = dataclasses.replace(sight, things=sight.things[:1], axis=None)
    verdicts = [thing_judge.judge(s, scene)["two things"] for s in (sight, turned, across, one)]
    assert verdicts == [[True], [relation == "next to"], [False], [False]]


def test_verdicts_on_one_thing():
    thing, style = next((t, s) for t in things.THINGS for s in things.STYLES if things.held_out_style(t, s))
    scene = single(RNG, thing, style, "sky", "large")
    right = thing_judge.judge(right_sight(scene), scene)
    assert right["thing"] == right["style"] == right["background"] == right["held-out style"] == [True]
    assert right["two things"] == right["held-out pair"] == []
    other = next(s for s in things.STYLES if s != style)
    wrong = thing_judge.judge(Sight(("key",), other, "night", None), scene)
    assert wrong["thing"] == wrong["style"] == wrong["background"] == wrong["held-out style"] == [False]
    shown = next(s for s in things.STYLES if not things.held_out_style(thing, s))
    assert (
        thing_judge.judge(Sight((thing,), shown, "sky", None), single(RNG, thing, shown, "sky", "large"))[
            "held-out style"
        ]
        == []
    )


def test_held_out_scenes_are_held_out_and_the_same_every_time():
    scenes = held_out_scenes(60)
    assert all(map(held_out, scenes)) and scenes == held_out_scenes(60)
    assert any(len(scene.items) == 2 for scene in scenes) and any(len(scene.items) == 1 for scene in scenes)


def test_classes_and_sights_agree():
    """A judge that outputs the classes of a scene sees that scene."""
    scenes = [pair(RNG, "fox", "owl", "below", "flat", "sand"), single(RNG, "key", "3d", "red", "small")]
    table = torch.tensor([thing_judge.classes(scene) for scene in scenes])

    def fake(x):
        one_hot = {}
        for k, (name, size) in enumerate(thing_judge.HEADS.items()):
            one_hot[name] = torch.nn.functional.one_hot(table[:, k].clamp(min=0), size).float()
        return one_hot

    sights = thing_judge.look(fake, np.zeros((2, 64, 64, 3), np.uint8))
    assert sights == [right_sight(scene) for scene in scenes]


def test_pictures_of_other_sizes_are_brought_to_the_judges(tmp_path):
    for side in (32, 64, 256):
        x = thing_judge.to_input(np.full((1, side, side, 3), 255, np.uint8))
        assert x.shape == (1, 3, 64, 64) and x.min() == x.max() == 1


def test_it_learns_the_background_of_toy_scenes_and_is_read_back(tmp_path, monkeypatch):
    monkeypatch.setattr(thing_judge_recipe, "BATCH", 32)
    data = toy_things(64)
    path = thing_judge_recipe.make(tmp_path, scale=60 / thing_judge_recipe.STEPS, device="cpu", data=data)
    shares = thing_judge_recipe.accuracy(thing_judge.load(path), data, 200)
    assert shares["background"] > 0.3  # chance is 0.05 to 0.1; the toy's textures look alike


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "some.safetensors"
    path.write_bytes(b"no")
    with pytest.raises(CheckpointError, match="things-judge"):
        thing_judge.load(path)
    assert isinstance(ThingJudge(), torch.nn.Module)
