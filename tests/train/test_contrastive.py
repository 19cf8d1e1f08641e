"""Training of a noised CLIP: it learns, resumes to the same losses, and equal captions are no enemies."""

import dataclasses

import numpy as np
import pytest
import torch

from clips import SMALL, small_clip
from glide_core.errors import CheckpointError
from glide_core.files import clip_checkpoints
from glide_core.models.clip import NoisedClip
from glide_core.tiny.clip_lesson import ContrastScenes, SceneLesson, altered
from glide_core.tiny.scenes import prompt, sample_scene
from glide_core.train.clip_initial import initialise
from glide_core.train.contrast_data import noisy_timesteps
from glide_core.train.contrastive import ContrastiveTrainer, contrastive_loss
from glide_core.train.options import Options, Phase


def options(steps=6):
    return Options((Phase(None, steps, 8),), lr=2e-3, warmup=1, schedule="constant", caption_dropout=0.0)


def trainer(folder, cache, steps=6, seed=0, lesson=True):
    torch.manual_seed(seed)
    model = NoisedClip(dataclasses.replace(SMALL, logit_scale=14.0))
    initialise(model)
    _, tokenizer = small_clip()
    torch.manual_seed(seed)
    heads = SceneLesson(model) if lesson else None
    data = ContrastScenes(SMALL.image_size, 64, cache)
    return ContrastiveTrainer(model, tokenizer, data, options(steps), folder, lesson=heads)


def test_it_learns_and_saves_what_loads(tmp_path):
    losses = trainer(tmp_path / "out", tmp_path, steps=40).run()
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.3
    model, tokenizer = clip_checkpoints.load(tmp_path / "out" / "clip.safetensors")
    assert tokenizer.vocab_size == model.config.vocab_size


def test_it_resumes_to_the_same_losses(tmp_path):
    whole = trainer(tmp_path / "a", tmp_path).run()
    first = trainer(tmp_path / "b", tmp_path)
    begun = [first.train_step()[0] for _ in range(3)]
    first.save()
    second = trainer(tmp_path / "b", tmp_path, seed=1)
    second.resume()
    np.testing.assert_allclose(begun + second.run(), whole, rtol=1e-5)
    with pytest.raises(CheckpointError, match="does not go on with these options"):
        trainer(tmp_path / "b", tmp_path, lesson=False).resume()


def test_equal_captions_are_not_held_against_each_other():
    same = torch.eye(2)[[0, 0]]
    loss = contrastive_loss(same, same, torch.tensor(5.0), ["a", "a"])
    assert float(loss) == pytest.approx(0.0, abs=1e-6)
    assert float(contrastive_loss(same, same, torch.tensor(5.0), ["a", "b"])) > 0.5


@pytest.mark.parametrize("power, clean", [(1.5, 0.215), (5.0, 0.631)])
def test_timesteps(power, clean):
    t = noisy_timesteps(np.random.default_rng(0), 1000, 1000, power)
    assert t.min() == 0 and t.max() >= 990
    assert float((t < 100).float().mean()) == pytest.approx(clean, abs=0.01)


@pytest.mark.parametrize("seed", range(40))
def test_wrong_captions_are_wrong_in_one_detail(seed):
    scene = sample_scene(seed)
    other = altered(scene, np.random.default_rng(seed))
    kept = scene.background == other.background
    names = ("shape", "colour", "size", "style")
    different = sum(
        getattr(a, name) != getattr(b, name) for a, b in zip(scene.objects, other.objects) for name in names
    )
    assert different + (not kept) + (scene.relation != other.relation) <= 2
    assert all(item.colour != other.background for item in other.objects) or other.objects == scene.objects
    if different or not kept:
        assert prompt(other) != prompt(scene) or different == 2  # two alike objects may have swapped nothing
