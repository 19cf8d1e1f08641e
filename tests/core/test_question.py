"""Steps that ask the U-Net for less: guidance in a part of them, deep layers in every other one."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from glide_core import choices
from glide_core.diffusion import presets
from glide_core.diffusion.composition import compose
from glide_core.diffusion.guidance import guided_sigmas
from glide_core.errors import OptionError
from glide_core.pipeline import Sampling, Stage, generate, upsample

PROMPTS = ["a red circle on a blue background", "a green square AND a yellow background :0.5 NOT a heart"]
OPTIONS = Sampling("6", "ddim")


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def stage(request):
    return Stage.load("tiny-base", dtype=request.param)


@pytest.fixture
def rows(stage):
    """How many rows each call of the U-Net has, and whether it computes its deep layers."""
    seen = []
    unet = stage.model.unet
    inside = unet.middle_block.register_forward_hook(lambda module, args, out: seen[-1].append("deep"))
    before = unet.register_forward_pre_hook(lambda module, args: seen.append([len(args[0])]))
    yield seen
    inside.remove()
    before.remove()


def test_guidance_in_all_steps_is_the_default(stage):
    options = dataclasses.replace(OPTIONS, steps="2")
    everywhere = dataclasses.replace(options, guidance_from=0.0, guidance_until=1.0)
    assert torch.equal(generate(stage, PROMPTS, options), generate(stage, PROMPTS, everywhere))


@pytest.mark.parametrize(
    ("begin", "end", "guided"),
    [(0.0, 0.5, "GGG---"), (0.5, 1.0, "---GGG"), (0.3, 0.5, "--G---"), (0.0, 0.0, "------"), (1.0, 1.0, "------")],
)
def test_steps_outside_see_the_prompts_alone(stage, rows, begin, end, guided):
    generate(stage, PROMPTS[:1], dataclasses.replace(OPTIONS, guidance_from=begin, guidance_until=end))
    assert "".join("G" if row[0] == 2 else "-" for row in rows) == guided


@pytest.mark.parametrize("sampler", choices.SAMPLERS)
def test_no_guided_step_is_no_guidance(stage, sampler):
    never = Sampling("3", sampler, guidance_until=0.0)
    without = Sampling("3", sampler, guidance_scale=1.0)
    found, expected = generate(stage, PROMPTS, never), generate(stage, PROMPTS, without)
    assert (found - expected).abs().mean() < 0.02  # another batch, in bf16 too


def test_cached_steps_leave_out_the_deep_layers(stage, rows):
    generate(stage, PROMPTS[:1], dataclasses.replace(OPTIONS, cache_interval=3))
    assert rows == [[2, "deep"], [2], [2], [2, "deep"], [2], [2]]


def test_features_are_not_kept_where_guidance_begins_or_ends(stage, rows):
    options = dataclasses.replace(OPTIONS, cache_interval=4, guidance_from=0.4, guidance_until=0.7)
    generate(stage, PROMPTS[:1], options)
    assert rows == [[1, "deep"], [1], [1], [2, "deep"], [2], [1, "deep"]]


def test_cached_pictures_resemble_the_others(stage):
    options = Sampling("20", "ddim")
    full = generate(stage, PROMPTS, options)
    cached = generate(stage, PROMPTS, dataclasses.replace(options, cache_interval=2))
    assert 0 < (full - cached).abs().mean() < 0.15


def test_each_window_has_features_of_its_own():
    stage = Stage.load("tiny-upsample")
    low_res = torch.rand(1, 3, 80, 64) * 2 - 1
    options = Sampling("2", "ddim", guidance_scale=1.0)
    full = upsample(stage, PROMPTS[:1], low_res, options)
    cached = upsample(stage, PROMPTS[:1], low_res, dataclasses.replace(options, cache_interval=2))
    assert 0 < (full - cached).abs().mean() < 0.2


def test_rows_without_guidance_make_up_the_same_prompts():
    composition = compose(PROMPTS, ["", "a star"])
    numbers, alone = composition.unguided()
    predictions = torch.randn(len(composition.pictures), 3, 4, 4)
    assert alone.uncond is None and len(numbers) < len(predictions)
    torch.testing.assert_close(alone.cond(predictions[numbers]), composition.cond(predictions))
    texts = composition.uncond_texts + composition.cond_texts
    assert alone.cond_texts == [texts[number] for number in numbers]
    assert torch.equal(alone.pictures, composition.pictures[numbers])


def test_shares_are_rounded_up_to_steps():
    sigmas = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.0])
    assert guided_sigmas(sigmas, 0.0, 1.0) == (0.0, float("inf"))
    assert guided_sigmas(sigmas, 0.25, 0.6) == (1.0, 4.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"guidance_from": -0.1},
        {"guidance_until": 1.1},
        {"guidance_from": 0.6, "guidance_until": 0.5},
        {"guidance_from": float("nan")},
        {"cache_interval": 0},
        {"cache_interval": 1.5},
        {"noise_offset": (-0.1,)},
        {"noise_offset": (0.1, float("nan"))},
        {"noise_offset": (0.1,) * 5},
    ],
    ids=str,
)
def test_wrong_options_are_named(wrong):
    with pytest.raises(OptionError, match=next(iter(wrong))):
        Sampling(**wrong)


@pytest.mark.parametrize("upsampler", [False, True])
def test_presets_can_be_sampled(upsampler):
    assert tuple(presets.BASE) == tuple(presets.UPSAMPLER) == choices.PRESETS
    for name in choices.PRESETS:
        changed = presets.with_preset(OPTIONS, name, upsampler=upsampler)
        assert changed.guidance_scale == OPTIONS.guidance_scale
    with pytest.raises(OptionError, match="quick"):
        presets.with_preset(OPTIONS, "quick", upsampler=upsampler)
