"""Every kind of picture in every precision that the CPU can compute in: close to fp32, and never NaN."""

import functools

import numpy as np
import pytest
import torch

from glide_core.device import pick_dtype
from glide_core.diffusion.samplers import SAMPLERS
from glide_core.editing import regions
from glide_core.editing.blending import BLENDS, Blend
from glide_core.editing.photo import Editor, edit, squares
from glide_core.errors import NotFiniteError, OptionError
from glide_core.pipeline import Sampling, Stage, generate, inpaint, upsample

PROMPT = "a red circle on a blue background"
SEEDS = [24, 0]  # the noise of the first one is stronger than its sigma says, which made coloured snow
STEPS = "10"
QUICK = Sampling("2", "ddim", 1.0)


def computes(dtype):
    """Whether this CPU convolves in a dtype."""
    try:
        torch.nn.functional.conv2d(torch.ones(1, 1, 3, 3, dtype=dtype), torch.ones(1, 1, 3, 3, dtype=dtype))
    except RuntimeError:
        return False
    return True


HALVES = [dtype for dtype in (torch.bfloat16, torch.float16) if computes(dtype)]
DTYPES = [torch.float32, *HALVES]
# A processor that emulates bf16 takes minutes for these.
SLOW_IN_EMULATION = [] if pick_dtype("auto", torch.device("cpu")) == "bf16" else [pytest.mark.slow]
FEW = pytest.param(range(2), 8, marks=SLOW_IN_EMULATION)
in_half_precision = pytest.mark.parametrize("dtype", HALVES, ids=str)
in_every_precision = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@functools.cache
def stage(name, dtype=torch.float32):
    return Stage.load(name, dtype=dtype)


@functools.cache
def drawn(sampler, dtype):
    return generate(stage("tiny-base", dtype), [PROMPT] * 2, Sampling(STEPS, sampler), seed=SEEDS)


def differences(a, b):
    """The mean difference of each picture, in 0..255."""
    return 127.5 * (a - b).abs().flatten(1).mean(dim=1)


def grains(pictures):
    return 127.5 * (pictures[..., 1:] - pictures[..., :-1]).abs().flatten(1).mean(dim=1)


def require_picture(picture):
    assert picture.dtype == torch.float32
    assert picture.isfinite().all() and picture.abs().max() <= 1
    assert picture.std() > 0.02


@in_half_precision
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_half_precision_draws_the_picture_of_fp32(sampler, dtype):
    exact, half = drawn(sampler, torch.float32), drawn(sampler, dtype)
    require_picture(half)
    assert differences(half, exact).max() < 2.5


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_bf16_draws_the_pictures_of_fp32_from_20_seeds(sampler):
    options = Sampling({"ddpm": "50", "plms": "25"}.get(sampler, "20"), sampler)
    exact, half = (
        generate(stage("tiny-base", dtype), [PROMPT] * 20, options, seed=range(20))
        for dtype in (torch.float32, torch.bfloat16)
    )
    off = differences(half, exact)
    assert off.median() < 2 and off.max() < 8
    for pictures in (exact, half):
        assert grains(pictures).max() < 1.5 * grains(pictures).median()


@in_every_precision
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_seed_becomes_snow(sampler, dtype):
    snowy, usual = grains(drawn(sampler, dtype))
    assert snowy < 1.5 * usual


def test_the_reference_keeps_snow():
    """What the other tests must be able to see: OpenAI's own way makes snow of these seeds."""
    options = Sampling("10", "ddim", as_reference=True)
    snow = generate(stage("tiny-base"), [PROMPT], options, seed=24)
    assert grains(snow) > 2 * grains(drawn("ddim", torch.float32)[:1])


@in_every_precision
@pytest.mark.parametrize("side", [64, 72])
def test_enlarging_with_and_without_tiles(dtype, side):
    low_res = torch.nn.functional.interpolate(drawn("ddim", torch.float32)[:1], size=(side, side), mode="bilinear")
    large = upsample(stage("tiny-upsample", dtype), PROMPT, low_res, QUICK)
    require_picture(large)
    assert differences(torch.nn.functional.avg_pool2d(large, 4), low_res) < 20


@in_every_precision
def test_repainting_keeps_the_rest(dtype):
    image = drawn("ddim", torch.float32)[:1]
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:40, 20:40] = 1
    painted = inpaint(stage("tiny-base-inpaint", dtype), PROMPT, image, mask, Sampling("4", "ddpm"), hide_until=0.5)
    require_picture(painted)
    known = (mask == 0).expand_as(image)
    assert painted[known].equal(image[known]) and not painted.equal(image)


