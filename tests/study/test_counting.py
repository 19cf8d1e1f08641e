"""Counting labels: by the judge, by CLIP, and against what is known."""

import numpy as np
import pytest

from glide_core.errors import OptionError
from glide_core.images import from_uint8
from glide_core.scoring import load_scorer
from glide_core.study.counting import attribute_of, counts, known_shares, require_labels, seen_by_judge, seen_by_scorer
from glide_core.tiny.scenes import SHAPES, render, sample_scene


@pytest.mark.parametrize(
    "labels, attribute",
    [
        (("circle", "a star"), "shape"),
        (("red", "blue"), "colour"),
        (("blue background", "a pink background"), "background"),
        (("small", "large"), "size"),
        (("flat", "striped"), "style"),
        (("circle", "red"), None),
        (("a church", "a mosque"), None),
    ],
)
def test_labels_of_the_scenes_are_recognised(labels, attribute):
    assert attribute_of(labels) == attribute


def one_object(count):
    scenes = (sample_scene(seed) for seed in range(1000))
    return [scene for scene in scenes if scene.relation is None and scene.objects[0].size == "large"][:count]


def test_the_judge_sees_what_there_is():
    scenes = one_object(5)
    found = seen_by_judge([render(scene) for scene in scenes], [f"a {shape}" for shape in SHAPES], "shape")
    assert found == [f"a {scene.objects[0].shape}" for scene in scenes]
    grounds = ["blue background", "gray background"]
    seen = seen_by_judge([render(scene) for scene in scenes], grounds, "background")
    expected = [f"{scene.background} background" for scene in scenes]
    assert seen == [label if label in grounds else None for label in expected] and None in seen


def test_clip_tells_backgrounds_apart():
    scenes = [scene for scene in one_object(24) if scene.background in ("white", "black")]
    pictures = from_uint8(np.stack([render(scene, 64) for scene in scenes]))
    labels = ("a white background", "a black background")
    found = seen_by_scorer(load_scorer("glide-clip"), pictures, labels)
    right = [label == f"a {scene.background} background" for label, scene in zip(found, scenes)]
    assert len(scenes) > 5 and sum(right) / len(right) > 0.9


def test_counts_have_intervals_and_what_to_compare_with():
    found = ["a"] * 30 + ["b"] * 10 + [None] * 5
    first, second = counts(found, ("a", "b"), {"a": 0.7, "b": 0.3})
    assert (first.count, first.of, first.share, first.uniform) == (30, 40, 0.75, 0.5)
    assert first.low < 0.75 < first.high and not first.holds_uniform and first.holds_known
    assert second.share == 0.25 and second.known == 0.3
    assert counts(found, ("a", "b"), None)[0].holds_known is None
    assert counts([None], ("a", "b"), None) == []


def test_known_shares_are_among_the_labels_alone():
    shares = known_shares("a star", ("red", "blue"), "colour")
    assert sum(shares.values()) == pytest.approx(1) and shares["red"] > shares["blue"] > 0.4
    assert known_shares("a dog", ("red", "blue"), "colour") is None


@pytest.mark.parametrize("labels", [(), ("a",), ("a", "a")])
def test_labels_that_tell_nothing_apart_are_refused(labels):
    with pytest.raises(OptionError, match="--labels: give two or more"):
        require_labels(labels)
