"""Cells: what decides a picture, and its name."""

import dataclasses

import pytest

from glide_core.cli.common import family_member
from glide_core.diffusion.options import Sampling
from glide_core.study.axes import AXES
from glide_core.study.cells import Cell, Machine, lora_file

CELL = Cell("a red circle")
HERE = Machine("cpu", "fp32", {"tiny-base": "a1", "tiny-upsample": "b2"})
OTHER = {
    "steps": "7",
    "sampler": "euler",
    "guidance": 5.0,
    "clip-guidance": 2.0,
    "temperature": 0.9,
    "seed": 3,
    "prompt": "a star",
    "negative": "blurry",
    "checkpoint": "openai",
    "lora": "mine.safetensors",
}


@pytest.mark.parametrize("axis", AXES)
def test_every_value_of_an_axis_is_another_picture(axis):
    changed = CELL.with_value(axis, OTHER[axis])
    assert HERE.fingerprint(changed) != HERE.fingerprint(CELL)
    assert changed.with_value(axis, OTHER[axis]) == changed


def test_the_fingerprint_holds_models_and_machine():
    prints = {
        machine.fingerprint(CELL)
        for machine in (
            HERE,
            dataclasses.replace(HERE, device="cuda"),
            dataclasses.replace(HERE, dtype="bf16"),
            dataclasses.replace(HERE, digests={"tiny-base": "c3", "tiny-upsample": "b2"}),
            dataclasses.replace(HERE, digests={"tiny-base": "a1", "tiny-upsample": "c3"}),
        )
    }
    assert len(prints) == 5


def test_the_small_picture_is_shared_along_the_temperature():
    cells = [CELL.with_value("temperature", value) for value in (0.9, 1.0)]
    assert cells[0] != cells[1] and cells[0].small == cells[1].small
    small = CELL.small
    assert small.with_value("temperature", 0.9).sampling.temperature == 0.9  # there the base's is meant


def test_cells_of_one_batch_differ_in_prompt_negative_and_seed():
    assert CELL.batch_key == dataclasses.replace(CELL, prompt="a star", negative="x", seed=9).batch_key
    assert CELL.batch_key != CELL.with_value("guidance", 1.0).batch_key


def test_the_parameters_are_those_of_the_command():
    found = HERE.parameters(CELL.with_value("guidance", 5.0))
    expected = {"prompt": "a red circle", "guidance-scale": 5.0, "upsample-steps": "fast27", "checkpoint": "tiny-base"}
    assert expected.items() <= found.items()
    assert found["checkpoint-sha256"] == "a1"
    assert "cache-interval" not in found and "clip" not in found
    assert "upsample-steps" not in HERE.parameters(CELL.small)


def test_guidance_costs_twice_as_much():
    assert CELL.small.cost == 100
    assert CELL.small.with_value("guidance", 1.0).cost == 50
    assert dataclasses.replace(CELL, upsampling=Sampling("10", guidance_scale=1.0)).cost == 50


def test_the_file_of_a_lora_is_what_its_hash_is_of():
    assert [lora_file(text) for text in ("", "a/b.safetensors:0.5", "b.safetensors")] == [
        "",
        "a/b.safetensors",
        "b.safetensors",
    ]


def test_names_of_files_are_plain():
    name = HERE.file_name(CELL.with_value("prompt", "../Ein Bär: /etc/passwd? " * 9))
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and len(name) < 80


def test_a_family_brings_its_upsampler():
    cell = CELL.with_value("checkpoint", "openai")
    assert (cell.checkpoint, cell.upsampler) == (family_member("openai", "base"), family_member("openai", "upsample"))
    assert CELL.small.with_value("checkpoint", "openai").upsampler is None