@in_every_precision
def test_repainting_on_tiles(dtype):
    """A square above 256 is denoised in windows, whose weights bf16 cannot count."""
    low_res = torch.nn.functional.interpolate(drawn("ddim", torch.float32)[:1], size=(72, 72), mode="bilinear")
    image = torch.nn.functional.interpolate(low_res, size=(288, 288), mode="bilinear")
    mask = torch.zeros(1, 1, 288, 288)
    mask[..., 100:, 100:] = 1
    painted = upsample(stage("tiny-upsample-inpaint", dtype), PROMPT, low_res, QUICK, image=image, mask=mask)
    require_picture(painted)
    known = (mask == 0).expand_as(image)
    assert painted[known].equal(image[known])
    assert differences(painted, image) < 20


def editor(dtype):
    return Editor(
        stage("tiny-base-inpaint", dtype),
        stage("tiny-upsample-inpaint", dtype),
        sampling=Sampling("2", "ddim"),
        upsampling=Sampling("1", "ddim", 1.0),
    )


@in_half_precision
@pytest.mark.parametrize("how", BLENDS)
def test_every_blend(dtype, how):
    photo = (drawn("ddim", torch.float32)[:1].movedim(1, -1) + 1) / 2
    mask = torch.zeros(1, 64, 64)
    mask[:, 20:40, 20:40] = 1
    found = squares(mask, crop_factor=2.0)
    edited = edit(editor(dtype), PROMPT, photo, mask, found, blend=Blend(how, 4))
    assert edited.isfinite().all() and edited.shape == photo.shape
    assert not edited.equal(photo) and edited[:, :10].equal(photo[:, :10])


@in_half_precision
def test_outpainting(dtype):
    photo = (drawn("ddim", torch.float32)[:1].movedim(1, -1) + 1) / 2
    wide, mask = regions.pad(photo, 0, 0, 24, 0)
    found = squares(mask, walk=64)
    edited = edit(editor(dtype), PROMPT, wide, mask, found, blend=Blend("hard"))
    assert edited.isfinite().all() and edited.shape == (1, 64, 88, 3)
    assert edited[:, :, :60].equal(photo[:, :, :60])
    assert edited[:, :, 64:].std() > 0.005


# bf16 against fp32, for each way to paint


def scene(side=64):
    picture = drawn("ddim", torch.float32)[1:]
    return torch.nn.functional.interpolate(picture, size=(side, side), mode="bilinear")


