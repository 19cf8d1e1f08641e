"""Regions erased in the training of inpainting models."""

import numpy as np
import pytest

from glide_core.train import masks


def drawn(draw, seed, side=64):
    erased = np.zeros((side, side), np.uint8)
    draw(erased, np.random.default_rng(seed))
    return erased


def test_masks_are_binary_and_each_erases_something():
    known = masks.random_masks(np.random.default_rng(0), 300, 64)
    assert known.shape == (300, 1, 64, 64) and known.dtype == np.float32
    assert set(np.unique(known)) == {0, 1}
    shares = 1 - known.mean(axis=(1, 2, 3))
    assert shares.min() > 0
    assert 0.15 < (shares == 1).mean() < 0.35  # text to image is not forgotten
    assert (shares < 0.3).mean() > 0.15 and ((shares > 0.3) & (shares < 0.9)).mean() > 0.25


def test_a_mask_is_a_function_of_the_generator_alone():
    one, two = (masks.random_masks(np.random.default_rng(3), 8, 32) for _ in range(2))
    assert (one == two).all() and (one[0] != one[1]).any()


@pytest.mark.parametrize("draw", masks.SHAPES)
@pytest.mark.parametrize("side", [16, 64, 256])
def test_every_kind_at_every_size(draw, side):
    shares = [drawn(draw, seed, side).mean() for seed in range(40)]
    assert 0 < np.mean(shares) <= 1
    assert len(set(shares)) > 10 or draw is masks.everything


def test_strokes_are_thin_and_half_planes_are_not():
    strokes = np.mean([drawn(masks.strokes, seed).mean() for seed in range(100)])
    halves = np.mean([drawn(masks.half_plane, seed).mean() for seed in range(100)])
    assert strokes < 0.3 and 0.4 < halves < 0.6
