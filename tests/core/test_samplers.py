"""Samplers against closed forms: for data from N(MEAN, STD^2) the best x_start and the flow's solution are known."""

import math

import pytest
import torch

from glide_core.diffusion.noise import StepNoise, seeded_noise
from glide_core.diffusion.samplers import (
    SAMPLERS,
    Variance,
    repainted_steps,
    sample_ddim,
    sample_ddpm,
    sample_euler,
)
from glide_core.diffusion.schedule import NoiseSchedule

MEAN, STD = 0.3, 0.5
SHAPE = (2, 3, 8, 8)
SCHEDULES = ["squaredcos_cap_v2", "linear"]


def gaussian(x, sigma):
    variance = sigma.view(-1, 1, 1, 1) ** 2
    return (STD**2 * x + variance * MEAN) / (STD**2 + variance)


def flow(x, sigma, sigma_end):
    """The probability-flow ODE's solution at sigma_end."""
    return MEAN + (x - MEAN) * math.sqrt((STD**2 + sigma_end**2) / (STD**2 + sigma**2))


def start(sigma, shape=SHAPE, seed=0):
    return seeded_noise(shape, seed).double() * math.sqrt(1 + sigma**2)


def geometric(steps):
    return torch.logspace(1, -1, steps + 1, dtype=torch.float64)


def test_ddim_without_noise_is_euler():
    sigmas = NoiseSchedule("linear").respaced_sigmas(20)
    x = start(float(sigmas[0]))
    torch.testing.assert_close(sample_ddim(gaussian, x, sigmas), sample_euler(gaussian, x, sigmas))


@pytest.mark.parametrize("name, order", [("ddim", 1), ("euler", 1), ("dpmpp_2m", 2), ("plms", 2)])
def test_order_of_convergence(name, order):
    def error(steps):
        sigmas = geometric(steps)
        x = start(10.0)
        return (SAMPLERS[name](gaussian, x, sigmas) - flow(x, 10.0, 0.1)).abs().max()

    ratio = float(error(64) / error(128))
    assert 2**order * 0.8 < ratio < 2**order * 2


