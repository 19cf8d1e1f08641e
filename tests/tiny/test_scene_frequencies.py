"""The known frequencies of the training data, against the generator itself."""

from collections import Counter

import numpy as np
import pytest

from glide_core.intervals import wilson
from glide_core.tiny import scenes
from glide_core.tiny.scene_frequencies import _caption_share, _scenes, frequencies


@pytest.mark.parametrize(
    "prompt, attribute, values",
    [
        ("a star", "colour", scenes.COLOURS),
        ("something red", "shape", scenes.SHAPES),
        ("a green square", "style", scenes.STYLES),
        ("a blue heart", "size", scenes.SIZES),
    ],
)
def test_the_shares_of_all_values_add_up(prompt, attribute, values):
    found = frequencies(prompt, attribute)
    assert set(found) == set(values)
    assert sum(found.values()) == pytest.approx(1)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_the_scenes_are_what_the_generator_draws():
    drawn = [scenes.sample_scene(seed) for seed in range(500)]
    single = [scene.objects[0] for scene in drawn if scene.relation is None]
    for attribute, value in [("style", "flat"), ("size", "large"), ("shape", "heart"), ("colour", "orange")]:
        share = sum(share for scene, share in _scenes() if getattr(scene.objects[0], attribute) == value)
        share /= sum(share for _, share in _scenes())
        low, high = wilson(sum(getattr(item, attribute) == value for item in single), len(single))
        assert low <= share <= high, (attribute, value)


def test_the_captions_are_what_the_generator_writes():
    rng = np.random.default_rng(0)
    scene = next(scene for scene, _ in _scenes() if scene.objects[0].style == "striped")
    written = Counter(scenes.caption(scene, rng) for _ in range(2000))
    assert len(written) > 20
    for text, count in written.most_common(8):
        low, high = wilson(count, 2000)
        assert low <= _caption_share(scene, text) <= high, text


def test_no_red_circle_was_shown_on_what_was_held_out():
    held_out = {ground for ground in scenes.BACKGROUNDS if scenes.held_out("circle", "red", ground)}
    assert set(frequencies("a red circle", "background")) == set(scenes.BACKGROUNDS) - held_out
    assert held_out


def test_a_background_of_a_colour_is_not_the_colour_of_the_object():
    assert "blue" not in frequencies("a star on a blue background", "colour")
    assert frequencies("a star on a blue background", "background") == {"blue": pytest.approx(1)}


@pytest.mark.parametrize("prompt", ["a dog", "", "a pink background", "a red circle above a blue star", "a star red"])
def test_what_no_scene_of_one_object_is_called_has_none(prompt):
    assert frequencies(prompt, "shape") is None
