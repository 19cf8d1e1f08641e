"""How often each label was seen, as a picture without other packages: bars with the interval of each share."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from ..contact_sheet import CAPTION_SIZE, MARGIN, fitted
from .shares import Count

LABEL, BAR, NUMBERS = 180, 320, 190  # pixels of the columns
ROW = 30
COLOUR, INK, FAINT = "#3b82f6", "#222222", "#9ca3af"


def draw_bars(counts: Sequence[Count]) -> Image.Image:
    """A row for each label: its share as a bar, the 95 % interval as a line, and both in numbers.

    A dashed line shows the share that each would have if all were equally frequent.
    """
    texts = [fitted(count.label, LABEL) for count in counts]
    heights = [max(ROW, (CAPTION_SIZE + 4) * (1 + text.count("\n")) + 8) for text, _ in texts]
    top = ROW
    picture = Image.new("RGB", (LABEL + BAR + NUMBERS + 4 * MARGIN, top + sum(heights) + MARGIN), "white")
    draw = ImageDraw.Draw(picture)
    left = LABEL + 2 * MARGIN
    caption, small = fitted("share, with its 95 % interval; dashed: all equally frequent", BAR + NUMBERS)
    draw.text((left, MARGIN // 2), caption, fill=INK, font=small)
    for count, (text, font), height in zip(counts, texts, heights):
        middle = top + height // 2
        draw.text((MARGIN, top + 4), text, fill=INK, font=font)
        draw.rectangle((left, middle - 8, left + BAR * count.share, middle + 8), fill=COLOUR)
        low, high = (left + BAR * share for share in (count.low, count.high))
        draw.line((low, middle, high, middle), fill=INK, width=2)
        for end in (low, high):
            draw.line((end, middle - 5, end, middle + 5), fill=INK, width=2)
        numbers = f"{count.count} of {count.of}: {count.share:.0%} ({max(0, count.low):.0%} to {count.high:.0%})"
        draw.text((left + BAR + MARGIN, middle - 9), numbers, fill=INK, font=small)
        top += height
    if counts:
        x = left + BAR * counts[0].uniform
        for y in range(ROW, top, 8):
            draw.line((x, y, x, y + 4), fill=FAINT, width=2)
    return picture


def table(counts: Sequence[Count]) -> str:
    """The same as CSV: label, count, of, share, low, high."""
    rows = [
        f'"{count.label.replace(chr(34), chr(34) * 2)}",{count.count},{count.of},'
        f"{count.share:.4f},{count.low:.4f},{count.high:.4f}"
        for count in counts
    ]
    return "\n".join(["label,count,of,share,low,high", *rows]) + "\n"
