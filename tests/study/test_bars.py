"""The histogram of a tally as a picture."""

from __future__ import annotations

import numpy as np

from glide_core.study.bars import BAR, draw_bars, table
from glide_core.study.shares import counts

LABELS = ["a church", 'a "mosque"', "a label that is so long that it needs several lines beside its bar"]


def blue_pixels(picture):
    """How many pixels of the widest row are a bar's, in each bar from top to bottom."""
    pixels = np.asarray(picture).astype(int)
    blue = (abs(pixels - (59, 130, 246)).max(-1) < 30).sum(1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], blue > 0, [0]]).astype(int)))
    return [blue[start:end].max() for start, end in edges.reshape(-1, 2)]


def test_bars_are_as_long_as_the_shares():
    seen = counts([LABELS[0]] * 6 + [LABELS[1]] * 3 + [LABELS[2]], LABELS, None)
    found = blue_pixels(draw_bars(seen))
    np.testing.assert_allclose(found, [BAR * share for share in (0.6, 0.3, 0.1)], atol=12)  # lines cross the bars


def test_the_table_is_csv():
    rows = table(counts([LABELS[0], LABELS[1], None], LABELS[:2], None)).splitlines()
    assert rows[0] == "label,count,of,share,low,high"
    assert rows[1].startswith('"a church",1,2,0.5000,')
    assert rows[2].startswith('"a ""mosque""",1,2,0.5000,')


def test_nothing_seen_is_an_empty_picture():
    assert draw_bars([]).size[0] > 100 and table([]) == "label,count,of,share,low,high\n"
