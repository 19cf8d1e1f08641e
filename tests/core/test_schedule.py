"""Respacing and the way between sigmas and timesteps."""

import numpy as np
import pytest
import torch

from glide_core.diffusion.schedule import ALIGNED_SIGMAS, NUM_TIMESTEPS, NoiseSchedule, respace

SCHEDULES = ["squaredcos_cap_v2", "linear"]
BAD = ["0", "1001", "", "fast", "ddim", "ddim7x", "ddim999", "ddim0", "ddim1", "a,b", "1,,2", "-5", "501,1", "1.5"]


@pytest.mark.parametrize("respacing", [*BAD, -5, 0, 2.5, float("nan"), None])
def test_bad_respacing_is_named(respacing):
    with pytest.raises(ValueError, match="respacing") as error:
        respace(respacing)
    assert repr(str(respacing)) in str(error.value)


def test_every_number_of_steps():
    for count in range(1, NUM_TIMESTEPS + 1):
        steps = respace(count)
        assert len(steps) == count
        assert np.all(np.diff(steps) > 0)
        assert 0 <= steps[0] and steps[-1] == NUM_TIMESTEPS - 1


def test_fast27():
    steps = respace("fast27")
    assert len(steps) == 27
    assert NUM_TIMESTEPS - 3 in steps and NUM_TIMESTEPS - 1 not in steps


@pytest.mark.parametrize("count, stride", [(10, 100), (50, 20), (1000, 1)])
def test_ddim_strides(count, stride):
    assert respace(f"ddim{count}") == list(range(0, NUM_TIMESTEPS, stride))


def test_spaces_do_not_matter():
    assert respace(" 10, 20 ") == respace("10,20")


@pytest.mark.parametrize("name", SCHEDULES)
def test_sigmas_fall_to_zero(name):
    sigmas = NoiseSchedule(name).respaced_sigmas(100)
    assert sigmas.shape == (101,) and sigmas.dtype == torch.float32
    assert (sigmas.diff() < 0).all()
    assert sigmas[-1] == 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_timesteps_of_all_sigmas(name):
    schedule = NoiseSchedule(name)
    found = schedule.timestep(torch.from_numpy(schedule.sigmas))
    torch.testing.assert_close(found, torch.arange(NUM_TIMESTEPS).float(), rtol=0, atol=1e-3)
    np.testing.assert_allclose(1 / (1 + schedule.sigmas**2), schedule.alphas_cumprod, rtol=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_timesteps_between_are_linear_in_the_logarithm_of_sigma(name):
    schedule = NoiseSchedule(name)
    between = np.exp(0.75 * np.log(schedule.sigmas[:-1]) + 0.25 * np.log(schedule.sigmas[1:]))
    expected = torch.arange(NUM_TIMESTEPS - 1) + 0.25
    torch.testing.assert_close(schedule.timestep(torch.from_numpy(between)), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", SCHEDULES)
def test_timestep_ends(name):
    schedule = NoiseSchedule(name)
    outside = torch.tensor([0.0, schedule.sigmas[0] / 2, schedule.sigmas[-1] * 2])
    assert schedule.timestep(outside).tolist() == [0, 0, 999]
    assert schedule.timestep(torch.tensor([1.0, 2.0], dtype=torch.float16)).dtype == torch.float32
    assert schedule.timestep(torch.tensor(7.0)).shape == ()


def test_unknown_schedule_is_named():
    with pytest.raises(ValueError, match="cosine"):
        NoiseSchedule("cosine")


def test_published_aligned_steps():
    sigmas = NoiseSchedule("squaredcos_cap_v2").respaced_sigmas("ays10")
    np.testing.assert_allclose(sigmas, [*ALIGNED_SIGMAS[:-1], 0], rtol=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("count", [1, 20, 25, 1000])
def test_any_number_of_aligned_steps(name, count):
    schedule = NoiseSchedule(name)
    sigmas = schedule.respaced_sigmas(f"ays{count}")
    assert len(sigmas) == count + 1
    assert (sigmas.diff() < 0).all()
    assert sigmas[0] <= np.float32(schedule.sigmas[-1])
    half = schedule.respaced_sigmas(f"ays{max(count, 2)}", denoise=0.5)
    assert schedule.timestep(half[:1]) < 500


@pytest.mark.parametrize("respacing", ["ays", "ays0", "ays1001", "aysx"])
def test_bad_aligned_steps_are_named(respacing):
    with pytest.raises(ValueError, match=f"respacing '{respacing}'"):
        NoiseSchedule("linear").respaced_sigmas(respacing)
