"""Any value of any option is understood, or refused with one line that names the option; never a traceback."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import math
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glide_core import cli
from glide_core.cli import common
from glide_core.diffusion.schedule import NoiseSchedule

# What is enough for each command to start with.
NEEDED = {
    "generate": ["a star", "-o", "out.png"],
    "upsample": ["in.png", "-o", "out.png"],
    "inpaint": ["in.png", "--mask", "mask.png", "-o", "out.png"],
    "train": ["pictures", "--out", "run"],
    "fetch": ["base"],
}
ODD = [*"0 1 -1 64 3.5 1e400 nan -inf 0x10 1_000 fast27 ddim50 ays10 ays0 10,10,3 10,0 1,2,3,4 random auto".split(), ""]
VALUES = st.sampled_from([*ODD, "9" * 5000]) | st.text() | st.integers().map(str) | st.floats().map(str)


def options(command: str) -> dict[str, str]:
    """The options that take one value, each with the name under which it is parsed."""
    parser = argparse.ArgumentParser()
    importlib.import_module(f"glide_core.cli.{command}").add_arguments(parser)
    return {
        action.option_strings[-1]: action.dest
        for action in parser._actions
        if action.option_strings and action.nargs != 0
    }


def parsed(argv: list[str]) -> argparse.Namespace | str:
    """What a command would run with, or what it says on stderr."""
    err = io.StringIO()
    module = importlib.import_module(f"glide_core.cli.{argv[0]}")
    with contextlib.redirect_stderr(err), mock.patch.object(module, "run") as run:
        try:
            cli.main(argv)
        except SystemExit as stop:
            assert stop.code == 2
            return err.getvalue()
    return run.call_args.args[0]


@pytest.mark.parametrize("command", NEEDED)
@given(data=st.data())
def test_a_value_is_understood_or_refused_by_the_options_name(command, data):
    option = data.draw(st.sampled_from(sorted(options(command))))
    found = parsed([command, *NEEDED[command], f"{option}={data.draw(VALUES)}"])
    if isinstance(found, str):
        assert option in found and found.startswith(f"glide {command}: error: ")
        return
    value = getattr(found, options(command)[option])
    assert not isinstance(value, float) or math.isfinite(value)


SAMPLING = "steps guidance-scale eta threshold temperature upsample-steps upsample-guidance-scale upsample-eta".split()


@given(values=st.dictionaries(st.sampled_from(SAMPLING), VALUES, min_size=1))
def test_what_is_understood_can_be_sampled_with(values):
    found = parsed(["generate", *NEEDED["generate"], *(f"--{name}={value}" for name, value in values.items())])
    if isinstance(found, str):
        return
    for prefix in ("", "upsample_"):
        sigmas = NoiseSchedule("linear").respaced_sigmas(common.sampling(found, prefix).steps)
        assert len(sigmas) > 1 and sigmas[-1] == 0 and (sigmas.diff() < 0).all()
