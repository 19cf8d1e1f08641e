"""What the lessons teach: classes read from captions, where things lie, and which holes are shown."""

import numpy as np
import pytest
import torch

from glide_core.models.config import ModelConfig
from glide_core.models.text2im import Text2Im
from glide_core.models.tokenizer import Tokenizer
from glide_core.tiny import thing_layout_lesson, thing_masks, thing_text_lesson, thing_words, vocabulary
from glide_core.tiny.scenes import sample_scene as sample_shapes
from glide_core.tiny.thing_scenes import caption, pair, sample_scene, single
from glide_core.tiny.thing_words import ARRANGEMENTS, OBJECT, UNKNOWN, WORDS, random_reading, read_shapes, read_things
from glide_core.tiny.things import GROUNDS, STYLES, THINGS
from glide_core.train.initial import initialise
from toy_things import toy_things

CONFIG = ModelConfig(
    num_channels=16, num_res_blocks=1, channel_mult=(1, 1, 2), attention_resolutions=(16,), num_head_channels=16,
    norm_groups=2, text_ctx=32, xf_width=32, xf_layers=1, xf_heads=2, vocab_size=600, inpaint=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    rng = np.random.default_rng(0)
    texts = [random_reading(rng, 0.3, 0.5).text for _ in range(2000)]
    return Tokenizer(vocabulary.train_tokenizer(texts, CONFIG.vocab_size), CONFIG.text_ctx)


def test_a_caption_is_read_by_roles_whatever_the_order_of_its_words():
    rng = np.random.default_rng(1)
    scene = pair(rng, "fox", "owl", "above", "flat", "grass")
    seen = {read_things(caption(scene, rng)).text.split(" ")[0] for _ in range(20)}
    assert len(seen) > 1
    for _ in range(50):
        said = caption(scene, rng)
        if not said.words:
            continue
        whole = read_things(said).whole
        assert (WORDS[whole[0] - 1], WORDS[whole[len(OBJECT)] - 1]) == ("fox", "owl")
        assert ARRANGEMENTS[whole[-1]] == "above"
        assert whole[-3] in (0, 1 + list(STYLES).index("flat")) and whole[-2] in (0, 1 + GROUNDS.index("grass"))


def test_a_caption_of_shapes_is_read_with_the_same_words():
    reading = read_shapes("a small red star above a blue circle on a pink background")
    assert WORDS[reading.whole[0] - 1] == "star" and WORDS[reading.whole[len(OBJECT)] - 1] == "circle"
    assert GROUNDS[reading.whole[-2] - 1] == "pink"
    assert [reading.text[:end].split()[-1] for end in reading.ends] == ["star", "circle"]
    assert read_shapes("something red").ends == [UNKNOWN]


def test_mentions_are_looked_up_at_the_token_that_ends_the_name(tokenizer):
    rng = np.random.default_rng(2)
    readings = [random_reading(rng, 0.3, 0.5) for _ in range(200)]
    tokens, mask, whole, places, named = thing_text_lesson.encode(tokenizer, readings)
    assert whole.shape == (200, len(thing_words.CAPTION)) and named.shape == (len(places), len(thing_words.MENTION))
    for (row, place), mention in zip(places.tolist(), named.tolist()):
        read_so_far = tokenizer.decode(tokens[row, : place + 1].tolist())
        assert read_so_far.endswith(WORDS[mention[0] - 1])
    assert (mask[places[:, 0], places[:, 1]]).all()


def test_the_text_transformer_learns_to_tell_what_a_caption_says(tokenizer):
    torch.manual_seed(0)
    model = Text2Im(CONFIG)
    initialise(model)
    unet = {name: value.clone() for name, value in model.unet.state_dict().items()}
    losses = thing_text_lesson.teach(model, tokenizer, steps=40, batch=32)
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])
    assert all(torch.equal(value, unet[name]) for name, value in model.unet.state_dict().items())


def test_the_cell_at_a_things_centre_tells_thing_style_and_place():
    rng = np.random.default_rng(3)
    scenes = [pair(rng, "fox", "owl", "above", "flat", "grass"), sample_shapes(0)]
    classes, values = thing_layout_lesson.targets(scenes, 16)
    for item in scenes[0].items:
        x, y = (int(c / 16) for c in item.centre)
        assert classes[0, :, y, x].tolist() == [1 + THINGS.index(item.thing), UNKNOWN, list(STYLES).index("flat")]
        dx, dy, size, _ = values[0, :, y, x].tolist()
        assert ((x + 0.5) * 16 - 40 * dx, (y + 0.5) * 16 - 40 * dy) == pytest.approx(item.centre, abs=1e-3)
        assert 40 * np.exp(size) == pytest.approx(item.extent / 2, rel=1e-5)
    assert set(classes[0, 0].unique().tolist()) == {0, 1 + THINGS.index("fox"), 1 + THINGS.index("owl")}
    assert classes[1, 0].max() > len(THINGS) and classes[1, 2].max() >= len(STYLES)


def test_the_layout_lesson_gives_gradients_to_the_unet(tokenizer):
    model = Text2Im(CONFIG)
    initialise(model)
    lesson = thing_layout_lesson.ThingLayout(model)
    tokens, mask = tokenizer.batch(["a fox"])
    model(torch.randn(1, 3, 64, 64), torch.tensor([500]), tokens, mask)
    assert lesson.heads
    scene = single(np.random.default_rng(0), "fox", "3d", "white", "large")
    loss = lesson.loss(lesson.targets([scene], 64))
    loss.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.unet.parameters())


def test_half_of_the_pictures_are_erased_altogether_and_all_have_a_hole():
    rng = np.random.default_rng(4)
    scenes = [sample_scene(rng) if k % 4 else sample_shapes(k) for k in range(600)]
    known = thing_masks.random_masks(rng, scenes, 32)
    assert known.shape == (600, 1, 32, 32) and set(np.unique(known)) == {0.0, 1.0}
    assert (known.mean(axis=(1, 2, 3)) < 1).all()
    assert (known.max(axis=(1, 2, 3)) == 0).mean() == pytest.approx(0.5, abs=0.07)


def test_a_hole_over_a_thing_covers_it():
    rng = np.random.default_rng(5)
    for _ in range(50):
        scene = single(rng, "fox", "3d", "white", "small")
        erased = np.zeros((64, 64), np.uint8)
        thing_masks.over_object(erased, scene, rng)
        (x, y), reach = scene.items[0].centre, scene.items[0].extent / 2
        top, bottom, left, right = (round((c + sign * 0.7 * reach) / 4) for c in (y, x) for sign in (-1, 1))
        inside = erased[top:bottom, left:right]
        assert inside.all() and erased.mean() < 0.4


def test_data_mixes_things_with_shapes():
    pictures, captions, scenes = toy_things(64).labelled_batch(np.random.default_rng(6), 200)
    assert pictures.shape == (200, 64, 64, 3) and len(captions) == 200
    shapes = np.mean([not hasattr(scene, "items") for scene in scenes])
    assert 0.15 < shapes < 0.35
