"""The text transformer's first lesson."""

import dataclasses

import numpy as np
import torch

from glide_core.checkpoints import TINY_FOLDER
from glide_core.config import TINY_BASE
from glide_core.model import Text2Im
from glide_core.tokenizer import Tokenizer
from glide_core.train.loop import initialise
from glide_core.train.pretext import CLASSES, UNKNOWN, labels, teach
from glide_core.train.scenes import OPPOSITE, sample_scene


def test_labels_do_not_depend_on_how_a_caption_orders_two_objects():
    for scene in map(sample_scene, range(100)):
        assert len(labels(scene)) == len(CLASSES)
        assert all(value == UNKNOWN or 0 <= value < count for value, count in zip(labels(scene), CLASSES))
        if scene.relation in OPPOSITE:
            turned = dataclasses.replace(scene, objects=scene.objects[::-1], relation=OPPOSITE[scene.relation])
            assert labels(turned) == labels(scene)


def test_the_transformer_learns_to_read():
    torch.manual_seed(0)
    model = Text2Im(TINY_BASE)
    initialise(model)
    before = {name: tensor.clone() for name, tensor in model.unet.state_dict().items()}
    tokenizer = Tokenizer.from_file(TINY_FOLDER / "tokenizer.json", TINY_BASE.text_ctx)
    losses = teach(model, tokenizer, steps=30, batch=16)
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.unet.state_dict().items())
