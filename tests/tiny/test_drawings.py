"""Drawings: icons become pictures with transparency, and styles are made of them; packages are verified."""

import hashlib
import json
import tarfile
from base64 import b64encode

import numpy as np
import pytest

from glide_core.tiny import drawings, painting
from glide_core.tiny.drawings import PACKAGES, Package
from glide_core.tiny.things import STYLES

pytest.importorskip("resvg_py")
BODY = '<rect x="4" y="10" width="24" height="12" fill="#ff8000"/><circle cx="16" cy="16" r="4" fill="currentColor"/>'
DATA = {"width": 32, "height": 32, "icons": {"lady-beetle": {"body": BODY}}}


@pytest.fixture(scope="module")
def drawing():
    return drawings.render(drawings.svg(DATA, "lady-beetle"))


def test_the_longer_side_of_a_drawing_fills_the_square(drawing):
    rows, columns = (np.flatnonzero(drawing[..., 3].max(axis=axis)) for axis in (1, 0))
    assert columns[-1] - columns[0] + 1 == pytest.approx(drawings.SIDE - 2 * drawings.MARGIN, abs=2)
    assert rows[-1] - rows[0] + 1 == pytest.approx((drawings.SIDE - 2 * drawings.MARGIN) / 2, abs=2)
    assert drawing[128, 40].tolist() == [255, 128, 0, 255]
    assert drawing[128, 128].tolist() == [26, 26, 26, 255]  # currentColor


def test_every_style_keeps_the_size_and_multiplies_colours_by_alpha(drawing):
    for style, paint in painting.PAINTERS.items():
        made = paint(drawing)
        assert made.shape == drawing.shape and made.dtype == np.uint8, style
        assert (made[..., :3] <= made[..., 3:]).all(), style
        assert made[128, 128, 3] > 0 and made[5, 128, 3] < 40, style
        assert np.abs(made.astype(int) - drawing).mean() > 2, style


def test_pixel_art_has_large_pixels_and_sketches_have_no_colour(drawing):
    pixels = painting.pixel_art(drawing)
    changes = (pixels[:, 1:] != pixels[:, :-1]).any(axis=(0, 2)).sum()
    assert 0 < changes < painting.PIXELS
    sketch = painting.pencil_sketch(drawing)[..., :3].astype(int)
    assert (sketch.max(axis=2) - sketch.min(axis=2)).max() <= 1


def test_a_thing_is_drawn_in_all_styles_in_their_order():
    packages = {style: {**DATA, "icons": {"lady-beetle": {"body": BODY.replace("ff8000", colour)}}} for style, colour in
                zip(PACKAGES, ("100000", "200000", "300000", "400000", "500000"))}  # fmt: skip
    drawn = drawings.draw("lady beetle", packages)
    assert drawn.shape == (len(STYLES), 256, 256, 4)
    reds = [int(drawn[list(STYLES).index(style), 128, 40, 0]) for style in PACKAGES]
    assert reds == [16, 32, 48, 64, 80]


def test_a_package_in_the_cache_is_not_fetched_and_is_read(tmp_path):
    package = Package("@sets/some", "1.0", "")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "icons.json").write_text(json.dumps(DATA))
    with tarfile.open(tmp_path / "sets-some-1.0.tgz", "w:gz") as tar:
        tar.add(tmp_path / "package", "package")
    assert drawings.read(drawings.fetch(package, tmp_path)) == DATA


def test_another_archive_than_the_pinned_one_is_refused(tmp_path):
    archive = tmp_path / "some.tgz"
    archive.write_bytes(b"drawings")
    right = b64encode(hashlib.sha512(b"drawings").digest()).decode()
    drawings.verify(archive, Package("some", "1.0", right))
    archive.write_bytes(b"other drawings")
    with pytest.raises(ValueError, match="some 1.0 has another content"):
        drawings.verify(archive, Package("some", "1.0", right))


def test_without_npm_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="Node.js"):
        drawings.fetch(PACKAGES["3d"], tmp_path)
    assert not list(tmp_path.glob("*.tgz"))
