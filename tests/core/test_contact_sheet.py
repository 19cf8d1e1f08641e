"""Contact sheets: every caption can be read, or is found in the file beside."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from glide_core import contact_sheet
from glide_core.contact_sheet import MARGIN, draw_grid, font_for, unreadable, write_sheet
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


# Grids


def test_a_grid_has_its_pictures_in_place_and_what_is_missing_grey():
    colours = ["red", "lime", "blue"]
    grid = np.asarray(draw_grid(list(squares(*colours)), ["a", "b"], ["top", "bottom"]))
    column, row = max(64, contact_sheet.MIN_COLUMN) + MARGIN, 64 + MARGIN
    left, top = 2 * MARGIN + contact_sheet.MIN_COLUMN, MARGIN + contact_sheet.LINE_HEIGHT
    found = [grid[top + y * row + 5, left + x * column + 5].tolist() for y in (0, 1) for x in (0, 1)]
    assert found == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [221, 221, 221]]
    assert (grid[:top, left:] < 128).any() and (grid[top:, :left] < 128).any()  # both labels are drawn


def test_a_long_label_makes_room_for_itself():
    (picture,) = squares("red")
    label = "word " * 40
    short, long = (draw_grid([picture], ["a"], [text]).size for text in ("b", label))
    assert long[1] > short[1]


def test_labels_without_a_glyph_are_numbered():
    assert unreadable(["a", "\U0010fffe", "b"]) == ["no. 2: \U0010fffe"]
    draw_grid(list(squares("red", "blue")), ["a", "\U0010fffe"], ["b"])


def test_a_grid_that_is_too_large_is_refused():
    with pytest.raises(OptionError, match="the grid: 1 pictures make a sheet of"):
        draw_grid([Image.new("RGB", (1000, 1000))], ["a"] * 400, ["b"] * 400)
