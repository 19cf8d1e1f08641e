"""Grain of pictures whose grain is known, and the table over samplers and precisions."""

import pytest
import torch

from glide_core import cli
from glide_core.diffusion.samplers import SAMPLERS
from glide_core.tiny.grain import grain


def test_grain_is_the_mean_step_between_neighbours():
    stripes = torch.tensor([-1.0, 1.0]).repeat(8).expand(1, 3, 4, 16)
    flat = torch.full((1, 3, 4, 16), 0.3)
    ramp = torch.linspace(-1, 1, 16).expand(1, 3, 4, 16)
    assert grain(torch.cat([stripes, flat, ramp])).tolist() == pytest.approx([255, 0, 255 / 15], abs=1e-3)


def test_the_table(capsys):
    cli.main(["bench", "quality", "--measure", "grain", "--seeds", "1", "--grain-dtype", "fp32"])
    head, _, *rows = capsys.readouterr().out.strip().splitlines()
    assert "median grain" in head
    assert [row.split(" | ")[0] for row in rows] == [f"| {name}" for name in SAMPLERS]
