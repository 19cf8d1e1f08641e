"""Phases, learning rates, and options that do not suit a model."""

import dataclasses

import pytest

from glide_core.errors import OptionError
from glide_core.train.options import Options, Phase
from small_models import BASE, UPSAMPLE

OPTIONS = Options(phases=(Phase(32, 10, 64), Phase(64, 10, 32)), warmup=4, decay=0.5)


def test_phases_follow_each_other():
    assert OPTIONS.steps == 20
    assert [OPTIONS.phase_at(step).resolution for step in (0, 9, 10, 19)] == [32, 32, 64, 64]
    with pytest.raises(IndexError, match="over"):
        OPTIONS.phase_at(20)


def test_a_phase_without_a_resolution_has_the_models():
    phase = Phase(None, 1, 1)
    assert (phase.side(BASE), phase.side(UPSAMPLE)) == (16, 32)


@pytest.mark.parametrize(
    "schedule, expected",
    [
        ("constant", {0: 0.25, 3: 1, 19: 1}),
        ("decay", {0: 0.25, 3: 1, 10: 1, 15: 0.5, 19: 0.1}),
        ("cosine", {0: 0.25, 10: 0.5, 15: 0.1464466, 19: 0.0061558}),
    ],
)
def test_the_rate_rises_and_falls(schedule, expected):
    options = dataclasses.replace(OPTIONS, schedule=schedule)
    assert {step: options.lr_scale(step) for step in expected} == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"schedule": "linear"}, "the schedule is 'linear': use one of decay, cosine, constant"),
        ({"precision": "fp8"}, "the precision is 'fp8': use one of auto, fp32"),
        ({"phases": ()}, "there is no phase"),
    ],
)
def test_unknown_values_are_refused(changes, message):
    with pytest.raises(OptionError, match=message):
        dataclasses.replace(OPTIONS, **changes)


def test_what_does_not_suit_a_model_is_named():
    def check(phase, **changes):
        Options(phases=(phase,), **changes).check(BASE, processes=2)

    check(Phase(None, 1, 8), accumulate=4)
    with pytest.raises(OptionError, match="--resolution 15: not a multiple of 2 up to 16"):
        check(Phase(15, 1, 8))
    with pytest.raises(OptionError, match="--resolution 32: not a multiple of 2 up to 16"):
        check(Phase(32, 1, 8))
    with pytest.raises(OptionError, match=r"--batch 8: not a multiple of 6 \(processes times --accumulate\)"):
        check(Phase(None, 1, 8), accumulate=3)
