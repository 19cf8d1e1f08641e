"""``glide inpaint`` on photos of all kinds, with few steps."""

import json
import os
import sys

import numpy as np
import pytest
from PIL import Image

import inpaint_models
from glide_core import cli
from glide_core.images import read_photo

HOLE = np.s_[20:60, 30:80]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    base, upsampler = (inpaint_models.write(kind, folder) for kind in ("base", "upsample"))
    return [
        f"--checkpoint={base}",
        f"--upsampler={upsampler}",
        "--dtype=fp32",
        "--device=cpu",
        "--steps=1",
        "--upsample-steps=1",
        "--guidance=1",
    ]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory of each test, with a photo and its mask."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo()).save("photo.png")
    mask = np.zeros((90, 120), np.uint8)
    mask[HOLE] = 255
    Image.fromarray(mask).save("mask.png")
    return tmp_path


@pytest.fixture
def fails(capsys):
    """Run a command line that must fail; returns its one line on stderr."""

    def run(*argv):
        with pytest.raises(SystemExit) as stop:
            cli.main(["inpaint", *map(str, argv)])
        assert stop.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return run


def photo(height=90, width=120):
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x // width, 255 * y // height, (x + y) % 256], axis=-1).astype(np.uint8)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def known(shape=(90, 120)):
    outside = np.ones(shape, bool)
    outside[HOLE] = False
    return outside


def test_outside_of_the_mask_the_photo_is_unchanged(models):
    cli.main(
        [
            "inpaint",
            "photo.png",
            "--mask",
            "mask.png",
            "--prompt",
            "a red circle",
            "-o",
            "new/out.png",
            "--blend",
            "hard",
            *models,
        ]
    )
    out = pixels("new/out.png")
    assert np.array_equal(out[known()], photo()[known()])
    assert np.abs(out.astype(int) - photo())[HOLE].mean() > 5
    with Image.open("new/out.png") as image:
        parameters = json.loads(image.text["parameters"])
    assert parameters["prompt"] == "a red circle" and parameters["mask"] == "mask.png" and parameters["blend"] == "hard"


def test_alpha_is_the_mask(models):
    alpha = np.where(known(), 255, 0).astype(np.uint8)
    Image.fromarray(np.dstack([photo(), alpha])).save("cut.png")
    cli.main(["inpaint", "cut.png", "--alpha", "-o", "alpha.png", "--blend", "hard", *models])
    cli.main(["inpaint", "photo.png", "--mask", "mask.png", "-o", "mask-out.png", "--blend", "hard", *models])
    assert np.array_equal(pixels("alpha.png"), pixels("mask-out.png"))


def test_what_is_painted_on_glass_becomes_visible_and_the_rest_stays_as_transparent_as_it_was(models):
    alpha = np.full((90, 120), 77, np.uint8)
    Image.fromarray(np.dstack([photo(), alpha])).save("glass.png")
    cli.main(["inpaint", "glass.png", "--mask", "mask.png", "-o", "out.png", *models])
    painted = pixels("mask.png") > 127
    assert pixels("out.png").shape == (90, 120, 4)
    assert (pixels("out.png")[..., 3] == np.where(painted, 255, 77)).all()


def test_walking_outwards(models):
    cli.main(["inpaint", "photo.png", "--pad", "0,0,60,0", "-o", "out.png", "--blend", "hard", *models])
    out = pixels("out.png")
    assert out.shape == (90, 180, 3) and np.array_equal(out[:, :120], photo())
    assert np.abs(out[:, 120:].astype(int) - photo()[:, :59:-1]).mean() > 5


def test_a_large_hole_is_painted_with_the_photos_own_pixels(models):
    """Of a hole of 300 pixels, 256 are enlarged to 300, and --detail paints 512 on tiles."""
    wide, hole = photo(600, 640), np.s_[100:400, 150:450]
    mask = np.zeros((600, 640), np.uint8)
    mask[hole] = 255
    Image.fromarray(wide).save("wide.png")
    Image.fromarray(mask).save("wide-mask.png")
    drawn = {}
    for detail in (256, 512):
        cli.main(
            [
                "inpaint",
                "wide.png",
                "--mask",
                "wide-mask.png",
                "-o",
                "out.png",
                "--blend",
                "hard",
                "--detail",
                str(detail),
                *models,
            ]
        )
        drawn[detail] = pixels("out.png").astype(int)
        assert np.array_equal(drawn[detail][mask == 0], wide[mask == 0])
    grain = {detail: np.abs(np.diff(out[hole], axis=1)).mean() for detail, out in drawn.items()}
    assert grain[512] > 1.2 * grain[256]


def test_poisson_without_opencv_says_what_to_install(models, fails, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)  # as where it is not installed
    line = fails("photo.png", "--mask", "mask.png", "-o", "out.png", "--blend", "poisson", *models)
    assert "blend poisson needs OpenCV: pip install opencv-python-headless" in line and not os.path.exists("out.png")


def test_an_empty_mask_writes_the_photo_and_loads_no_model(capsys):
    Image.new("L", (64, 64)).save("empty.png")
    cli.main(["inpaint", "photo.png", "--mask", "empty.png", "-o", "out.png", "--checkpoint", "none.pt"])
    assert np.array_equal(pixels("out.png"), photo())
    assert "the mask is empty" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "exif"])
def test_photos_of_any_kind_are_read(mode):
    grey = Image.new("RGB", (4, 2), (128, 128, 128))
    if mode == "I;16":
        Image.fromarray(np.full((2, 4), 0x8080, np.uint16)).save("in.png")
    elif mode == "exif":
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (2, 4), (128, 128, 128)).save("in.png", exif=exif)
    else:
        grey.convert(mode).save("in.tif")
    image = read_photo("in.png" if mode in ("I;16", "exif") else "in.tif").pixels
    assert image.shape == (1, 2, 4, 3)
    if mode not in ("1", "P"):  # these dither
        assert (image - 128 / 255).abs().max() < 0.01


@pytest.mark.parametrize(
    "arguments, says",
    [
        ([], "say what to repaint: --mask FILE, --alpha or --pad"),
        (["--alpha"], "--alpha: nothing of photo.png is transparent"),
        (["--mask", "none.png"], "none.png cannot be read: No such file"),
        (["--mask", "mask.png", "--square", "64"], "--square is for the margins of --pad: give --pad L,T,R,B, or"),
        (["--pad", "1,2,3"], "--pad: '1,2,3' is not four numbers of pixels"),
        (["--mask", "mask.png", "--context", "often"], "--context: 'often' is not a number from 0 to 1"),
        (["--mask", "mask.png", "--blend", "magic"], "--blend: invalid choice"),
        (["--mask", "mask.png", "--checkpoint", "tiny-base"], "--upsampler: name the one that belongs to tiny-base"),
        (["--mask", "mask.png", "--checkpoint", "tiny-base", "--upsampler", "none.pt"], "--upsampler none.pt: no such"),
        (
            ["--mask", "mask.png", "--checkpoint", "tiny-base", "--upsampler", "tiny-upsample-inpaint"],
            "checkpoint of kind base-inpaint",
        ),
    ],
)
def test_bad_input_is_named(fails, arguments, says):
    assert says in fails("photo.png", "-o", "out.png", *arguments)
    assert not os.path.exists("out.png")


def test_bad_files_are_named(fails, folder):
    (folder / "text.png").write_text("no picture")
    assert "text.png is not a picture" in fails("text.png", "--alpha", "-o", "out.png")
    assert "--output out.gif: give a name that ends in" in fails("photo.png", "--alpha", "-o", "out.gif")