@pytest.mark.parametrize("name", ["ddim", "euler", "dpmpp_2m", "plms"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_flow_from_pure_noise(name, schedule):
    """From the schedule's own first sigma, which is 20291 for the base."""
    sigmas = NoiseSchedule(schedule).respaced_sigmas(50)
    x = start(float(sigmas[0]))
    expected = flow(x, float(sigmas[0]), 0)
    assert (SAMPLERS[name](gaussian, x, sigmas) - expected).abs().max() < 0.1


@pytest.mark.parametrize("name, options", [("ddpm", {}), ("ddim", {"eta": 1.0})])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_stochastic_samples_follow_the_data(name, options, schedule):
    sigmas = NoiseSchedule(schedule).respaced_sigmas(200)
    shape = (1, 3, 100, 100)
    x = SAMPLERS[name](gaussian, start(float(sigmas[0]), shape), sigmas, noise=StepNoise(0, 1), **options)
    assert abs(x.mean() - MEAN) < 0.01
    assert abs(x.std() - STD) < 0.02


@pytest.mark.parametrize("name", SAMPLERS)
def test_repainted_follows_the_data_and_repeats_the_steps_between(name):
    sigmas = NoiseSchedule("linear").respaced_sigmas(100)
    asked, reported = [], []

    def model(x, sigma):
        asked.append(float(sigma[0]))
        return gaussian(x, sigma)

    x = start(float(sigmas[0]), (1, 3, 100, 100))
    sampler = repainted_steps(SAMPLERS[name], 3, 0.5, 5.0)
    x = sampler(model, x, sigmas, callback=lambda step: reported.append(step["i"]), noise=StepNoise(0, 1))
    assert abs(x.mean() - MEAN) < 0.02
    assert abs(x.std() - STD) < 0.05
    pairs = zip(sigmas.tolist(), sigmas.tolist()[1:])
    times = [3 if sigma <= 5 and sigma_next >= 0.5 else 1 for sigma, sigma_next in pairs]
    assert 5 < times.count(3) < 95
    assert reported == [i for i, count in enumerate(times) for _ in range(count)]
    assert asked == [float(sigmas[i]) for i in reported]


@pytest.mark.parametrize("name", SAMPLERS)
def test_repainted_once_is_the_sampler_itself(name):
    sigmas = NoiseSchedule("linear").respaced_sigmas(12)
    x = start(float(sigmas[0]))
    seed = {"seed": 3} if name == "ddpm" else {}  # what ComfyUI passes, and the model takes

    def model(x, sigma, seed=None):
        return gaussian(x, sigma)

    expected = SAMPLERS[name](model, x, sigmas, seed)
    assert torch.equal(repainted_steps(SAMPLERS[name], 1, 0.5, 5.0)(model, x, sigmas, seed), expected)
    assert not torch.equal(repainted_steps(SAMPLERS[name], 2, 0.5, 5.0)(model, x, sigmas, seed), expected)


def test_learned_variance_gives_the_exact_one():
    """In few steps the posterior's variance is too small; the true one of this data is between it and beta."""
    sigmas = NoiseSchedule("linear").respaced_sigmas(10)
    variance = Variance()
    bars = (1 / (1 + sigmas.double() ** 2)).tolist()
    positions = {}
    for sigma, abar, abar_prev in zip(sigmas.tolist(), bars, bars[1:]):
        beta = 1 - abar / abar_prev
        if abar_prev < 1:
            posterior = beta * (1 - abar_prev) / (1 - abar)
            of_x_start = 1 / (1 / STD**2 + abar / (1 - abar))
            true = posterior + (beta * math.sqrt(abar_prev) / (1 - abar)) ** 2 * of_x_start
            positions[sigma] = 2 * math.log(true / posterior) / math.log(beta / posterior) - 1

    def model(x, sigma):
        variance.put(torch.full_like(x, positions.get(float(sigma[0]), 0)))
        return gaussian(x, sigma)

    x = start(float(sigmas[0]), (1, 3, 100, 100))
    learned = sample_ddpm(model, x, sigmas, noise=StepNoise(0, 1), variance=variance)
    posterior = sample_ddpm(gaussian, x, sigmas, noise=StepNoise(0, 1))
    assert all(-1 < position < 1 for position in positions.values())
    # The last step returns the mean of x_start, and so lacks its variance.
    last = 1 / (1 + STD**2 / float(sigmas[-2]) ** 2)
    assert abs(learned.std() - STD * math.sqrt(1 - last)) < 0.005
    assert posterior.std() < learned.std() - 0.01


@pytest.mark.parametrize("position, log_variance", [(-1.0, "posterior"), (1.0, "beta"), (0.0, "middle")])
def test_variance_interpolates_in_the_logarithm(position, log_variance):
    abar, abar_prev = 0.5, 0.8
    beta = 1 - abar / abar_prev
    posterior = beta * (1 - abar_prev) / (1 - abar)
    expected = {"posterior": posterior, "beta": beta, "middle": math.sqrt(beta * posterior)}[log_variance]
    sigmas = torch.tensor([1 / abar - 1, 1 / abar_prev - 1], dtype=torch.float64).sqrt()
    variance = Variance()

    def model(x, sigma):
        variance.put(torch.full_like(x, position))
        return torch.zeros_like(x)

    zeros = torch.zeros(SHAPE, dtype=torch.float64)
    x = sample_ddpm(model, zeros, sigmas, noise=torch.ones_like, variance=variance)
    torch.testing.assert_close(x * math.sqrt(abar_prev), torch.full_like(x, math.sqrt(expected)))


def test_variance_is_taken_once():
    variance, x = Variance(), torch.zeros(SHAPE)
    assert variance.take(x) is None
    variance.put(torch.ones(SHAPE, dtype=torch.float16))
    taken = variance.take(x)
    assert taken.dtype == x.dtype and taken.eq(1).all()
    assert variance.take(x) is None


def test_variance_of_another_shape_is_ignored():
    variance = Variance()
    variance.put(torch.ones(1, 3, 8, 8))
    assert variance.take(torch.zeros(SHAPE)) is None
    variance.put(torch.zeros(1, 3, 4, 4))
    sigmas = torch.tensor([1.0, 0.5, 0.0])
    x = start(1.0)
    noise = StepNoise(0, 2)(x)
    unused = sample_ddpm(gaussian, x, sigmas, noise=lambda x: noise, variance=variance)
    torch.testing.assert_close(unused, sample_ddpm(gaussian, x, sigmas, noise=lambda x: noise))


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_one_step_returns_x_start(name, schedule):
    sigmas = NoiseSchedule(schedule).respaced_sigmas(1)
    x_start = seeded_noise(SHAPE, 1).clamp(-1, 1)
    x = SAMPLERS[name](lambda x, sigma: x_start, start(float(sigmas[0])).float(), sigmas)
    torch.testing.assert_close(x, x_start)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("respacing", [2, 7, "fast27"])
def test_last_step_returns_x_start(name, schedule, respacing):
    sigmas = NoiseSchedule(schedule).respaced_sigmas(respacing)
    steps = []
    x = SAMPLERS[name](gaussian, start(float(sigmas[0])).float(), sigmas, callback=steps.append)
    assert x.isfinite().all()
    torch.testing.assert_close(x, steps[-1]["denoised"])


@pytest.mark.parametrize("name", SAMPLERS)
def test_repeated_sigmas_do_nothing(name):
    """ComfyUI's schedulers repeat sigmas when they are asked for more steps than there are timesteps."""
    x = start(2.0)
    repeated = SAMPLERS[name](gaussian, x, torch.tensor([2.0, 2.0, 1.0, 1.0, 0.0]))
    torch.testing.assert_close(repeated, SAMPLERS[name](gaussian, x, torch.tensor([2.0, 1.0, 0.0])))


@pytest.mark.parametrize("name", SAMPLERS)
def test_callback_reports_every_model_call(name):
    sigmas, calls, steps = geometric(6), [], []

    def model(x, sigma, extra):
        assert sigma.shape == (SHAPE[0],) and sigma.dtype == x.dtype
        calls.append(extra)
        return gaussian(x, sigma)

    x = start(10.0)
    before = x.clone()
    SAMPLERS[name](model, x, sigmas, {"extra": 1}, steps.append)
    assert calls == [1] * 6
    assert [step["i"] for step in steps] == list(range(6))
    assert [step["sigma"] for step in steps] == list(sigmas[:-1])
    assert all(step["denoised"].shape == SHAPE for step in steps)
    assert x.equal(before)


@pytest.mark.parametrize("name", SAMPLERS)
def test_callback_can_stop(name):
    calls = []

    def stop(step):
        calls.append(step["i"])
        if step["i"] == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        SAMPLERS[name](gaussian, start(10.0), geometric(6), callback=stop)
    assert calls == [0, 1, 2]


def test_step_noise_defaults_to_the_seed_that_comfyui_passes():
    def model(x, sigma, seed):
        return gaussian(x, sigma)

    x, sigmas = start(10.0), geometric(4)
    expected = sample_ddpm(gaussian, x, sigmas, noise=StepNoise(3, 2))
    assert sample_ddpm(model, x, sigmas, {"seed": 3}).equal(expected)
    assert not sample_ddpm(model, x, sigmas, {"seed": 4}).equal(expected)
