"""Contact sheets: every caption can be read, or is found in the file beside."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from glide_core import contact_sheet
from glide_core.contact_sheet import MARGIN, font_for, write_sheet
from glide_core.errors import GlideWarning, OptionError


def squares(*colours):
    return (Image.new("RGB", (64, 64), colour) for colour in colours)


def test_pictures_stand_in_rows_with_their_captions_below(tmp_path):
    write_sheet(tmp_path / "sheet.png", squares("red", "lime", "blue"), ["a", "b", "c"], columns=2)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    cell = max(64, contact_sheet.MIN_COLUMN) + MARGIN
    below = 64 + contact_sheet.LINE_HEIGHT + 2 * MARGIN
    assert sheet[MARGIN + 5, MARGIN + 5].tolist() == [255, 0, 0]
    assert sheet[MARGIN + 5, MARGIN + cell + 5].tolist() == [0, 255, 0]
    assert sheet[MARGIN + below + 5, MARGIN + 5].tolist() == [0, 0, 255]
    caption = sheet[MARGIN + 64 + 2 : MARGIN + below, MARGIN : MARGIN + 30]
    assert (caption < 100).all(axis=-1).any()


@pytest.mark.parametrize("caption", ["seed 18446744073709551615", "W" * 60])
def test_a_long_word_stays_in_its_column(tmp_path, caption):
    write_sheet(tmp_path / "sheet.png", squares("red", "red"), [caption] * 2)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    cell = contact_sheet.MIN_COLUMN + MARGIN
    for right_of_a_column in (cell, 2 * cell):
        assert (sheet[:, right_of_a_column + 2 : right_of_a_column + MARGIN] == 255).all()
    below = sheet[MARGIN + 64 :, MARGIN:cell]
    assert (below < 100).all(axis=-1).any(axis=1)[2 * contact_sheet.LINE_HEIGHT :].any()  # it goes on below


def test_letters_that_no_font_has_are_numbered_and_written_beside(tmp_path, monkeypatch):
    monkeypatch.setattr(contact_sheet, "_system_fonts", tuple)
    with pytest.warns(GlideWarning, match="the letters of 1 prompts: they are numbered, see .*sheet.png.captions.txt"):
        write_sheet(tmp_path / "sheet.png", squares("red", "blue"), ["a star", "\u4e00\u53ea\u523a\u732c"])
    assert (tmp_path / "sheet.png.captions.txt").read_text(encoding="utf-8") == "no. 2: \u4e00\u53ea\u523a\u732c\n"


@pytest.mark.parametrize("text", ["a red star", 'a "star": 3 x 2 = 6!', ""])
def test_ordinary_letters_need_no_other_font(text, monkeypatch):
    monkeypatch.setattr(contact_sheet, "_system_fonts", lambda: pytest.fail("the system's fonts were looked at"))
    assert font_for(text) is not None


def test_a_sheet_that_no_program_would_open_is_refused(tmp_path):
    many = 60_000  # captions of one letter: only the size matters
    with pytest.raises(OptionError, match="60000 pictures make a sheet of"):
        write_sheet(tmp_path / "sheet.png", squares("red"), ["a"] * many)
    assert not list(tmp_path.iterdir())
