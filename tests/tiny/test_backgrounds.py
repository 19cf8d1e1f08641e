"""Textured backgrounds."""

import numpy as np
import pytest

from glide_core.tiny import backgrounds
from glide_core.tiny.things import TEXTURES


@pytest.mark.parametrize("name", TEXTURES)
def test_a_texture_varies_within_a_picture_and_between_seeds(name):
    first, again, other = (backgrounds.draw(name, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.shape == (256, 256, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 2
    assert first.astype(float).std(axis=(0, 1)).max() > 8


def test_textures_are_told_apart_by_their_mean_colours_or_contrast():
    looks = []
    for name in TEXTURES:
        drawn = [backgrounds.draw(name, np.random.default_rng(seed)).astype(float) for seed in range(4)]
        looks.append(np.mean([[*p.mean(axis=(0, 1)), *np.abs(np.diff(p, axis=0)).mean(axis=(0, 1))] for p in drawn], 0))
    distances = [np.linalg.norm(a - b) for k, a in enumerate(looks) for b in looks[:k]]
    assert min(distances) > 12
