"""The lesson about where each object of a scene is."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from glide_core.errors import OptionError
from glide_core.files.checkpoints import TINY_FOLDER
from glide_core.models.config import TINY_BASE, TINY_UPSAMPLE
from glide_core.models.text2im import Text2Im
from glide_core.models.tokenizer import Tokenizer
from glide_core.tiny import layout_lesson as layout
from glide_core.tiny.layout_lesson import CLASSES, RADIUS, ROTATION, UNKNOWN, VALUES, LayoutLesson, targets
from glide_core.tiny.scene_data import Scenes
from glide_core.tiny.scenes import COLOURS, SHAPES, SIZES, STYLES, sample_scene
from glide_core.train.initial import initialise
from glide_core.train.loop import Trainer
from glide_core.train.options import Options, Phase
from small_models import BASE

GRID = 16
SCENES = [sample_scene(seed) for seed in range(100)]


def test_the_cell_at_an_objects_centre_tells_all_of_it():
    classes, values = targets(SCENES, GRID)
    for k, scene in enumerate(SCENES):
        top = scene.objects[0]  # the one inside, of two
        x, y = (int(c * GRID / 256) for c in top.centre)
        expected = [1 + list(SHAPES).index(top.shape), list(COLOURS).index(top.colour), STYLES.index(top.style)]
        assert classes[k, :, y, x].tolist() == expected
        dx, dy, size, rotation = values[k, :, y, x].tolist()
        assert ((x + 0.5) * 16 - RADIUS * dx, (y + 0.5) * 16 - RADIUS * dy) == pytest.approx(top.centre, abs=1e-3)
        assert RADIUS * math.exp(size) == pytest.approx(top.radius)
        assert rotation * ROTATION == pytest.approx(top.rotation)


def test_far_cells_say_that_nothing_is_near():
    classes, values = targets(SCENES, GRID)
    far = classes[:, 0] == 0
    assert 0.2 < far.float().mean() < 0.9
    assert (classes[:, 1:].movedim(1, -1)[far] == UNKNOWN).all() and (values.movedim(1, -1)[far] == 0).all()


def test_small_objects_weigh_as_much_as_large_ones():
    singles = [scene for scene in SCENES if not scene.relation]
    weights = layout.pixel_weights(*targets(singles, GRID))
    assert weights.shape == (len(singles), 1, 64, 64)
    sums = {size: np.mean([w.sum() for w, s in zip(weights, singles) if s.objects[0].size == size]) for size in SIZES}
    assert max(sums.values()) < 1.2 * min(sums.values())


@pytest.mark.parametrize("res_blocks", [1, 2])
def test_the_heads_read_a_quarter_of_the_pictures_side(res_blocks):
    config = dataclasses.replace(TINY_BASE, num_res_blocks=res_blocks)
    model = Text2Im(config)
    heads = LayoutLesson(model)
    side = config.image_size
    tokens, mask = torch.zeros(1, config.text_ctx, dtype=torch.long), torch.ones(1, config.text_ctx, dtype=torch.bool)
    with torch.no_grad():
        model(torch.zeros(1, 3, side, side), torch.zeros(1), tokens, mask)
    assert not heads.features  # nothing is learned from a pass that only draws
    model(torch.zeros(1, 3, side, side), torch.zeros(1), tokens, mask)
    assert len(heads.features) == len(heads.heads) == res_blocks + 1
    for head, features in zip(heads.heads, heads.features):
        assert head(features).shape == (1, sum(CLASSES) + VALUES, side // 4, side // 4)


def test_the_loss_is_zero_for_the_right_answer_only():
    classes, values = targets(SCENES, GRID)

    def answer(classes, values):
        parts = [
            100 * torch.nn.functional.one_hot(classes[:, k].clamp(min=0), size).movedim(-1, 1)
            for k, size in enumerate(CLASSES)
        ]
        return torch.cat([*parts, values], dim=1).float()

    right = answer(classes, values)
    assert layout.head_loss(right, classes, values, CLASSES) == pytest.approx(0, abs=1e-4)
    for wrong in (answer((classes + 1) % CLASSES[-1], values), answer(classes, -values), torch.zeros_like(right)):
        assert layout.head_loss(wrong, classes, values, CLASSES) > 0.5
    assert right.shape[1] == sum(CLASSES) + VALUES


def test_the_unet_is_taught():
    torch.manual_seed(0)
    model = Text2Im(TINY_BASE)
    initialise(model)
    heads = LayoutLesson(model)
    tokens, mask = torch.zeros(4, 32, dtype=torch.long), torch.ones(4, 32, dtype=torch.bool)
    for _ in range(2):  # the features of one pass are gone in the next
        model(torch.randn(4, 3, 32, 32), torch.zeros(4), tokens, mask)
        assert len(heads.features) == len(heads.heads)
        loss = heads.loss(heads.targets(SCENES[:4], 32))
    loss.backward()
    gradients = [p.grad for p in model.unet.middle_block.parameters()]
    assert 2 < loss.item() / len(heads.heads) < 8
    assert any(g is not None and g.abs().sum() > 0 for g in gradients)
    assert not heads.features


def test_the_weight_scales_the_loss():
    losses = []
    for weight in (1.0, 0.02):
        torch.manual_seed(0)
        model = Text2Im(TINY_BASE)
        heads = LayoutLesson(model, weight=weight)
        heads.features = [torch.ones(1, head[0].num_channels, 8, 8) for head in heads.heads]
        losses.append(heads.loss(heads.targets(SCENES[:1], 32)).item())
    assert losses[1] == pytest.approx(0.02 * losses[0])


def test_an_upsampler_is_refused():
    with pytest.raises(OptionError, match="--layout teaches base models only"):
        LayoutLesson(Text2Im(TINY_UPSAMPLE))


@pytest.mark.parametrize("recompute", [False, True], ids=["plain", "gradient-checkpointing"])
def test_a_run_with_the_lesson_resumes_exactly(tmp_path, recompute):
    scenes = Scenes(16, 40, tmp_path)

    def run(name, steps):
        torch.manual_seed(0)
        model = Text2Im(dataclasses.replace(BASE, channel_mult=(1, 2, 2)))
        initialise(model)
        tokenizer = Tokenizer.from_file(TINY_FOLDER / "tokenizer.json", BASE.text_ctx)
        options = Options(phases=(Phase(16, steps, 4),), warmup=5, decay=0, recompute=recompute, sample_every=4)
        lesson = LayoutLesson(model, weight=0.1)
        made = Trainer(model, tokenizer, scenes, options, tmp_path / name, auxiliary=lesson)
        if (tmp_path / name).exists():
            made.resume()
        return made.run()

    assert run("broken", 5) + run("broken", 8) == pytest.approx(run("whole", 8), rel=1e-5)