def square_mask(side):
    mask = torch.zeros(1, 1, side, side)
    mask[..., side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = 1
    return mask


def enlarged(dtype, seeds, steps, side=32):
    """Pictures, and which of their pixels were painted. The steps are the base model's."""
    options = Sampling("ddim2", "ddim", 1.0, temperature=0.997)
    large = [upsample(stage("tiny-upsample", dtype), PROMPT, scene(side), options, seed=seed) for seed in seeds]
    return torch.cat(large), torch.ones(1, 1, 4 * side, 4 * side)


def repainted(dtype, seeds, steps, hide_until=0.0):
    count, mask = len(seeds), square_mask(64)
    model, options = stage("tiny-base-inpaint", dtype), Sampling(str(steps), "ddpm")
    image = scene().expand(count, -1, -1, -1)
    return inpaint(model, "a star", image, mask, options, hide_until=hide_until, seed=seeds), mask


def repainted_on_tiles(dtype, seeds, steps):
    mask, options = square_mask(288), Sampling("ddim2", "ddim", 1.0)
    model = stage("tiny-upsample-inpaint", dtype)
    painted = [upsample(model, "a star", scene(72), options, image=scene(288), mask=mask, seed=k) for k in seeds]
    return torch.cat(painted), mask


def edited(dtype, seeds, steps, how="feather", padded=False):
    """A photo of 64x64, or one that is made wider by 24 pixels."""
    photo, mask = (scene().movedim(1, -1) + 1) / 2, square_mask(64)[0]
    if padded:
        photo, mask = regions.pad(photo, 0, 0, 24, 0)
    found = squares(mask, walk=64 if padded else None)
    models = Editor(
        stage("tiny-base-inpaint", dtype),
        stage("tiny-upsample-inpaint", dtype),
        sampling=Sampling(str(steps), "ddpm"),
        upsampling=Sampling("ddim2", "ddim", 1.0),
    )
    painted = [edit(models, "a star", photo, mask, found, seed=seed, blend=Blend(how, 4)) for seed in seeds]
    return 2 * torch.cat(painted).movedim(-1, 1) - 1, mask[None]


WAYS = {
    "enlarged": enlarged,
    "enlarged on tiles": functools.partial(enlarged, side=72),
    "repainted": repainted,
    "repainted unseen": functools.partial(repainted, hide_until=0.5),
    "repainted on tiles": repainted_on_tiles,
    **{f"edited, {how}": functools.partial(edited, how=how) for how in BLENDS},
    "outpainted": functools.partial(edited, padded=True),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seeds, steps", [FEW, pytest.param(range(20), 20, marks=pytest.mark.slow)])
def test_bf16_paints_what_fp32_paints(way, seeds, steps):
    exact, painted = WAYS[way](torch.float32, list(seeds), steps)
    half, _ = WAYS[way](torch.bfloat16, list(seeds), steps)
    require_picture(half)
    weights = painted.expand_as(exact)
    off = 127.5 * ((half - exact).abs() * weights).flatten(1).sum(1) / weights.flatten(1).sum(1)
    assert off.median() < 2 and off.max() < 8


@pytest.fixture
def default_float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("sampler", ["ddpm", "dpmpp_2m"])
def test_the_default_dtype_does_not_change_the_picture(sampler, request):
    options = Sampling("3", sampler, threshold=0.9)
    low_res, large = torch.zeros(1, 3, 16, 16), Sampling("2", sampler)

    def draw():
        base = Stage.load("tiny-base")
        small = generate(base, PROMPT, options, seed=3)
        return small, upsample(Stage.load("tiny-upsample"), PROMPT, low_res, large, seed=3)

    expected = draw()
    request.getfixturevalue("default_float64")
    for picture, other in zip(draw(), expected):
        assert picture.dtype == torch.float32 and picture.equal(other)


@in_every_precision
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_name_the_step_and_the_model(dtype, bad):
    damaged = Stage.load("tiny-base", dtype=dtype)
    calls = []

    def damage(module, inputs, output):
        calls.append(len(calls))
        if len(calls) == 3:
            output[0, 0, 5, 5] = bad
        return output

    damaged.model.unet.register_forward_hook(damage)
    for sampler in ("ddpm", "euler"):
        calls.clear()
        with pytest.raises(NotFiniteError, match="tiny-base gave NaN or infinite numbers at step 3 of 5"):
            generate(damaged, PROMPT, Sampling("5", sampler))


# Arguments whose meaning is clear


def test_no_prompts_are_no_pictures():
    assert generate(stage("tiny-base"), []).shape == (0, 3, 64, 64)


def test_one_prompt_may_be_a_text():
    options = Sampling("2", "ddim")
    assert generate(stage("tiny-base"), PROMPT, options).equal(generate(stage("tiny-base"), [PROMPT], options))


def test_a_negative_for_each_picture():
    options = Sampling("2", "ddim")
    seeds = np.array([3, 4])
    both = generate(stage("tiny-base"), [PROMPT] * 2, options, negative=["a star", ""], seed=seeds)
    for k, negative in enumerate(["a star", ""]):
        alone = generate(stage("tiny-base"), PROMPT, options, negative=negative, seed=int(seeds[k]))
        torch.testing.assert_close(both[k : k + 1], alone, rtol=0, atol=1e-3)


def test_one_prompt_enlarges_several_pictures_and_grey_is_a_picture():
    grey = torch.linspace(-1, 1, 16).expand(2, 1, 16, 16)
    large = upsample(stage("tiny-upsample"), PROMPT, grey, QUICK, seed=[1, 2])
    colour = upsample(stage("tiny-upsample"), [PROMPT] * 2, grey.expand(-1, 3, -1, -1), QUICK, seed=[1, 2])
    assert large.shape == (2, 3, 64, 64) and large.equal(colour)


@pytest.mark.parametrize("alone", ["image", "mask"])
def test_image_and_mask_belong_together(alone):
    with pytest.raises(ValueError, match="belong together"):
        upsample(stage("tiny-upsample-inpaint"), PROMPT, torch.zeros(1, 3, 16, 16), **{alone: torch.ones(1, 1, 64, 64)})


def test_seeds_that_do_not_fit_are_named():
    with pytest.raises(OptionError, match="3 seeds for 2 pictures"):
        generate(stage("tiny-base"), [PROMPT] * 2, seed=[1, 2, 3])
