"""The objective of the models of things."""

import pytest
import torch

from glide_core.diffusion.schedule import NoiseSchedule
from glide_core.tiny.thing_loss import ThingLoss
from glide_core.train.loss import DiffusionLoss

SCHEDULE, CPU = NoiseSchedule("squaredcos_cap_v2"), torch.device("cpu")


class Guess(torch.nn.Module):
    """Predicts a multiple of its input as eps, and a constant variance."""

    def __init__(self, variance: float = 0.0):
        super().__init__()
        self.factor, self.variance = torch.nn.Parameter(torch.tensor(0.5)), torch.nn.Parameter(torch.tensor(variance))
        self.seen = []

    def forward(self, x, t, tokens, mask):
        self.seen.append((x, t))
        return torch.cat([self.factor * x, self.variance * torch.ones_like(x)], dim=1)


def loss(objective, model, side=64, count=32):
    images = torch.zeros(count, 3, side, side)
    return objective(model, images, None, None, torch.Generator().manual_seed(0), conditions={})


def test_with_constant_noise_and_no_bound_it_is_the_plain_objective():
    plain = DiffusionLoss(SCHEDULE, CPU, (1.0, 1.4), (0.1,))
    ours = ThingLoss(SCHEDULE, CPU, side=64, focus=(1.0, 1.4), offset=(0.1,))
    first, second = loss(plain, one := Guess()), loss(ours, two := Guess())
    assert torch.equal(one.seen[0][1], two.seen[0][1])
    assert second.item() == pytest.approx(first.item(), rel=0.05)  # the generator is asked once more


def test_half_the_side_is_shown_with_half_the_noise():
    ours = ThingLoss(SCHEDULE, CPU, side=64, focus=(1.0, 1.0))
    sigmas = torch.from_numpy(SCHEDULE.sigmas)
    medians = []
    for side in (64, 32):
        loss(ours, model := Guess(), side, 256)
        medians.append(sigmas[model.seen[0][1]].median().item())
    assert medians[0] / medians[1] == pytest.approx(2, rel=0.15)


def test_the_strength_of_the_noise_varies_by_picture():
    ours = ThingLoss(SCHEDULE, CPU, side=64, focus=(1.0, 1.4), spread=0.1)
    loss(ours, model := Guess(), count=256)
    x, t = model.seen[0]
    bar = torch.from_numpy(SCHEDULE.alphas_cumprod).float()[t]
    strengths = x.std(dim=(1, 2, 3)) / (1 - bar).sqrt()
    assert strengths.log().std().item() == pytest.approx(0.1, abs=0.02)


def test_the_bound_trains_the_variance_alone():
    ours = ThingLoss(SCHEDULE, CPU, side=64, focus=(0.0, 1.4), variance=1.0)
    without = ThingLoss(SCHEDULE, CPU, side=64, focus=(0.0, 1.4))
    gradients = []
    for objective in (ours, without):
        model = Guess(variance=0.3)
        loss(objective, model).backward()
        gradients.append((model.factor.grad.item(), model.variance.grad.item() if objective is ours else 0.0))
    assert gradients[0][0] == pytest.approx(gradients[1][0], rel=1e-5)
    assert gradients[0][1] != 0


def test_the_bound_is_least_at_the_true_variance():
    """With perfect eps the right variance is the smallest useful one, which the channels call -1."""
    ours = ThingLoss(SCHEDULE, CPU, side=64, focus=(0.0, 1.4), variance=1.0)
    t = torch.tensor([5, 100, 500, 900])
    bounds = [ours._bound(torch.zeros(4, 3, 2, 2), torch.full((4, 3, 2, 2), v), t).item() for v in (-1.0, -0.5, 1.0)]
    assert bounds[0] == pytest.approx(0, abs=1e-6) and bounds == sorted(bounds)
