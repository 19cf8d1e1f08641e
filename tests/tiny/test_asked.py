"""What prompts ask for, and whether pictures show it."""

import dataclasses

import pytest

from glide_core.tiny.asked import Asked, asked, seen, share_right
from glide_core.tiny.scenes import Scene, held_out_scenes, prompt, render


@pytest.mark.parametrize(
    "text, found",
    [
        ("a red circle on a blue background", Asked(({"shape": "circle", "colour": "red"},), None, "blue")),
        ("a star", Asked(({"shape": "star"},))),
        ("something red", Asked(({"colour": "red"},))),
        (
            "A small striped yellow star above an orange heart",
            Asked(
                (
                    {"size": "small", "style": "striped", "colour": "yellow", "shape": "star"},
                    {"colour": "orange", "shape": "heart"},
                ),
                "above",
            ),
        ),
        ("a corgi in a field", None),
        ("", None),
        ("a red circle above", None),
    ],
)
def test_prompts(text, found):
    assert asked(text) == found


def test_true_pictures_are_right():
    scenes = held_out_scenes(8)
    shares = [share_right(asked(prompt(scene)), render(scene)) for scene in scenes]
    assert sum(shares) / len(shares) > 0.98


def test_each_mistake_counts():
    scene = next(s for s in held_out_scenes(50) if s.relation is None and s.objects[0].size == "large")
    item = scene.objects[0]
    picture, text = render(scene), prompt(scene)
    assert share_right(asked(text), picture) == 1
    wrong_shape = text.replace(item.shape, "cross" if item.shape != "cross" else "circle")
    assert 0.6 < share_right(asked(wrong_shape), picture) < 1
    assert share_right(asked("a red circle above a blue star"), picture) < 0.6


def test_small_pictures_are_enlarged_to_look_at():
    scene = next(s for s in held_out_scenes(50) if s.relation is None and s.objects[0].size == "large")
    plain = Scene(scene.background, scene.background_rgb, (dataclasses.replace(scene.objects[0], style="flat"),))
    sight = seen(render(plain, 64))
    assert (sight.objects[0].shape, sight.objects[0].colour) == (scene.objects[0].shape, scene.objects[0].colour)
