"""Schedules and whole sampling runs are the reference's."""

import numpy as np
import pytest
import torch

from glide_core.diffusion.guidance import Denoiser, TextEncoding
from glide_core.diffusion.samplers import sample_ddim, sample_ddpm
from glide_core.diffusion.schedule import NoiseSchedule, respace
from glide_core.images import quantize
from golden import DEVICES, Golden

golden = Golden()
SCHEDULES = golden.json("schedules.json")
TOLERANCE = 2e-3


@pytest.mark.parametrize("name", SCHEDULES["schedules"])
def test_schedule(name):
    expected, schedule = SCHEDULES["schedules"][name], NoiseSchedule(name)
    np.testing.assert_allclose(schedule.alphas_cumprod[::50], expected["alphas_cumprod_every_50"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(schedule.alphas_cumprod[-1], expected["last"], rtol=1e-7)
    for respacing, betas in expected["respaced_betas"].items():
        bar = schedule.alphas_cumprod[respace(respacing)]
        np.testing.assert_allclose(1 - bar / [1, *bar[:-1]], betas, rtol=0, atol=1e-10)


@pytest.mark.parametrize("respacing", SCHEDULES["timesteps"])
def test_respacing(respacing):
    assert respace(respacing) == SCHEDULES["timesteps"][respacing]


class GoldenNoise:
    """x_T is drawn as `<name>:0`, the noise of the k-th step as `<name>:k`."""

    def __init__(self, name, shape, dtype, device="cpu"):
        self.name, self.shape, self.dtype, self.device, self.step = name, shape, dtype, device, 0

    def __call__(self, x=None):
        noise = golden.draw(f"{self.name}:{self.step}", self.shape)[:1]
        self.step += 1
        return noise.to(self.device, self.dtype)


def run(kind, noise, respacing, sampler, guidance_scale, conditions=None, temperature=1.0, **options):
    model = golden.model(golden.small_config(kind), noise.dtype, noise.device)
    conditions = {name: value.to(noise.device, noise.dtype) for name, value in (conditions or {}).items()}
    schedule = NoiseSchedule(model.config.noise_schedule)
    with torch.no_grad():
        texts = model.text(*(part.to(noise.device) for part in golden.tokens(golden.meta["prompts"]["trajectories"])))
    cond, uncond = (TextEncoding(*(part[i : i + 1] for part in texts)) for i in (0, 1))
    denoiser = Denoiser(
        model=model,
        schedule=schedule,
        cond=cond,
        uncond=uncond,
        guidance_scale=guidance_scale,
        conditions=conditions,
        as_reference=True,
    )
    if sampler is sample_ddpm:
        options["variance"] = denoiser.variance
    options["noise"] = noise
    sigmas = schedule.respaced_sigmas(respacing)
    x = noise() * temperature * (1 + sigmas[0] ** 2).sqrt()
    return sampler(denoiser, x, sigmas, **options)


def close(x, expected):
    worst = np.abs(x.cpu().numpy() - expected).max()
    assert worst < TOLERANCE, f"differs by {worst:.2e}"


# At timestep 999 x_start is 20291 times the difference of two nearly equal numbers: float32 rounding, which differs
# from CPU to CPU, moves single pixels of base_ddpm8 by 7e-3. In float64 the runs agree to 4e-5 on any CPU.
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "name, respacing, sampler, options",
    [
        ("base_ddpm8", "8", sample_ddpm, {}),
        ("base_ddim8", "ddim8", sample_ddim, {}),
        ("base_ddim8_eta1", "ddim8", sample_ddim, {"eta": 1.0}),
    ],
)
def test_base_runs(name, respacing, sampler, options, device):
    noise = GoldenNoise(name, (2, 3, 64, 64), torch.float64, device)
    x = run("base", noise, respacing, sampler, golden.meta["guidance_scale"][name], **options)
    close(x, golden.npz("trajectories_small.npz")[name])


@pytest.mark.parametrize("device", DEVICES)
def test_inpainting_run_pins_the_known_region(device):
    name = "inpaint_ddpm8"
    top, bottom, left, right = golden.meta["inpaint_hole_rows_cols"]
    mask = torch.ones(1, 1, 64, 64)
    mask[..., top:bottom, left:right] = 0
    image = golden.draw("image", (2, 3, 64, 64)).tanh()[:1]
    noise = GoldenNoise(name, (2, 3, 64, 64), torch.float64, device)
    conditions = {"image": image, "known": mask}
    x = run("base-inpaint", noise, "8", sample_ddpm, golden.meta["guidance_scale"][name], conditions)
    close(x, golden.npz("trajectories_small.npz")[name])


@pytest.mark.parametrize("device", DEVICES)
def test_upsampler_run(device, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    temperature = golden.meta["upsample_temp"]
    noise = GoldenNoise("upsample_fast27", (2, 3, 256, 256), torch.float32, device)
    low_res = quantize(golden.draw("low_res", (2, 3, 64, 64)).tanh()[:1])
    x = run("upsample", noise, "fast27", sample_ddim, 1.0, {"low_res": low_res}, temperature)
    close(x[..., ::4, ::4], golden.npz("trajectories_small.npz")[f"upsample_fast27_temp{temperature}"])
