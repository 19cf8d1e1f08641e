"""The quality benchmark: what it erases, what it counts, and that it runs on the embedded models."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from glide_core import cli
from glide_core.contact_sheet import MARGIN
from glide_core.errors import CheckpointError
from glide_core.tiny import quality
from glide_core.tiny.scenes import held_out_scenes, render


def test_the_half_of_the_second_object_is_erased():
    scenes = [s for s in held_out_scenes(200) if s.relation not in (None, "inside")]
    assert {scene.relation for scene in scenes} == {"above", "below", "to the left of", "to the right of"}
    for scene in scenes:
        mask = quality.erased_half(scene)[0]
        assert mask.mean() == 0.5
        (ax, ay), (bx, by) = (np.round(item.centre).astype(int) for item in scene.objects)
        assert mask[ay, ax] == 0 and mask[by, bx] == 1


def test_shares_are_of_all_verdicts_that_were_asked_for():
    nothing = {name: [] for name in quality.ASPECTS}
    verdicts = [{**nothing, "colour": [True, False], "all": [False]}, {**nothing, "colour": [True], "all": [True]}]
    shares = quality.share_right(verdicts)
    assert shares["colour"] == pytest.approx(2 / 3) and shares["all"] == 0.5 and np.isnan(shares["style"])


def test_decibels():
    black = np.zeros((4, 4, 3), np.uint8)
    assert quality.psnr(black, np.full_like(black, 255)) == 0
    assert quality.psnr(black, np.full_like(black, 1)) == pytest.approx(48.13, abs=0.01)


def cells(row):
    return [cell.strip() for cell in row.strip("|").split("|")]


@pytest.mark.parametrize("guidance", ["--guidance-scale", "--guidance"])
def test_it_measures_the_embedded_models(capsys, tmp_path, guidance):
    sheet = tmp_path / "sheet.png"
    few = ["--count", "2", "--steps", "1", "--upsample-steps", "2", guidance, "1", "3", "--sheet", str(sheet)]
    cli.main(["bench", "quality", *few])
    prompts, upsampling, inpainting = (table.splitlines() for table in capsys.readouterr().out.strip().split("\n\n"))
    assert cells(prompts[0]) == ["guidance", *(f"{name} %" for name in quality.ASPECTS)]
    assert [cells(row)[0] for row in prompts[2:]] == ["1", "3"]
    assert float(cells(upsampling[2])[1]) == bicubic_decibels(2)
    assert len(inpainting) == 3 and len(cells(inpainting[2])) == 3
    with Image.open(sheet) as picture:
        assert picture.width == 2 * (256 + MARGIN) + MARGIN


def bicubic_decibels(count):
    pictures = [render(scene) for scene in held_out_scenes(count)]
    small = [picture.reshape(64, 4, 64, 4, 3).mean(axis=(1, 3)).round().astype(np.uint8) for picture in pictures]
    return round(np.mean([quality.psnr(quality.bicubic(a), b) for a, b in zip(small, pictures)]), 1)


def test_only_what_is_asked_for_is_measured():
    asked = quality.QualityRequest(measures=("upsampling",), count=1)
    assert len(list(quality.measure(dataclasses.replace(asked, base="missing.safetensors")))) == 1
    with pytest.raises(CheckpointError, match="missing.safetensors: no such file"):
        next(quality.measure(dataclasses.replace(asked, upsampler="missing.safetensors")))
