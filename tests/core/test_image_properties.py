"""Any picture file is read as it looks, or refused with a clear error: never a traceback of another kind."""

from __future__ import annotations

import io
import warnings

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from glide_core.editing import regions
from glide_core.editing.blending import Blend
from glide_core.errors import GlideError
from glide_core.images import read_image, read_mask, read_photo, save_image, to_uint8

MODES = "1 L LA La P PA RGB RGBA RGBX RGBa CMYK YCbCr LAB HSV I F I;16".split()
OPTIONAL = [name for name in ("WEBP", "AVIF") if features.check(name.lower())]
FORMATS = ["PNG", "JPEG", "TIFF", "BMP", "GIF", "PPM", "TGA", "ICO", *OPTIONAL]


@st.composite
def files(draw):
    """The bytes of a picture file, its size, and its EXIF orientation."""
    mode, form = draw(st.sampled_from(MODES)), draw(st.sampled_from(FORMATS))
    size = draw(st.tuples(st.integers(1, 64), st.integers(1, 64)) | st.sampled_from([(1, 3000), (3000, 1)]))
    orientation = draw(st.sampled_from([1, 1, 2, 3, 4, 5, 6, 7, 8, 0, 99]))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    try:
        converted = image.convert("L").convert(mode) if mode in ("I", "F", "I;16", "La", "PA") else image.convert(mode)
        options = {"exif": exif} if form in ("PNG", "JPEG", "WEBP", "TIFF", "AVIF") else {}
        converted.save(buffer, format=form, **options)
    except (OSError, ValueError, KeyError, SystemError):  # Pillow cannot write this mode in this format
        image.save(buffer, format="PNG", exif=exif)
    return buffer.getvalue()


def check_readable(path):
    """All three readers agree on the size, in range, or refuse with an error of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            photo = read_photo(path)
            samples, mask = read_image(path), read_mask(path)
        except GlideError as error:
            assert str(path) in str(error) or "picture" in str(error)
            return
    height, width = photo.pixels.shape[1:3]
    assert samples.shape == (1, 3, height, width) and mask.shape == (1, height, width)
    assert photo.pixels.dtype == samples.dtype == mask.dtype == torch.float32
    assert 0 <= photo.pixels.min() and photo.pixels.max() <= 1 and -1 <= samples.min() and samples.max() <= 1
    assert 0 <= mask.min() and mask.max() <= 1 + 1e-6


@given(content=files())
def test_any_picture_file_is_read_or_refused(tmp_path, content):
    (tmp_path / "any").write_bytes(content)
    check_readable(tmp_path / "any")


@given(data=st.data(), content=files())
def test_a_damaged_picture_file_is_read_or_refused(tmp_path, data, content):
    """One byte is another, or the end is missing."""
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:place]
    else:
        content = content[:place] + bytes([content[place] ^ data.draw(st.integers(1, 255))]) + content[place + 1 :]
    (tmp_path / "damaged").write_bytes(content)
    check_readable(tmp_path / "damaged")


@st.composite
def edits(draw):
    """A small photo [1, H, W, 3], a mask of any kind, and how to cut and blend."""
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    kind = draw(st.sampled_from(["empty", "full", "grey", "specks", "box", "almost black"]))
    mask = {
        "empty": np.zeros((height, width)),
        "full": np.ones((height, width)),
        "grey": rng.random((height, width)),
        "specks": rng.random((height, width)) > 0.97,
        "box": np.outer(np.arange(height) < height / 2, np.arange(width) < width / 2),
        "almost black": rng.random((height, width)) * 5 / 255,
    }[kind]
    image = torch.from_numpy(rng.random((1, height, width, 3), np.float32))
    blend = Blend(draw(st.sampled_from(["hard", "feather"])), draw(st.integers(0, 20)), draw(st.booleans()))
    return image, torch.from_numpy(mask.astype(np.float32))[None], draw(st.floats(1, 5)), blend


@given(edit=edits())
def test_cutting_and_stitching_any_mask_keeps_what_is_not_masked(edit):
    image, mask, crop_factor, blend = edit
    mask = regions.fit(image, mask)
    squares = regions.around(mask, crop_factor)
    crops, holes = regions.cut(image, mask, squares, 16)
    out = regions.stitch(image, squares, 1 - crops, blend=blend)
    assert out.isfinite().all() and out.shape == image.shape and holes.shape == (1, 16, 16)
    reach = blend.feather if blend.how == "feather" else 0
    near = regions.grow(mask, reach + 1)[0] > 0
    assert torch.equal(out[0][~near], image[0][~near])


@given(size=st.tuples(st.integers(1, 40), st.integers(1, 40)), suffix=st.sampled_from([".png", ".webp", ".jpg"]))
def test_any_size_is_written_and_read_back(tmp_path, size, suffix):
    samples = torch.rand(3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    save_image(tmp_path / f"out{suffix}", samples)
    back = read_image(tmp_path / f"out{suffix}")
    assert back.shape == (1, 3, *size)
    if suffix == ".png":
        assert torch.equal(to_uint8(back), to_uint8(samples[None]))
