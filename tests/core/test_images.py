"""Pictures of every kind are read as they look, and written whole."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from glide_core.editing import regions
from glide_core.errors import GlideWarning, ImageError
from glide_core.images import (
    FORMATS,
    from_uint8,
    read_image,
    read_mask,
    read_parameters,
    read_photo,
    save_image,
    to_channels_first,
    to_channels_last,
    to_uint8,
)

DISC = np.hypot(*(np.mgrid[:48, :64] - np.array([[[24]], [[32]]]))) < 12


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def grey(values):
    return Image.fromarray(np.asarray(values, np.uint8))


def repainted(path, photo=None):
    """What of a mask file is repainted: bool [H, W]."""
    mask = regions.fit(torch.zeros(1, *DISC.shape, 3), read_mask(path, photo))
    return mask[0].numpy() > 0


# Ranges and layouts


def test_conversions_are_each_others_inverse():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    samples = from_uint8(pixels)
    assert samples.shape == (2, 3, 5, 7) and samples.min() >= -1 and samples.max() <= 1
    assert (to_uint8(samples).numpy() == pixels).all()
    assert (to_channels_first(to_channels_last(samples)) - samples).abs().max() < 1e-6


# Masks that are black and white to the eye


@pytest.mark.parametrize("black", [0, 1, 5])
@pytest.mark.parametrize("white", [255, 250])
def test_almost_black_is_known_and_almost_white_is_repainted(black, white):
    grey(np.where(DISC, white, black)).save("mask.png")
    mask = regions.fit(torch.zeros(1, *DISC.shape, 3), read_mask("mask.png"))[0]
    assert (mask.numpy() == DISC).all()


def test_grey_keeps_its_degree():
    grey(np.where(DISC, 128, 0)).save("mask.png")
    mask = regions.clean(read_mask("mask.png"))[0]
    assert abs(float(mask[24, 32]) - 128 / 255) < 1e-3


def test_a_mask_in_a_jpeg_is_the_disc():
    grey(np.where(DISC, 255, 0)).save("mask.jpg", quality=90)
    differs = (repainted("mask.jpg") != DISC).mean()
    assert differs < 0.06  # rings around the edge alone


@pytest.mark.parametrize("colour", [0, 255, 90], ids=["black", "white", "grey"])
def test_a_mask_drawn_on_a_transparent_layer_is_its_alpha(colour):
    layer = np.zeros((*DISC.shape, 4), np.uint8)
    layer[..., :3], layer[..., 3] = colour, np.where(DISC, 255, 0)
    Image.fromarray(layer).save("mask.png")
    assert (repainted("mask.png") == DISC).all()


def test_a_transparent_part_of_a_black_and_white_mask_is_not_repainted():
    layer = np.full((*DISC.shape, 4), 255, np.uint8)
    layer[..., :3] = np.where(DISC, 255, 0)[..., None]
    layer[:, :32, 3] = 0
    Image.fromarray(layer).save("mask.png")
    assert (repainted("mask.png") == (DISC & (np.arange(64) >= 32))).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_masks_of_every_mode(mode):
    if mode == "I;16":
        Image.fromarray(np.where(DISC, 65535, 0).astype(np.uint16)).save("mask.tif")
    else:
        grey(np.where(DISC, 255, 0)).convert(mode).save("mask.tif")
    assert (repainted("mask.tif") == DISC).all()


def test_stray_pixels_are_left_out_and_counted():
    mask = torch.from_numpy(DISC[None].astype(np.float32))
    mask[0, 2, 3] = mask[0, 40:43, 60] = 1
    cleaned, count = regions.without_specks(mask)
    assert count == 4 and (cleaned[0].numpy() == DISC).all()


def test_small_masks_are_not_specks():
    mask = torch.zeros(1, 48, 64)
    mask[0, 2, 3] = mask[0, 40, 60] = 1
    cleaned, count = regions.without_specks(mask)
    assert count == 0 and torch.equal(cleaned, mask)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_mask_of_the_unturned_pixels_is_turned_with_the_photo(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = grey(np.where(DISC, 200, 10))
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
    upright.transpose(turn).convert("RGB").save("photo.png", exif=exif)
    grey(np.where(DISC, 255, 0)).transpose(turn).save("mask.png")
    photo = read_photo("photo.png")
    assert photo.pixels.shape[1:3] == DISC.shape
    if orientation != 3:
        assert (repainted("mask.png", photo) == DISC).all()


# Depths and frames


def test_sixteen_bits_of_colour_are_told(folder):
    cv2 = pytest.importorskip("cv2")
    cv2.imwrite("deep.png", np.full((4, 4, 3), 12345, np.uint16))
    with pytest.warns(GlideWarning, match="deep.png has 16 bits a channel, the result will have 8"):
        read_photo("deep.png")


def test_grey_of_sixteen_bits_with_a_colour_key_is_transparent_there():
    Image.fromarray(np.where(DISC, 0x0101, 0xFFFF).astype(np.uint16)).save("key.png", transparency=0x0101)
    pixels = read_photo("key.png").pixels
    assert pixels.shape[-1] == 4 and ((pixels[0, ..., 3] == 0).numpy() == DISC).all()


def test_floating_point_grey_is_not_black():
    Image.fromarray(np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)).save("grey.tif")
    assert abs(float(to_channels_last(read_image("grey.tif")).mean()) - 0.5) < 0.01


@pytest.mark.parametrize(
    "values, says",
    [
        (np.full((4, 4), 70000, np.int32), "32-bit integers"),
        (np.full((4, 4), 200, np.float32), "floating point values from 200 to 200: scale them to 0..1"),
        (np.full((4, 4), np.nan, np.float32), "floating point values that are not numbers"),
    ],
    ids=["int32", "float 0..255", "NaN"],
)
def test_ranges_that_cannot_be_told_are_refused(values, says):
    Image.fromarray(values).save("strange.tif")
    with pytest.raises(ImageError, match=f"strange.tif holds {says}"):
        read_image("strange.tif")


def test_frames_are_told():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save("moving.gif", save_all=True, append_images=frames[1:])
    with pytest.warns(GlideWarning, match="moving.gif has 2 frames, the first is read"):
        image = read_image("moving.gif")
    red, green, blue = to_uint8(image)[0, 0, 0].tolist()
    assert red > 250 and green < 5 and blue < 5


def test_a_heif_picture_names_the_package(folder):
    (folder / "IMG_1.HEIC").write_bytes(b"\0\0\0 ftypheic")
    with pytest.raises(ImageError, match="pip install pillow-heif|cannot be read|not a picture"):
        read_image("IMG_1.HEIC")


def test_a_damaged_exif_block_does_not_keep_a_photo_from_being_read():
    damaged = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\xff\xff\xff\xff"
    Image.new("RGB", (4, 4), "red").save("photo.jpg", exif=damaged)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert read_photo("photo.jpg").pixels.shape == (1, 4, 4, 3)


# Writing


@pytest.mark.parametrize("suffix", FORMATS)
def test_parameters_come_back(suffix):
    parameters = {"prompt": 'ein "roter" Kreis \N{PARTY POPPER}', "seed": 2**63, "eta": 0.5}
    save_image(f"out{suffix}", torch.zeros(3, 8, 8), parameters)
    assert read_parameters(f"out{suffix}") == parameters


@pytest.mark.parametrize("suffix", FORMATS)
def test_profile_and_resolution_survive(suffix):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    Image.new("RGB", (8, 8), "red").save("photo.png", icc_profile=profile, dpi=(300, 300))
    photo = read_photo("photo.png")
    save_image(f"out{suffix}", to_uint8(to_channels_first(photo.pixels))[0], {}, photo.metadata)
    with Image.open(f"out{suffix}") as image:
        assert image.info["icc_profile"] == profile
        if suffix != ".webp":  # the format has no field for it
            assert [round(value) for value in image.info["dpi"]] == [300, 300]


def test_a_failure_leaves_what_was_there(folder, monkeypatch):
    save_image("out.png", torch.zeros(3, 8, 8), {"seed": 1})
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_image("out.png", torch.ones(3, 8, 8), {"seed": 2})
    assert read_parameters("out.png") == {"seed": 1} and [path.name for path in folder.iterdir()] == ["out.png"]
