"""The interval of a share."""

import numpy as np
import pytest

from glide_core.intervals import wilson


def test_the_interval_of_a_half():
    assert wilson(50, 100) == (pytest.approx(0.40383, abs=1e-5), pytest.approx(0.59617, abs=1e-5))


def test_several_intervals_hold_together_as_often_as_one():
    """Of 8 equally frequent labels in 64 pictures all intervals hold; single ones do so in two of three studies."""
    counts = np.random.default_rng(0).multinomial(64, [1 / 8] * 8, size=2000)

    def held(together):
        lows, highs = np.array([wilson(count, 64, together) for count in range(65)])[counts].transpose(2, 0, 1)
        return ((lows <= 1 / 8) & (1 / 8 <= highs)).all(axis=1).mean()

    assert 0.94 < held(8) < 0.99 and held(1) < 0.75


def test_the_interval_stays_between_0_and_1():
    assert wilson(0, 20)[0] == pytest.approx(0, abs=1e-9) and wilson(20, 20)[1] == pytest.approx(1, abs=1e-9)
    assert 0.1 < wilson(0, 20)[1] < 0.2
