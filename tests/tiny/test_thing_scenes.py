"""Scenes of things: nothing held out is drawn, captions are true, pictures show what the scene says."""

import numpy as np
import pytest

from glide_core.tiny import things
from glide_core.tiny.thing_scenes import OPPOSITE, RELATIONS, SIDE, caption, pair, prompt, sample_scene, single
from glide_core.tiny.things import CATEGORIES, STYLES, TEXTURES, THINGS
from toy_things import toy_painter


@pytest.fixture(scope="module")
def scenes():
    rng = np.random.default_rng(0)
    return [sample_scene(rng) for _ in range(3000)]


def test_nothing_held_out_is_ever_sampled(scenes):
    for scene in scenes:
        for item in scene.items:
            assert not things.held_out_style(item.thing, scene.style)
            assert not things.held_out_ground(item.thing, scene.ground)
        if len(scene.items) == 2:
            assert not things.held_out_pair(*(item.thing for item in scene.items))
        assert things.visible(scene.style, scene.ground)


def test_every_thing_lies_inside_the_picture(scenes):
    for item in (item for scene in scenes for item in scene.items):
        assert all(item.extent / 2 <= c <= SIDE - item.extent / 2 for c in item.centre)


def test_members_of_a_category_are_drawn_with_their_frequencies(scenes):
    rng = np.random.default_rng(1)
    drawn = [scene for scene in (sample_scene(rng) for _ in range(30000)) if scene.category == "animal"]
    assert len(drawn) > 200
    for member, share in things.frequencies("animal").items():
        found = np.mean([scene.items[0].thing == member for scene in drawn])
        assert found == pytest.approx(share, abs=4 * (share / len(drawn)) ** 0.5)


def test_a_pair_is_arranged_as_its_relation_says():
    rng = np.random.default_rng(2)
    for relation in RELATIONS:
        scene = pair(rng, "fox", "owl", relation, "3d", "white")
        (x1, y1), (x2, y2) = (item.centre for item in scene.items)
        expected = {"above": y1 < y2, "below": y1 > y2, "to the left of": x1 < x2, "to the right of": x1 > x2}
        assert expected.get(relation, abs(x1 - x2) > abs(y1 - y2))
        reach = sum(item.extent / 2 for item in scene.items)
        assert max(abs(x1 - x2), abs(y1 - y2)) > 0.95 * reach  # they hardly overlap


def test_captions_say_only_what_is_true(scenes):
    rng = np.random.default_rng(3)
    for scene in scenes:
        said = caption(scene, rng)
        names = [scene.category or item.thing for item in scene.items]
        if said.words and said.relation != scene.relation:
            assert said.relation == OPPOSITE[scene.relation]
            names.reverse()
        elif scene.relation == "next to" and said.words and said.words[0][0] != names[0]:
            names.reverse()
        assert [word for word, _ in said.words] in (names, [])
        for (word, size), end in zip(said.words, said.ends):
            assert said.text[:end].endswith(word)
            assert size in (None, scene.size) and (size is None or f"{size} {word}" in said.text)
        assert said.style in (None, scene.style) and said.ground in (None, scene.ground)


def test_captions_leave_things_out_now_and_then(scenes):
    rng = np.random.default_rng(4)
    said = [caption(scene, rng) for scene in scenes]
    for share in (np.mean([s.style is None for s in said]), np.mean([s.ground is None for s in said])):
        assert 0.1 < share < 0.35
    assert any(word in CATEGORIES for s in said for word, _ in s.words)


def test_the_plain_prompt():
    rng = np.random.default_rng(5)
    assert prompt(single(rng, "hedgehog", "oil painting", "grass", "large")) == (
        "an oil painting of a large hedgehog on grass"
    )
    assert prompt(pair(rng, "cherries", "owl", "above", "pixel art", "orange")) == (
        "pixel art of cherries above an owl on an orange background"
    )


@pytest.mark.parametrize("side", [64, 256])
def test_a_picture_shows_thing_style_and_background_where_the_scene_says(side):
    paint, rng = toy_painter(side), np.random.default_rng(6)
    for ground in ("white", "grass"):
        scene = single(rng, "owl", "flat", ground, "medium")
        picture, item = paint(scene), scene.items[0]
        x, y = (int(c * side / SIDE) for c in item.centre)
        red, green = 255 - THINGS.index("owl"), 10 * list(STYLES).index("flat")
        assert picture[y, x].tolist() == [red, green, 0]
        red_pixels = (picture == [red, green, 0]).all(axis=2).sum()
        assert red_pixels == pytest.approx((item.extent * side / SIDE) ** 2, rel=0.1)
        assert picture[0, 0].tolist() == (list(scene.rgb) if ground == "white" else picture[0, 0].tolist())


def test_the_second_half_of_the_variants_is_mirrored():
    paint, rng = toy_painter(64), np.random.default_rng(7)
    seen = set()
    for _ in range(40):
        scene = single(rng, "fox", "3d", list(TEXTURES)[0], "small")
        seen.add(int(paint._canvas(scene)[0, 0, 2]))
    assert seen == {100, 200}
