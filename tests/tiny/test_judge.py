"""The judge of drawn scenes: right on true renderings, and not content with wrong ones."""

import dataclasses

import numpy as np
import pytest

from glide_core.tiny import scenes as drawn
from glide_core.tiny.judge import judge, look
from glide_core.tiny.scenes import held_out_scenes, render, sample_scene

COUNT = 300


@pytest.fixture(scope="module")
def sights():
    scenes = [sample_scene(10**7 + i, allow_held_out=True) for i in range(COUNT)]
    return [(scene, look(render(scene))) for scene in scenes]


def test_it_is_right_on_true_renderings(sights):
    right = [judge(sight, scene)["all"][0] for scene, sight in sights]
    assert np.mean(right) >= 0.99


def test_every_kind_of_verdict_was_asked_for(sights):
    verdicts = [judge(sight, scene) for scene, sight in sights]
    for name in ("background", "colour", "shape", "size", "style", "relation"):
        assert sum(len(v[name]) for v in verdicts) > 50
    assert {scene.relation for scene, _ in sights} == {None, *drawn.RELATIONS}


def changed(scene, **attributes):
    first, *others = scene.objects
    return dataclasses.replace(scene, objects=(dataclasses.replace(first, **attributes), *others))


def other(values, value):
    return next(v for v in values if v != value)


@pytest.mark.parametrize("name, values", [("shape", drawn.SHAPES), ("colour", drawn.COLOURS), ("size", drawn.SIZES)])
def test_a_wrong_attribute_is_seen(sights, name, values):
    for scene, sight in sights[:60]:
        if scene.relation is None:
            asked = changed(scene, **{name: other(values, getattr(scene.objects[0], name))})
            verdict = judge(sight, asked)
            assert verdict[name] == [False] and verdict["all"] == [False] and verdict["background"] == [True]


def test_a_wrong_background_or_number_of_objects_is_seen(sights):
    for scene, sight in sights[:60]:
        asked = dataclasses.replace(scene, background=other(drawn.BACKGROUNDS, scene.background))
        assert judge(sight, asked)["background"] == judge(sight, asked)["all"] == [False]
        if scene.relation:
            alone = dataclasses.replace(scene, objects=scene.objects[:1], relation=None)
            assert judge(sight, alone)["all"] == [False]


def test_objects_that_changed_places_are_seen(sights):
    checked = 0
    for scene, sight in sights:
        first, second = scene.objects[0], scene.objects[-1]
        if scene.relation and (first.colour, first.shape) != (second.colour, second.shape):
            verdict = judge(sight, dataclasses.replace(scene, objects=(second, first)))
            assert verdict["relation"] == [False] or not all(verdict["colour"] + verdict["shape"])
            checked += 1
    assert checked > 50


@pytest.mark.parametrize("picture", [np.zeros((256, 256, 3), np.uint8), np.full((256, 256, 3), 255, np.uint8)])
def test_an_empty_picture_shows_no_object(picture):
    sight = look(picture)
    assert sight.objects == ()
    verdict = judge(sight, sample_scene(0))
    assert verdict["shape"] == [False] and verdict["all"] == [False]


def test_noise_is_not_an_object_of_the_prompt():
    rng = np.random.default_rng(0)
    scenes = [sample_scene(i) for i in range(20)]
    pictures = rng.integers(0, 256, (20, 256, 256, 3)).astype(np.uint8)
    assert not any(judge(look(picture), scene)["all"][0] for picture, scene in zip(pictures, scenes))


def test_held_out_scenes_are_the_same_each_time():
    assert held_out_scenes(5) == held_out_scenes(8)[:5]
