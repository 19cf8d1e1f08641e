"""Inpainting in glide_core: the reference's run, the mask rule, soft masks, context, tiles."""

import dataclasses

import numpy as np
import pytest
import torch
from test_golden_sampling import GoldenNoise, close

import inpaint_models
from glide_core.diffusion.guidance import Denoiser, TextEncoding
from glide_core.diffusion.inpainting import (
    DECISIVE,
    REPAINT_PASSES,
    InpaintDenoiser,
    Inpainting,
    fit_mask,
    repainted,
    visible_sigma,
)
from glide_core.diffusion.noise import picture_seed
from glide_core.diffusion.samplers import sample_ddpm
from glide_core.diffusion.schedule import NoiseSchedule
from glide_core.diffusion.tiles import starts, tiled
from glide_core.errors import GlideError
from glide_core.pipeline import Sampling, Stage, inpaint, upsample
from golden import Golden

golden = Golden()
QUICK = Sampling("4", "euler", 2.0)
HOLE = (..., slice(16, 48), slice(20, 52))


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {kind: Stage.load(inpaint_models.write(kind, folder)) for kind in ("base", "upsample")}


def picture(height=64, width=64, seed=0):
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return torch.stack([x, y, (5 * x * y + seed).sin()])[None]


def hole(size=64, where=HOLE):
    mask = torch.zeros(1, 1, size, size)
    mask[where] = 1
    return mask


def test_the_reference_run():
    name = "inpaint_ddpm8"
    top, bottom, left, right = golden.meta["inpaint_hole_rows_cols"]
    mask = hole(where=(..., slice(top, bottom), slice(left, right)))
    image = golden.draw("image", (2, 3, 64, 64)).tanh()[:1].double()
    model = golden.model(golden.small_config("base-inpaint"), torch.float64)
    schedule = NoiseSchedule(model.config.noise_schedule)
    with torch.no_grad():
        texts = model.text(*golden.tokens(golden.meta["prompts"]["trajectories"]))
    cond, uncond = (TextEncoding(*(part[i : i + 1] for part in texts)) for i in (0, 1))
    denoiser = Denoiser(
        model=model,
        schedule=schedule,
        cond=cond,
        uncond=uncond,
        guidance_scale=golden.meta["guidance_scale"][name],
        as_reference=True,
    )
    sigmas = schedule.respaced_sigmas("8")
    noise = GoldenNoise(name, (2, 3, 64, 64), torch.float64)
    x = noise() * (1 + sigmas[0] ** 2).sqrt()
    inpainter = InpaintDenoiser(denoiser, Inpainting(image, mask.double()), sigmas)
    x = sample_ddpm(inpainter, x, sigmas, noise=noise, variance=denoiser.variance)
    close(x, golden.npz("trajectories_small.npz")[name])


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "plms", "dpmpp_2m", "euler"])
def test_known_pixels_are_exact(stages, sampler):
    image, mask = picture(), hole()
    options = dataclasses.replace(QUICK, sampler=sampler)
    out = inpaint(stages["base"], ["a red circle"], image, mask, options, seed=3)
    known = (mask == 0).expand_as(image)
    assert torch.equal(out[known], image[known])
    assert (out - image)[~known].abs().mean() > 0.05
    assert out.abs().max() <= 1


def test_the_upsampler_keeps_known_pixels(stages):
    image, mask = picture(128, 128), hole(128, (..., slice(0, 50), slice(60, 128)))
    low_res = torch.nn.functional.avg_pool2d(image, 4)
    out = upsample(stages["upsample"], ["a red circle"], low_res, Sampling("2", "ddim", 1.0), image=image, mask=mask)
    known = (mask == 0).expand_as(image)
    assert torch.equal(out[known], image[known]) and not torch.equal(out, image)


def test_any_touched_pixel_is_repainted():
    mask = torch.zeros(1, 1, 256, 256)
    mask[..., 7, 8] = 1
    mask[..., 100:105, 200] = 0.5
    small = fit_mask(mask, (64, 64))
    area = torch.nn.functional.avg_pool2d(mask, 4)
    assert torch.equal(small > 0, area > 0)
    assert small[..., 1, 2] == 1 and small[..., 25, 50] == 0.5
    for size in ((63, 50), (300, 257), (256, 256)):
        assert (fit_mask(mask, size) > 0).sum() >= 2


