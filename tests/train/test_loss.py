"""The training objective: which timesteps it draws, how it weighs them, and what noise it adds."""

import numpy as np
import pytest
import torch

from glide_core.diffusion.schedule import NoiseSchedule
from glide_core.train.loss import DiffusionLoss, stratified_timesteps, timestep_density, timestep_weights


class Still(torch.nn.Module):
    """A model that predicts zeros and keeps what it was shown."""

    def forward(self, noisy, t, tokens, mask):
        self.noisy = noisy
        return torch.zeros_like(noisy).repeat(1, 2, 1, 1)


def value(objective, images, model=None, **options):
    generator = torch.Generator().manual_seed(0)
    return float(objective(model or Still(), images, None, None, generator, conditions={}, **options))


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
    assert log_sigma.min() < -2 and log_sigma.max() > 4  # one draw of ten is uniform


def at_sigma(sigma):
    """An objective that always draws the timestep nearest to this sigma."""
    schedule = NoiseSchedule("linear")
    objective = DiffusionLoss(schedule, torch.device("cpu"))
    nearest = int(np.argmin(abs(schedule.sigmas - sigma)))
    objective.cumulative = (torch.arange(1000) >= nearest).double()
    return objective


@pytest.mark.parametrize("sigma, factor, tolerance", [(0.1, 2, 0.1), (100, 1, 0.02)])
def test_pixel_weights_count_where_the_noise_does_not_hide_the_picture(sigma, factor, tolerance):
    images, half = torch.zeros(64, 3, 8, 8), torch.zeros(64, 1, 8, 8)
    half[..., :4] = 2.0  # half of the pixels weigh three times as much, so all together twice
    plain, weighted = value(at_sigma(sigma), images), value(at_sigma(sigma), images, pixel_weights=half)
    assert weighted == pytest.approx(factor * plain, rel=tolerance)


def spread_of_means(offset, side):
    """Standard deviation, over many pictures, of the mean of a corner of this side in a noised black picture."""
    model = Still()
    objective = DiffusionLoss(NoiseSchedule("linear"), torch.device("cpu"), offset=offset)
    value(objective, torch.zeros(200, 3, 16, 16), model)
    return float(model.noisy[..., :side, :side].flatten(2).mean(dim=2).std())


def test_offset_noise_moves_the_mean_of_a_picture_or_of_parts():
    assert spread_of_means((), 16) < 0.07
    assert 0.2 < spread_of_means((0.5,), 16) < 0.4
    assert spread_of_means((0.0, 0.5), 16) < 0.15  # parts of 4x4 pixels are moved each for itself
    assert spread_of_means((), 4) < 0.3 < spread_of_means((0.0, 0.5), 4)


@pytest.mark.parametrize("name", ["linear", "squaredcos_cap_v2"])
def test_weights_grow_towards_noise(name):
    schedule = NoiseSchedule(name)
    weights = timestep_weights(schedule)
    assert (weights.diff() >= 0).all() and weights.max() <= 500
    bar = schedule.alphas_cumprod[500]
    assert weights[500] == pytest.approx(min(1 / bar, 5 / bar**0.5) * min(1, 5 * (1 - bar) / bar))
