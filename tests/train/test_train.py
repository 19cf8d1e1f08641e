"""The training loop on a very small model: it learns, resumes exactly, and never leaves a broken checkpoint."""

import dataclasses

import numpy as np
import pytest
import torch
from glide_core.train.data import Scenes
from PIL import Image

from glide_core.diffusion.schedule import NoiseSchedule
from glide_core.files import checkpoints
from glide_core.models.text2im import Text2Im, unet_input
from glide_core.models.tokenizer import Tokenizer
from glide_core.train.folder import Folder
from glide_core.train.loop import Trainer, initialise
from glide_core.train.loss import DiffusionLoss, prepare, stratified_timesteps, timestep_density, timestep_weights
from glide_core.train.options import Options, Phase
from small_models import BASE, UPSAMPLE

OPTIONS = Options(phases=(Phase(16, 30, 8),), warmup=5, decay=0)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    cache = tmp_path_factory.mktemp("scenes")
    return {side: Scenes(side, 40, cache) for side in (16, 32)}


def trainer(scenes, out, config=BASE, options=OPTIONS):
    torch.manual_seed(0)
    model = Text2Im(config)
    initialise(model)
    tokenizer = Tokenizer.from_file(checkpoints.TINY_FOLDER / "tokenizer.json", config.text_ctx)
    return Trainer(model, tokenizer, scenes[config.image_size], options, out)


@pytest.mark.parametrize("muon", [True, False])
def test_training_lowers_the_loss(scenes, tmp_path, muon):
    options = dataclasses.replace(OPTIONS, muon=muon, lr=5e-3)
    losses = trainer(scenes, tmp_path, options=options).run()
    assert len(losses) == 30 and np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_the_lesson_about_layouts_needs_drawn_scenes(tmp_path):
    Image.new("RGB", (32, 32), "red").save(tmp_path / "photo.png")
    (tmp_path / "photo.txt").write_text("a red square")
    with pytest.raises(ValueError, match="layout: only drawn scenes"):
        trainer({16: Folder(tmp_path, 16)}, tmp_path / "out", options=dataclasses.replace(OPTIONS, layout=0.1))


def test_a_run_with_the_lesson_about_layouts_resumes_exactly(scenes, tmp_path):
    config = dataclasses.replace(BASE, channel_mult=(1, 2, 2))

    def run(name, steps):
        options = dataclasses.replace(OPTIONS, phases=(Phase(16, steps, 4),), layout=0.1)
        made = trainer(scenes, tmp_path / name, config, options)
        if (tmp_path / name).exists():
            made.resume()
        return made.run()

    assert run("broken", 5) + run("broken", 8) == pytest.approx(run("whole", 8), rel=1e-5)


def test_an_upsampler_learns_from_crops(scenes, tmp_path):
    options = dataclasses.replace(OPTIONS, lr=5e-3)
    losses = trainer(scenes, tmp_path, UPSAMPLE, options).run()
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_a_resumed_run_has_the_losses_of_an_unbroken_one(scenes, tmp_path):
    whole = trainer(scenes, tmp_path / "whole", options=dataclasses.replace(OPTIONS, phases=(Phase(16, 8, 4),))).run()
    broken = trainer(scenes, tmp_path / "broken", options=dataclasses.replace(OPTIONS, phases=(Phase(16, 5, 4),)))
    first = broken.run()
    again = trainer(scenes, tmp_path / "broken", options=dataclasses.replace(OPTIONS, phases=(Phase(16, 8, 4),)))
    again.resume()
    assert first + again.run() == pytest.approx(whole, rel=1e-5)


def test_the_exported_model_is_the_average_and_loads(scenes, tmp_path):
    job = trainer(scenes, tmp_path, options=dataclasses.replace(OPTIONS, phases=(Phase(16, 3, 4),)))
    job.run()
    model = checkpoints.load(tmp_path / "base.safetensors")
    assert model.config == BASE
    for name, tensor in job.ema.module.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)


def test_the_state_of_another_model_is_refused(scenes, tmp_path):
    trainer(scenes, tmp_path, options=dataclasses.replace(OPTIONS, phases=(Phase(16, 1, 4),))).run()
    with pytest.raises(ValueError, match="another model"):
        trainer(scenes, tmp_path, UPSAMPLE).resume()


def test_phases_and_learning_rate():
    options = Options(phases=(Phase(32, 10, 64), Phase(64, 10, 32)), warmup=4, decay=0.5)
    assert [options.phase_at(i).resolution for i in (0, 9, 10, 19)] == [32, 32, 64, 64]
    assert options.lr_scale(0) == 0.25 and options.lr_scale(8) == 1 and options.lr_scale(19) == pytest.approx(0.1)
    constant = dataclasses.replace(options, schedule="constant")
    assert constant.lr_scale(0) == 0.25 and constant.lr_scale(19) == 1
    cosine = dataclasses.replace(options, schedule="cosine")
    assert cosine.lr_scale(10) == pytest.approx(0.5) and 0 < cosine.lr_scale(19) < 0.01


def drawn(focus, count=10, times=2000):
    cumulative = timestep_density(NoiseSchedule("squaredcos_cap_v2"), focus).cumsum(0)
    generators = (torch.Generator().manual_seed(i) for i in range(times))
    return torch.stack([stratified_timesteps(cumulative, count, generator) for generator in generators])


