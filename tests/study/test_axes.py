"""Axes: their values as text, and what is wrong with them."""

import pytest

from glide_core.errors import OptionError
from glide_core.study.axes import AXES, EXAMPLES, Axis, label, parse_axis, parse_values
from glide_core.study.labels import require_drawable


@pytest.mark.parametrize(
    "text, values",
    [
        ("guidance=1,2.5, 3", (1.0, 2.5, 3.0)),
        ("steps=10,fast27", ("10", "fast27")),
        ("steps=20; 10,10,3,2,2", ("20", "10,10,3,2,2")),
        ("seed=0..2,7", (0, 1, 2, 7)),
        ("sampler=ddim,ddpm", ("ddim", "ddpm")),
        ("prompt=a red, round circle; a star", ("a red, round circle", "a star")),
        ("prompt=a red circle\n\na star\n", ("a red circle", "a star")),
        ("negative=,blurry", ("", "blurry")),
        ("lora=;mine.safetensors:0.5", ("", "mine.safetensors:0.5")),
    ],
)
def test_values(text, values):
    assert parse_axis(text, "--x").values == values


@pytest.mark.parametrize(
    "text, message",
    [
        ("guidence=1", "--x: there is no axis 'guidence': use one of steps, sampler, guidance"),
        ("guidance", "--x 'guidance': write NAME=VALUE"),
        ("guidance=", "--x: guidance has no value: write guidance=1,2,3"),
        ("guidance= , ", "--x: guidance has no value"),
        ("lora=", "--x: lora has no value"),
        ("guidance=1,high", "--x: guidance 'high': give a number from 0 to 100"),
        ("guidance=nan", "give a number"),
        ("guidance=1,1.0", "twice"),
        ("steps=0", "--x: steps '0'"),
        ("sampler=euler_a", "--x: sampler 'euler_a': use one of ddpm"),
        ("seed=-1", "--x: seed '-1'"),
        ("seed=3..1", "--x: seed '3..1'"),
        ("seed=0..20000", "10001 values, at most 10000"),
        ("prompt=a \U0010ffff circle", "U\\+10FFFF, which no font draws"),
    ],
)
def test_errors_name_the_option_and_the_fix(text, message):
    with pytest.raises(OptionError, match=message):
        parse_axis(text, "--x")


@pytest.mark.parametrize("name", AXES)
def test_the_examples_in_errors_are_right(name):
    assert parse_values(name, EXAMPLES[name].strip("'"), "--x")


def test_labels_tell_values_apart():
    assert Axis("guidance", (1.0, 2.5)).labels == ("guidance 1", "guidance 2.5")
    assert label("temperature", 0.997) == "temperature 0.997"
    assert label("prompt", "a star") == "a star"
    assert label("negative", "") == "negative none"


@pytest.mark.parametrize("text", ["水彩画", "a café", "emoji 🦔", "עברית", "a\tb"])
def test_letters_of_all_scripts_are_drawable(text):
    assert require_drawable(text, "--labels") == text


@pytest.mark.parametrize("text", ["bell \x07", "half \ud800", "private \ue000"])
def test_what_no_font_has_is_refused(text):
    with pytest.raises(OptionError, match="--labels"):
        require_drawable(text, "--labels")
