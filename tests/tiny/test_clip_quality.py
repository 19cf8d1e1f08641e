"""What is measured of the noised CLIP: the best of several, guidance, and details."""

import shutil

import pytest
import torch

from glide_core import cli
from glide_core.files import clip_checkpoints
from glide_core.files.checkpoints import TINY_FOLDER
from glide_core.tiny import clip_quality, clip_recipe
from glide_core.tiny.clip_details import DETAILS, details, near_misses
from glide_core.tiny.scenes import held_out_scenes, prompt

FEW = ["--count", "2", "--steps", "1", "--upsample-steps", "1"]


def rows(capsys):
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines() if line
    ]


def test_the_best_of_several_with_what_is_possible(capsys, monkeypatch):
    # Of the first scene the second try is right, and the scorer takes the first; of the second both are right.
    scores = iter([torch.tensor([0.9, 0.1]), torch.tensor([0.1, 0.9])])
    monkeypatch.setattr(clip_quality.ClipScorer, "scores", lambda self, pictures, texts: next(scores))
    verdicts = iter([[False], [True], [True], [True]])
    monkeypatch.setattr(clip_quality, "judge", lambda sight, scene: {"all": next(verdicts)})
    cli.main(["bench", "quality", "--best-of", "1", "2", "--judge-all", *FEW])
    head, _, one, two = rows(capsys)
    assert head == ["best of", "all %", "by chance %", "without an error %"]
    assert one == ["1", "50.0", "50.0", "50.0"] and two == ["2", "50.0", "75.0", "100.0"]


def test_inpainting_with_guidance(capsys):
    cli.main(["bench", "quality", "--measure", "inpainting", "--clip-guidance", "0", "30", *FEW])
    head, _, without, guided = rows(capsys)
    assert head[0] == "CLIP guidance" and (without[0], guided[0]) == ("0", "30") and len(guided) == 4


def test_scales_of_guidance_and_until_when_it_guides(monkeypatch):
    asked = []

    def rows(base, upsampler, guides, *rest):
        asked.extend((guide.scale, guide.guide_until) for guide in guides)
        return [["CLIP guidance"], ["0"]]

    monkeypatch.setattr(clip_quality, "guidance_rows", rows)
    cli.main(["bench", "quality", "--clip-guidance", "0", "3", "--clip-until", "0.5", *FEW])
    assert asked == [(0, 0.5), (3, 0.5)]


def test_near_misses_differ_from_the_prompt_and_from_each_other():
    for scene in held_out_scenes(40):
        found = near_misses(scene)
        texts = [text for choices in found.values() for others in choices for text in others]
        assert prompt(scene) not in texts
        for choices in found.values():
            assert all(len(set(others)) == len(others) for others in choices)
        assert ("relation" in found) == (scene.relation is not None)


@pytest.fixture(scope="module")
def embedded():
    return details(*clip_checkpoints.load("tiny-clip"), count=40)


@pytest.mark.parametrize("name", ["background", "colour", "shape", "size", "relation"])
def test_what_the_embedded_one_tells_apart(embedded, name):
    assert set(embedded) == set(DETAILS)
    assert embedded[name][0] > 0.8


def test_the_recipe_makes_one_like_the_shipped_and_makes_it_once(tmp_path, monkeypatch):
    monkeypatch.setattr(clip_recipe, "SHAPE_SCENES", 64)
    shutil.copy(TINY_FOLDER / "tokenizer.json", tmp_path)  # which would take longer to make than all the rest
    made = clip_recipe.make(tmp_path, scale=1 / 4000, device="cpu", precision="fp32")
    ours, shipped = clip_checkpoints.read_clip(made), clip_checkpoints.read_clip(*clip_checkpoints.find("tiny-clip"))
    assert {name: t.shape for name, t in ours[0].items()} == {name: t.shape for name, t in shipped[0].items()}
    stamp = made.stat().st_mtime_ns
    assert clip_recipe.make(tmp_path) == made and made.stat().st_mtime_ns == stamp