def test_soft_masks_repaint_by_degree(stages):
    mask = torch.tensor([0, 0.3, 0.5, 0.975, 0.98, 1.0]).view(1, 1, 1, -1)
    for timestep, free in (
        (999, "000011"),
        (975, "000011"),
        (970, "000111"),
        (499, "001111"),
        (299, "011111"),
        (0, "011111"),
    ):
        assert repainted(mask, torch.tensor([float(timestep)]), 999.0).flatten().tolist() == [c == "1" for c in free]
    image = picture()
    changes = []
    for degree in (0.25, 0.6, 1.0):
        out = inpaint(stages["base"], ["a red circle"], image, degree * hole(), Sampling("20", "ddim", 2.0))
        changes.append((out - image)[HOLE].abs().mean())
    assert changes[0] < changes[1] < changes[2]


def test_context(stages):
    sigmas = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.0])
    assert [visible_sigma(sigmas, f) for f in (0, 0.25, 0.5, 0.6, 1)] == [8, 4, 2, 1, 0]

    def run(image, hide_until):
        return inpaint(stages["base"], ["a red circle"], image, hole(), QUICK, hide_until=hide_until)

    image, other = picture(), picture(seed=2)
    visible, hidden, half = (run(image, f) for f in (0.0, 1.0, 0.5))
    assert not torch.equal(visible, hidden) and not torch.equal(half, hidden) and not torch.equal(half, visible)
    with pytest.raises(ValueError, match="hide_until is 2"):
        run(other, 2)


def test_hidden_pixels_do_not_reach_the_model(stages):
    seen = []
    unet = stages["base"].model.unet
    hook = unet.register_forward_pre_hook(lambda module, args: seen.append(args[0][:, 3:7].abs().sum(dim=(1, 2, 3))))
    try:
        inpaint(stages["base"], ["x"], picture(), hole(), QUICK, hide_until=0.5)
    finally:
        hook.remove()
    assert [bool((s > 0).all()) for s in seen] == [False, False, True, True]


def test_decisive_steps_are_taken_again_while_the_surroundings_are_hidden(stages):
    def steps_taken(hide_until, **kwargs):
        taken = []
        inpaint(
            stages["base"],
            ["x"],
            picture(),
            hole(),
            Sampling("10", "ddpm", 2.0),
            hide_until=hide_until,
            callback=lambda step, total, x_start: taken.append(step),
            **kwargs,
        )
        return taken

    once = list(range(10))
    sigmas = stages["base"].schedule.respaced_sigmas("10").tolist()
    decisive = [i for i in once if DECISIVE[0] <= sigmas[i + 1] and sigmas[i] <= DECISIVE[1]]
    assert len(decisive) > 2
    assert steps_taken(0.0) == steps_taken(1.0, repaint_passes=1) == once
    assert steps_taken(1.0) == sorted(once + (REPAINT_PASSES - 1) * decisive)
    shown = decisive[1] + 1
    assert steps_taken(shown / 10, repaint_passes=2) == sorted(once + decisive[:2])
    with pytest.raises(ValueError, match="repaint_passes is 0"):
        steps_taken(1.0, repaint_passes=0)


def test_sdedit_stays_near_the_picture(stages):
    image = picture()
    near, far = (
        inpaint(
            stages["base"], ["a red circle"], image, torch.ones(1, 1, 64, 64), Sampling("20", "ddim", 2.0), denoise=d
        )
        for d in (0.2, 1.0)
    )
    assert (near - image).abs().mean() < (far - image).abs().mean() / 2


def test_a_batch_shares_a_mask_and_repeats_alone(stages):
    images = torch.cat([picture(), picture(seed=2)])
    both = inpaint(stages["base"], ["a", "b"], images, hole(), QUICK, seed=4)
    alone = inpaint(stages["base"], ["b"], images[1:], hole(), QUICK, seed=picture_seed(4, 1))
    assert ((both[1:] - alone).abs() > 0.02).float().mean() < 0.01