def test_timesteps_are_uniform_and_spread_over_the_batch():
    t = drawn(focus=None)
    assert sorted(t[0] // 100) == list(range(10))
    assert t.min() == 0 and t.max() == 999
    counts = torch.histc(t[:, 0].float(), 10, 0, 1000)
    assert (counts - 200).abs().max() < 60


def test_focus_draws_noise_levels_log_normally():
    log_sigma = torch.from_numpy(np.log(NoiseSchedule("squaredcos_cap_v2").sigmas))[drawn(focus=(1.0, 0.5))]
    near = (log_sigma - 1).abs() < 0.5
    assert near.float().mean() == pytest.approx(0.9 * 0.683 + 0.1 * 0.21, abs=0.02)
    assert log_sigma.min() < -2 and log_sigma.max() > 4  # one of ten is uniform


def test_extra_weight_counts_where_the_noise_does_not_hide_the_picture():
    class Still(torch.nn.Module):
        def forward(self, noisy, t, tokens, mask):
            return torch.zeros_like(noisy).repeat(1, 2, 1, 1)

    def loss(sigma, extra):
        schedule = NoiseSchedule("linear")
        objective = DiffusionLoss(schedule, torch.device("cpu"))
        nearest = int(np.argmin(abs(schedule.sigmas - sigma)))
        objective.cumulative = (torch.arange(1000) >= nearest).double()  # all draws give this timestep
        return objective(Still(), torch.zeros(64, 3, 8, 8), None, None, torch.Generator().manual_seed(0), extra=extra)

    half = torch.zeros(64, 1, 8, 8)
    half[..., :4] = 2.0
    assert loss(0.1, half) == pytest.approx(2 * float(loss(0.1, None)), rel=0.1)
    assert loss(100, half) == pytest.approx(float(loss(100, None)), rel=0.02)


def test_offset_noise_moves_the_mean_of_a_picture_or_of_parts():
    seen = []

    class Still(torch.nn.Module):
        def forward(self, noisy, t, tokens, mask):
            seen.append(noisy)
            return torch.zeros_like(noisy).repeat(1, 2, 1, 1)

    schedule, images = NoiseSchedule("linear"), torch.zeros(200, 3, 16, 16)
    for offset in ((), (0.5,), (0.0, 0.5)):
        loss = DiffusionLoss(schedule, torch.device("cpu"), offset=offset)
        loss(Still(), images, None, None, torch.Generator().manual_seed(0))
    plain, moved, uneven = (noisy.flatten(2).mean(dim=2).std() for noisy in seen)
    assert plain < 0.07 and uneven < 0.15 < 0.2 < moved < 0.4
    plain, moved, uneven = (noisy[..., :4, :4].flatten(2).mean(dim=2).std() for noisy in seen)
    assert plain < 0.3 < uneven


@pytest.mark.parametrize("name", ["linear", "squaredcos_cap_v2"])
def test_weights_grow_towards_noise(name):
    weights = timestep_weights(NoiseSchedule(name))
    assert (weights.diff() >= 0).all() and weights[-1] > 100 * weights[500] * (name != "linear")


def test_upsampler_sees_the_rounded_area_average_of_its_crop():
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    images, conditions = prepare(UPSAMPLE, pictures, 16, np.random.default_rng(1))
    assert images.shape == (2, 3, 16, 16) and conditions["low_res"].shape == (2, 3, 4, 4)
    levels = (conditions["low_res"] + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    average = images.reshape(2, 3, 4, 4, 4, 4).mean(dim=(3, 5))
    assert (conditions["low_res"] - average).abs().max() < 1 / 127


def test_crops_lie_on_the_grid_of_low_res():
    """Stripes of 4 pixels show in low_res as a plain colour: where they begin must always be the same."""
    rows = (200 * (np.arange(32) % 4 < 2)).astype(np.uint8)[None, :, None, None]
    pictures = np.broadcast_to(rows, (1, 32, 32, 3))
    rng, tops = np.random.default_rng(0), set()
    for _ in range(10):
        images, _ = prepare(UPSAMPLE, pictures + np.arange(32, dtype=np.uint8)[:, None, None] // 4, 16, rng)
        tops.add(float(images[0, 0, 2, 0]))
        assert (images[0, 0, :2] > images[0, 0, 2:4]).all()
    assert len(tops) > 2


@pytest.mark.parametrize("config", [BASE, UPSAMPLE], ids=["base", "upsample"])
def test_an_inpainting_model_is_shown_what_is_left_and_all_of_low_res(config):
    config = dataclasses.replace(config, inpaint=True)
    pictures = np.random.default_rng(0).integers(0, 256, (4, config.image_size, config.image_size, 3), dtype=np.uint8)
    images, conditions = prepare(config, pictures, 16, np.random.default_rng(1))
    mask = conditions["known"]
    assert mask.shape == (4, 1, 16, 16) and 0 < mask.mean() < 1
    channels = unet_input(config, torch.zeros_like(images), **conditions)
    torch.testing.assert_close(channels[:, 3:6], images * mask)
    torch.testing.assert_close(channels[:, 6:7], mask)
    if config.low_res:
        torch.testing.assert_close(conditions["low_res"], torch.nn.functional.avg_pool2d(images, 4), atol=1e-2, rtol=0)
