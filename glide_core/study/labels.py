"""Labels of values, free of torch."""

from __future__ import annotations

import unicodedata

from ..errors import OptionError

# Control characters, halves of characters, private and unassigned ones: no font has a picture of them.
NO_GLYPH = ("Cc", "Cs", "Co", "Cn")


def require_drawable(text: str, place: str) -> str:
    """The text, if every character in it can be drawn.

    Args:
        place: what the error calls the text.
    Raises:
        OptionError: a character has no glyph in any font.
    """
    for character in text:
        if unicodedata.category(character) in NO_GLYPH and character != "\t":
            raise OptionError(
                f"{place}: {text[:40]!r} holds the character U+{ord(character):04X}, which no font draws: leave it out"
            )
    return text


def plain_number(value: float) -> str:
    """A number as people write it: 3, 0.997."""
    return f"{value:g}"
