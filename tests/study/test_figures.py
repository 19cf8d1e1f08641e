"""The figures of pictures."""

import numpy as np
import pytest

from glide_core.study.figures import contrast, diversity, saturation, thumbnail


def flat(*rgb, side=8):
    return np.full((side, side, 3), rgb, np.uint8)


def test_saturation():
    assert saturation(flat(255, 0, 0)) == 1
    assert saturation(flat(90, 90, 90)) == saturation(flat(0, 0, 0)) == 0
    assert saturation(flat(200, 100, 100)) == 0.5


def test_contrast_sees_colours_of_equal_brightness():
    assert contrast(flat(10, 200, 30)) == pytest.approx(0)
    halves = np.concatenate([flat(255, 255, 255), flat(0, 0, 0)])
    assert contrast(halves) == pytest.approx(0.5)
    assert contrast(np.concatenate([flat(200, 0, 0), flat(0, 60, 0)])) > 0.2


def test_diversity_is_the_mean_distance_of_pairs():
    white, black = thumbnail(flat(255, 255, 255, side=64)), thumbnail(flat(0, 0, 0, side=256))
    assert diversity([white]) is None
    assert diversity([white, white]) == 0
    assert diversity([white, black]) == 1
    assert diversity([white, white, black]) == pytest.approx(2 / 3)
