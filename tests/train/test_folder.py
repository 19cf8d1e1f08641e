"""Training data in a folder of pictures with captions."""

import numpy as np
import pytest
from PIL import Image

from glide_core.errors import DatasetError
from glide_core.train.folder import Folder
from glide_core.train.sources import FileSource


@pytest.fixture
def folder(tmp_path):
    """A wide picture, gray in its centre square, with two captions; and a picture without a caption."""
    wide = np.zeros((40, 80, 3), np.uint8)
    wide[:, 20:60] = 200
    Image.fromarray(wide).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    Image.fromarray(wide).save(tmp_path / "without-caption.png")
    return tmp_path


def test_a_folder_gives_centre_squares_and_a_line_of_the_caption(folder):
    data = FileSource(str(folder)).open(16)
    pictures, captions = data.batch(np.random.default_rng(0), 8)
    assert pictures.shape == (8, 16, 16, 3) and (pictures == 200).all() and set(captions) == {"one", "two"}
    assert data.left_out.lines() == [f"pictures without a caption: 1, {folder / 'without-caption.png'}"]
    assert data.position == 0


def test_pictures_in_subfolders_are_found(folder):
    (folder / "deep" / "er").mkdir(parents=True)
    for name in ("a.png", "a.txt"):
        (folder / name).rename(folder / "deep" / "er" / name)
    assert [sample.picture.name for sample in Folder(folder, 16).samples] == ["a.png"]


def test_a_folder_without_captioned_pictures_or_that_does_not_exist(folder):
    (folder / "a.txt").unlink()
    with pytest.raises(DatasetError, match="no picture in it has a caption"):
        Folder(folder, 16)
    with pytest.raises(DatasetError, match="nowhere is not a folder"):
        Folder(folder / "nowhere", 16)
