"""Muon: what it does to a weight, against torch's own, which computes in bf16."""

import torch
from torch import nn

from glide_core.train.optim import ITERATIONS, Muon, orthogonalised

SHAPES = [(8, 24), (24, 8), (8, 24), (16, 4, 3, 3), (16, 16)]


def test_updates_are_those_of_torch_but_for_bf16():
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.zeros(shape)) for shape in SHAPES]
    theirs = [nn.Parameter(torch.zeros(shape).flatten(1)) for shape in SHAPES]
    muon = Muon(ours, lr=0.01)
    torchs = torch.optim.Muon(theirs, lr=0.01, weight_decay=0, adjust_lr_fn="match_rms_adamw", ns_steps=ITERATIONS)
    for _ in range(3):
        for mine, other in zip(ours, theirs):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.flatten(1)
        muon.step()
        torchs.step()
    for mine, other in zip(ours, theirs):
        difference = (mine.flatten(1) - other).norm() / other.norm()
        assert difference < 0.03, (tuple(mine.shape), difference)


def test_all_directions_are_updated_alike():
    torch.manual_seed(0)
    matrices = torch.randn(3, 12, 40) * torch.logspace(0, -0.5, 12)[:, None]
    values = torch.linalg.svdvals(orthogonalised(matrices))
    assert values.min() > 0.6 and values.max() < 1.3
    assert torch.allclose(orthogonalised(matrices.mT.contiguous()), orthogonalised(matrices).mT, atol=1e-6)


def test_in_bf16_the_updates_are_as_good_and_of_the_weights_own_type():
    torch.manual_seed(0)
    matrices = torch.randn(3, 12, 40) * torch.logspace(0, -0.5, 12)[:, None]
    made = orthogonalised(matrices, torch.bfloat16)
    assert made.dtype == torch.float32
    values = torch.linalg.svdvals(made)
    assert values.min() > 0.55 and values.max() < 1.35
    difference = (made - orthogonalised(matrices)).norm() / made.norm()
    assert 0 < difference < 0.03


def test_a_matrix_of_zeros_stays_finite():
    assert torch.equal(orthogonalised(torch.zeros(2, 4, 6)), torch.zeros(2, 4, 6))