@pytest.mark.parametrize(
    "change, says",
    [
        ({"mask": torch.ones(3, 1, 64, 64)}, "a batch of 3 for 1"),
        ({"image": picture(64, 65)}, "multiples of 8"),
        ({"mask": torch.full((1, 1, 64, 64), float("nan"))}, "NaN"),
        ({"image": picture(), "prompts": ["a", "b", "c"], "mask": hole().repeat(2, 1, 1, 1)}, "a batch of 2 for 3"),
        ({"image": picture().repeat(2, 1, 1, 1), "prompts": ["a", "b", "c"]}, "a batch of 2 for 3"),
        ({"image": picture()[0]}, r"\[batch, 3, height, width\]"),
        ({"image": picture().repeat(1, 2, 1, 1)[:, :4]}, r"\[batch, 3, height, width\]"),
        ({"mask": hole()[0]}, r"\[batch, 1, height, width\]"),
        ({"repaint_passes": 1.5}, "repaint_passes is 1.5"),
        ({"prompts": [3]}, "prompts: 3 is not a text"),
        ({"negative": ["x", "y"]}, "2 texts for 1 prompts"),
    ],
)
def test_what_does_not_fit_is_named(stages, change, says):
    arguments = {"prompts": ["a"], "image": picture(), "mask": hole()} | change
    with pytest.raises(GlideError, match=says):
        inpaint(stages["base"], **arguments)


@pytest.mark.parametrize("width, height", [(17, 16), (15, 33)])
def test_pictures_of_any_size_are_enlarged_and_repainted(width, height):
    """What is added to reach the models' sizes is cut off again, and the hole goes on in it."""
    low_res, image = picture(height, width), picture(4 * height, 4 * width)
    mask = torch.zeros(1, 1, 4 * height, 4 * width)
    mask[..., 2 * width :] = 1
    plain = upsample(Stage.load("tiny-upsample"), "a star", low_res, QUICK)
    painted = upsample(Stage.load("tiny-upsample-inpaint"), "a star", low_res, QUICK, image=image, mask=mask)
    assert plain.shape == painted.shape == image.shape
    assert painted[..., : 2 * width].equal(image[..., : 2 * width])
    assert not painted[..., 2 * width :].equal(image[..., 2 * width :])


def test_an_empty_picture_is_refused():
    with pytest.raises(GlideError, match="low_res has the shape"):
        upsample(Stage.load("tiny-upsample"), "a star", torch.zeros(1, 3, 0, 8), QUICK)


def test_a_plain_model_cannot_inpaint():
    with pytest.raises(ValueError, match="base-inpaint"):
        inpaint(Stage.load("tiny-base"), ["a"], picture(), hole())


@pytest.mark.parametrize("length, tile, overlap", [(512, 256, 64), (1024, 256, 64), (257, 256, 64), (300, 256, 0)])
def test_windows_cover_and_overlap(length, tile, overlap):
    tops = starts(length, tile, overlap)
    assert tops[0] == 0 and tops[-1] == length - tile
    assert all(a < b <= a + tile - overlap for a, b in zip(tops, tops[1:]))


def test_tiling_a_local_function_is_that_function():
    x = torch.randn(2, 3, 70, 50, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(tiled(lambda part: 2 * part + 1, x, 32), 2 * x + 1, atol=1e-5)
    assert tiled(lambda part: part[:, :2], x, 32).shape == (2, 2, 70, 50)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("tile", [32, 256])
def test_tiling_is_exact_in_every_dtype(dtype, tile):
    """Windows that agree on every pixel leave it as it is, also in the last row and column of the largest windows."""
    x = torch.randn(1, 2, tile + 40, tile + 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    result = tiled(lambda part: part, x, tile)
    assert result.dtype == dtype
    assert torch.equal(result, x) or dtype == torch.float32 and torch.allclose(result, x, rtol=1e-6)


def test_a_large_hole_has_no_seams_between_tiles(stages):
    """Steps across the borders of windows are no larger than elsewhere."""
    image = torch.zeros(1, 3, 320, 320)
    out = upsample(
        stages["upsample"],
        ["a"],
        torch.zeros(1, 3, 80, 80),
        Sampling("3", "ddim", 1.0),
        image=image,
        mask=torch.ones(1, 1, 1, 1),
    )
    steps = (out[..., 1:] - out[..., :-1]).abs().mean(dim=(0, 1, 2)).numpy()
    borders = [start + offset for start in starts(320, 256, 64) for offset in (-1, 255) if 0 < start + offset < 319]
    assert borders and max(steps[borders]) < 1.5 * np.median(steps)
