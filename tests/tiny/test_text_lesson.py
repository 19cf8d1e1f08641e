"""The text transformer's first lesson."""

import dataclasses

import numpy as np
import torch

from glide_core.files.checkpoints import TINY_FOLDER
from glide_core.models.config import TINY_BASE
from glide_core.models.text2im import Text2Im
from glide_core.models.tokenizer import Tokenizer
from glide_core.tiny.scenes import OPPOSITE, caption, prompt, sample_scene
from glide_core.tiny.text_lesson import ATTRIBUTES, CAPTION, MENTION, UNKNOWN, Reader, read, teach
from glide_core.train.initial import initialise

SCENES = [sample_scene(seed) for seed in range(200)]


def tiny_tokenizer():
    return Tokenizer.from_file(TINY_FOLDER / "tokenizer.json", TINY_BASE.text_ctx)


def test_what_a_caption_says_is_read_from_it():
    whole, (first, second) = read("a small striped red star below a heart, pink background")
    shapes, colours, sizes, styles = ATTRIBUTES
    star = [1 + shapes.index("star"), 1 + colours.index("red"), 1 + sizes.index("small"), 1 + styles.index("striped")]
    heart = [1 + shapes.index("heart"), 0, 0, 0]
    assert (first, second) == ([*star, 2], [*heart, 1])
    assert whole == [*heart, *star, 6, 1]  # pink, above
    assert read("a blue background") == ([0, 0, 0, 0, *[UNKNOWN] * 4, 3, 0], [[0, 0, 0, 0, 0]])


def test_all_captions_can_be_read_whatever_the_order_of_their_objects():
    rng = np.random.default_rng(0)
    for scene in SCENES:
        reading = read(caption(scene, rng))
        for values, sizes in [(reading.caption, CAPTION), *((mention, MENTION) for mention in reading.mentions)]:
            assert len(values) == len(sizes)
            assert all(value == UNKNOWN or 0 <= value < size for value, size in zip(values, sizes))
        if scene.relation in OPPOSITE:
            turned = dataclasses.replace(scene, objects=scene.objects[::-1], relation=OPPOSITE[scene.relation])
            assert read(prompt(turned)).caption == read(prompt(scene)).caption


def test_every_named_shape_is_one_token():
    reader, rng, tokenizer = Reader(Text2Im(TINY_BASE), tiny_tokenizer()), np.random.default_rng(0), tiny_tokenizer()
    for scene in SCENES:
        text = caption(scene, rng)
        found = torch.isin(tokenizer.batch([text])[0], reader.shape_tokens).sum()
        assert found == sum(mention[0] > 0 for mention in read(text).mentions), text


def test_the_transformer_learns_to_read():
    torch.manual_seed(0)
    model = Text2Im(TINY_BASE)
    initialise(model)
    before = {name: tensor.clone() for name, tensor in model.unet.state_dict().items()}
    losses = teach(model, tiny_tokenizer(), steps=30, batch=16)
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.unet.state_dict().items())
