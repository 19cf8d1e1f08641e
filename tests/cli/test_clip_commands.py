"""The best of several tries, CLIP guidance and scores on the command line."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from glide_core.cli import main
from glide_core.images import read_image, read_parameters
from glide_core.pipeline import Sampling, Stage, generate
from glide_core.scoring import best, load_clip, load_scorer

PROMPT = "a red circle on a blue background"
QUICK = ["--stage", "base", "--steps", "3", "--dtype", "fp32"]


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def error(capsys, *argv):
    with pytest.raises(SystemExit) as caught:
        main([str(part) for part in argv])
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_the_best_of_several(tmp_path, capsys):
    main(["generate", PROMPT, "-o", str(tmp_path / "a.png"), "--best-of", "3", "--keep", "2", "--seed", "4", *QUICK])
    assert [line.rsplit("/", 1)[1] for line in lines(capsys)] == ["a-0.png", "a-1.png", "a.scores.json"]
    tries = json.loads((tmp_path / "a.scores.json").read_text())["a.png"]
    assert [one["file"] for one in tries] == ["a-0.png", "a-1.png", None]
    assert tries[0]["score"] >= tries[1]["score"] >= tries[2]["score"]
    # The seed of a try makes its picture again alone, and its score is that of the noised CLIP.
    notes = read_parameters(tmp_path / "a-0.png")
    assert notes["try-seed"] == tries[0]["seed"] and notes["score"] == tries[0]["score"] and notes["seed"] == 4
    again = generate(Stage.load("tiny-base"), [PROMPT], Sampling("3"), seed=[tries[0]["seed"]])
    saved = read_image(tmp_path / "a-0.png")
    torch.testing.assert_close(saved, again, rtol=0, atol=0.03)
    score = float(load_scorer("glide-clip").scores(again, [PROMPT])[0])
    assert score == pytest.approx(tries[0]["score"], abs=2e-3)


def test_the_best_of_each_line(tmp_path, capsys):
    (tmp_path / "prompts.txt").write_text(f"{PROMPT}\na green star\n")
    command = ["generate", "--prompts", str(tmp_path / "prompts.txt"), "-o", str(tmp_path / "out"), "--best-of", "2"]
    main([*command, *QUICK])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["00000.png", "00001.png", "scores.json"]
    assert set(json.loads((tmp_path / "out" / "scores.json").read_text())) == {"00000.png", "00001.png"}
    before = (tmp_path / "out" / "00000.png").stat().st_mtime_ns
    capsys.readouterr()
    main([*command, *QUICK])
    assert "2 of 2 pictures are there already" in capsys.readouterr().err
    assert (tmp_path / "out" / "00000.png").stat().st_mtime_ns == before


def test_guidance(tmp_path):
    pictures = []
    for options in ([], ["--clip-guidance", "50"], ["--clip-guidance", "50", "--clip-save-memory"]):
        path = tmp_path / f"{len(pictures)}.png"
        main(["generate", PROMPT, "-o", str(path), "--guidance-scale", "1", *QUICK, *options])
        pictures.append(np.asarray(Image.open(path)).astype(int))
    assert np.abs(pictures[0] - pictures[1]).mean() > 0.5
    assert np.abs(pictures[1] - pictures[2]).max() <= 1
    assert read_parameters(tmp_path / "1.png")["clip-guidance"] == 50
    assert "clip-guidance" not in read_parameters(tmp_path / "0.png")


def test_inpainting(tmp_path, capsys):
    photo, mask = np.full((64, 64, 3), 40, np.uint8), np.zeros((64, 64), np.uint8)
    photo[..., 2] = np.arange(64)
    mask[20:44, 20:44] = 255
    Image.fromarray(photo).save(tmp_path / "photo.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    command = [
        "inpaint",
        tmp_path / "photo.png",
        "--mask",
        tmp_path / "mask.png",
        "--prompt",
        PROMPT,
        "--blend",
        "hard",
    ]
    options = ["--steps", "2", "--upsample-steps", "1", "--best-of", "2", "--clip-guidance", "30"]
    main([str(part) for part in [*command, "-o", tmp_path / "out.png", *options, "--upsample-clip-guidance", "3"]])
    assert (tmp_path / "out.scores.json").is_file()
    painted = np.asarray(Image.open(tmp_path / "out.png"))
    assert (painted[mask == 0] == photo[mask == 0]).all() and (painted[mask > 0] != photo[mask > 0]).any()
    assert "score" in read_parameters(tmp_path / "out.png")


def test_score(tmp_path, capsys):
    colours = {"red": (220, 30, 35), "green": (35, 160, 55)}
    for name, colour in colours.items():
        picture = np.full((90, 128, 3), (140, 140, 145), np.uint8)
        picture[25:65, 40:88] = colour
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    files = [str(tmp_path / f"{name}.png") for name in colours]
    main(["score", *files, "--prompt", "something green on a gray background", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert [row["file"] for row in rows] == files[::-1] and rows[0]["score"] > rows[1]["score"] + 0.1
    main(["score", *files, "--prompt", "something red on a gray background"])
    assert [line.split(" ", 1)[1] for line in lines(capsys)] == files


@pytest.mark.parametrize(
    "argv, told",
    [
        (["generate", "x", "-o", "OUT", "--keep", "2"], "give --best-of N"),
        (["generate", "x", "-o", "OUT", "--best-of", "2", "--keep", "3"], "--keep 3 is more than --best-of 2"),
        (["generate", "x", "-o", "OUT", "--best-of", "2", "--batch", "2"], "either --batch or --best-of"),
        (["generate", " ", "-o", "OUT", "--best-of", "2"], "says nothing of that"),
        (["generate", "x", "-o", "OUT", "--best-of", "2", "--scorer", "me"], "no scorer is called 'me'"),
        (["generate", "x", "-o", "OUT", "--clip-guidance", "nan"], "'nan' is not a number"),
        (["generate", "x", "-o", "OUT", "--clip-guidance", "1", "--clip", "no.pt"], "--clip no.pt: no such file"),
        (["generate", "x", "-o", "OUT", "--clip-guidance", "1", "--clip", "BASE"], "no noised CLIP of GLIDE"),
        (
            ["generate", "x", "-o", "OUT", "--clip-guidance", "1", "--clip-from", "1", "--clip-until", "0"],
            "never guide",
        ),
        (["score", "OUT", "--prompt", " "], "--prompt is empty"),
        (["score", "OUT"], "does not exist"),
        (["score", "TINY"], "does not say what it was made from"),
        (["score", "TINY", "--prompt", "x"], "1x1 pixels shows nothing"),
    ],
)
def test_wrong_options(tmp_path, capsys, argv, told):
    from glide_core.files.checkpoints import find

    Image.new("RGB", (1, 1)).save(tmp_path / "tiny.png")
    places = {"OUT": tmp_path / "out.png", "BASE": find("tiny-base"), "TINY": tmp_path / "tiny.png"}
    steps = ["--steps", "1", "--stage", "base"] if argv[0] == "generate" else []
    assert told in error(capsys, *(places.get(part, part) for part in argv), *steps)


def test_prompts_of_parts_are_plain_words_to_clip():
    clip = load_clip("tiny-clip")
    parts, plain, other = clip.embed_texts(
        ["a red circle :1.2 AND a star NOT a blue heart", "a red circle and a star", "a red circle and a blue heart"]
    )
    assert torch.equal(parts, plain) and not torch.allclose(parts, other, atol=1e-3)
    with pytest.raises(ValueError, match="the text for CLIP is empty"):
        clip.embed_texts(["NOT a blue heart"])


def test_five_thousand_words():
    clip = load_clip("tiny-clip")
    assert clip.embed_texts(["red " * 5000]).isfinite().all()


def test_best():
    scores = torch.tensor([0.1, 0.5, 0.5, -1.0])
    assert best(scores, 3) == [1, 2, 0]
    with pytest.raises(ValueError, match="the best 5 of 4"):
        best(scores, 5)


def test_open_clip_is_optional():
    try:
        import open_clip  # noqa: F401
    except ImportError:
        with pytest.raises(ValueError, match="pip install open_clip_torch"):
            load_scorer("open-clip:ViT-B-32")
    else:
        with pytest.raises(ValueError, match="put the weights of ViT-B-32 there"):
            load_scorer("open-clip:ViT-B-32:/nowhere/weights.pt")
