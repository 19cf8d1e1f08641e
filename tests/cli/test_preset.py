"""``--preset`` stands for options, and options that are given go before it."""

from __future__ import annotations

import pytest

from glide_core.choices import PRESETS
from glide_core.cli import _parse
from glide_core.cli.common import Compute, parameters, sampling
from glide_core.diffusion.options import UPSAMPLING, Sampling
from glide_core.diffusion.presets import with_preset

COMMANDS = {
    "generate": (["a star", "-o", "a.png"], {"base": "", "upsampler": "upsample_"}),
    "inpaint": (["a.png", "-o", "b.png"], {"base": "", "upsampler": "upsample_"}),
    "upsample": (["a.png", "-o", "b.png"], {"upsampler": ""}),
}
DEFAULTS = {"base": Sampling(), "upsampler": UPSAMPLING}
every_command = pytest.mark.parametrize(
    ("command", "model", "prefix"),
    [(command, model, prefix) for command, (_, models) in COMMANDS.items() for model, prefix in models.items()],
)


def parsed(command, *options):
    return _parse([command, *COMMANDS[command][0], *options])


@every_command
def test_without_a_preset_nothing_changes(command, model, prefix):
    assert sampling(parsed(command), prefix) == DEFAULTS[model]


@every_command
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("joined", [True, False])
def test_a_preset_stands_for_options(command, model, prefix, preset, joined):
    options = [f"--preset={preset}"] if joined else ["--preset", preset]
    expected = with_preset(DEFAULTS[model], preset, upsampler=model == "upsampler")
    assert sampling(parsed(command, *options), prefix) == expected


@every_command
@pytest.mark.parametrize("first", [True, False])
def test_an_option_goes_before_the_preset(command, model, prefix, first):
    """Also where its value is the usual default."""
    option = [f"--{prefix.replace('_', '-')}steps", str(DEFAULTS[model].steps)]
    preset = ["--preset", "draft"]
    found = sampling(parsed(command, *(option + preset if first else preset + option)), prefix)
    expected = with_preset(DEFAULTS[model], "draft", upsampler=model == "upsampler")
    assert (found.steps, found.sampler) == (DEFAULTS[model].steps, expected.sampler)


def test_the_picture_notes_what_the_preset_stood_for():
    import torch

    where = Compute(torch.device("cpu"), "fp32")
    noted = parameters(parsed("generate", "--preset", "draft"), where, {})
    spelled = [f"--{name.replace('_', '-')}={noted[name]}" for name in ("steps", "sampler")]
    spelled += [f"--upsample-{name}={noted[f'upsample-{name}']}" for name in ("steps", "sampler")]
    assert noted == parameters(parsed("generate", *spelled), where, {})


def test_an_unknown_preset_is_an_error(capsys):
    with pytest.raises(SystemExit):
        parsed("generate", "--preset", "quick")
    assert "quick" in capsys.readouterr().err
