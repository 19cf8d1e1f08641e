from __future__ import annotations

import dataclasses
import json

import pytest

from glide_core.errors import OptionError
from glide_core.models.config import BASE, LARGEST, PUBLISHED, TINY, ModelConfig

NUMBERS = [name for name in LARGEST if isinstance(getattr(BASE, name), int)]
LISTS = [name for name in LARGEST if name not in NUMBERS]


@pytest.mark.parametrize(
    "config", [*PUBLISHED.values(), *TINY.values()], ids=[*PUBLISHED, *(f"tiny-{k}" for k in TINY)]
)
def test_known_models_come_back_from_their_text(config):
    assert ModelConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize("value", [0, -1, 10**9, 10**400, 64.0, "64", "64.0", None, True, [64], {}, float("nan")])
@pytest.mark.parametrize("name", NUMBERS)
def test_number_outside_its_range_is_named(name, value):
    with pytest.raises(OptionError, match=f"{name} must be a whole number from 1 to {LARGEST[name]}, not "):
        ModelConfig.from_json(json.dumps({**dataclasses.asdict(BASE), name: value}))


@pytest.mark.parametrize("value", [3, "1234", None, {}, [1] * 100])
@pytest.mark.parametrize("name", LISTS)
def test_list_of_another_type_is_named(name, value):
    with pytest.raises(OptionError, match=f"{name} must be a list of at most 10 numbers, not "):
        ModelConfig.from_json(json.dumps({**dataclasses.asdict(BASE), name: value}))


@pytest.mark.parametrize("value", [0, -2, 10**9, "1", 1.5, [1]])
@pytest.mark.parametrize("name", LISTS)
def test_number_in_a_list_is_named(name, value):
    with pytest.raises(OptionError, match=f"{name} must be a whole number"):
        ModelConfig.from_json(json.dumps({**dataclasses.asdict(BASE), name: [1, value]}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low_res": 1}, "low_res must be true or false, not 1"),
        ({"inpaint": "yes"}, "inpaint must be true or false, not 'yes'"),
        ({"noise_schedule": "cosine"}, "noise_schedule must be squaredcos_cap_v2 or linear, not 'cosine'"),
        ({"noise_schedule": ["linear"]}, "noise_schedule must be"),
        ({"channel_mult": []}, "channel_mult must have a number for each level"),
        ({"xf_heads": 7}, r"xf_width \(512\) must be a multiple of xf_heads \(7\)"),
        ({"norm_groups": 5}, "192 channels cannot be divided into 5 groups"),
        ({"num_head_channels": 5}, "192 channels cannot be divided into heads of 5|384 channels"),
        ({"colour": 1}, "a model has no 'colour'"),
    ],
)
def test_values_that_fit_nothing(change, message):
    with pytest.raises(OptionError, match=message):
        ModelConfig.from_json(json.dumps({**dataclasses.asdict(BASE), **change}))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "[" * 200_000, '{"a":' * 200_000])
def test_text_that_is_no_config(text):
    with pytest.raises(OptionError):
        ModelConfig.from_json(text)
