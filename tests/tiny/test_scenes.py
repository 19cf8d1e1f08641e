"""The scene generator: deterministic, true to its captions, and honest about what it holds out."""

import numpy as np

from glide_core.files.checkpoints import TINY_FOLDER
from glide_core.models.tokenizer import Tokenizer
from glide_core.tiny import scenes
from glide_core.tiny.scenes import BACKGROUNDS, COLOURS, SHAPES, caption, held_out, render, sample_scene

SEEDS = range(150)


def nearest(pixel, palette):
    return min(palette, key=lambda name: np.abs(np.array(palette[name]) - pixel).sum())


def test_a_seed_gives_the_same_scene_picture_and_captions():
    first, second = sample_scene(7), sample_scene(7)
    assert first == second
    assert (render(first) == render(second)).all()
    assert caption(first, np.random.default_rng(1)) == caption(second, np.random.default_rng(1))
    assert first != sample_scene(8)


def test_pictures_show_what_the_scene_says():
    for scene in map(sample_scene, SEEDS):
        picture = render(scene)
        assert picture.shape == (256, 256, 3) and picture.dtype == np.uint8
        assert nearest(picture[0, 0], BACKGROUNDS) == scene.background
        if scene.relation != "inside":
            for item in scene.objects:
                x, y = np.round(item.centre).astype(int)
                around = picture[y - 4 : y + 5, x - 4 : x + 5].reshape(-1, 3)
                assert nearest(item.rgb, COLOURS) == item.colour
                assert (np.abs(around - np.array(item.rgb)).max(axis=1) <= 2).mean() > 0.3  # the rest are stripes
        for item in scene.objects:
            assert item.outline.min() > 0 and item.outline.max() < 256


def test_relations_are_true():
    for scene in map(sample_scene, range(600)):
        if scene.relation is None:
            continue
        (ax, ay), (bx, by) = (item.centre for item in scene.objects)
        true = {"above": by - ay, "below": ay - by, "to the left of": bx - ax, "to the right of": ax - bx}
        if scene.relation == "inside":
            assert abs(ax - bx) < 1 and abs(ay - by) < 1 and scene.objects[0].radius < scene.objects[1].radius / 2
        else:
            assert true[scene.relation] > 80


def test_captions_name_only_what_is_there():
    rng = np.random.default_rng(0)
    words = {"shape": set(SHAPES), "colour": set(COLOURS), "size": set(scenes.SIZES), "style": set(scenes.STYLES)}
    for scene in map(sample_scene, SEEDS):
        there = {kind: {getattr(item, kind) for item in scene.objects} for kind in words}
        there["colour"] = there["colour"] | {scene.background}
        text = set(caption(scene, rng).replace(",", "").split())
        for kind, known in words.items():
            assert text & known <= there[kind]


def test_an_opposite_relation_swaps_the_objects():
    scene = next(s for s in map(sample_scene, range(999)) if s.relation == "above" and s.objects[0] != s.objects[1])
    texts = {caption(scene, np.random.default_rng(i)) for i in range(200)}
    above, below = (item.shape for item in scene.objects)
    for text in texts:
        words = text.replace(",", "").split()
        if "above" in words and above in words and below in words and above != below:
            assert words.index(above) < words.index("above") < words.index(below)
        if "below" in words and above in words and below in words and above != below:
            assert words.index(below) < words.index("below") < words.index(above)


def test_the_small_picture_is_the_area_average_of_the_large_one():
    scene = sample_scene(3)
    average = render(scene).reshape(64, 4, 64, 4, 3).mean(axis=(1, 3))
    assert np.abs(render(scene, 64) - average).max() <= 1


def test_held_out_combinations_never_appear_but_all_their_parts_do():
    combinations = {(s, c, b) for s in SHAPES for c in COLOURS for b in BACKGROUNDS if c != b}
    out = {combination for combination in combinations if held_out(*combination)}
    assert 0.05 < len(out) / len(combinations) < 0.15
    seen = set()
    for scene in map(sample_scene, range(1500)):
        seen |= {(item.shape, item.colour, scene.background) for item in scene.objects}
    assert not seen & out
    for part in range(3):
        assert {c[part] for c in seen} == {c[part] for c in combinations}
    shown = [sample_scene(i, allow_held_out=True) for i in range(300)]
    assert any(held_out(item.shape, item.colour, scene.background) for scene in shown for item in scene.objects)


def test_every_word_of_the_grammar_is_one_token_of_the_shipped_tokenizer():
    tokenizer = Tokenizer.from_file(TINY_FOLDER / "tokenizer.json", 32)
    words = [*SHAPES, *COLOURS, *BACKGROUNDS, *scenes.STYLES, "small", "large", "above", "below", "left", "right"]
    assert [word for word in [*words, "inside", "background", "something"] if tokenizer(word).count != 1] == []
    rng = np.random.default_rng(0)
    assert max(tokenizer(caption(sample_scene(i), rng)).count for i in range(300)) <= 32
    assert tokenizer.padding_id == 511
    assert 511 not in tokenizer("<padding> 😀")[0][:5]
