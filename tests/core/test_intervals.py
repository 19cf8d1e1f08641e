"""The interval of a share."""

import pytest

from glide_core.intervals import wilson


def test_the_interval_of_a_half():
    assert wilson(50, 100) == (pytest.approx(0.40383, abs=1e-5), pytest.approx(0.59617, abs=1e-5))


def test_the_interval_stays_between_0_and_1():
    assert wilson(0, 20)[0] == pytest.approx(0, abs=1e-9) and wilson(20, 20)[1] == pytest.approx(1, abs=1e-9)
    assert 0.1 < wilson(0, 20)[1] < 0.2
