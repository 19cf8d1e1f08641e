"""Stand-ins for the published drawings of things, which tests do not fetch."""

from __future__ import annotations

import numpy as np

from glide_core.tiny.thing_data import Things
from glide_core.tiny.thing_scenes import VARIANTS, Painter
from glide_core.tiny.things import STYLES, TEXTURES, THINGS


def toy_painter(side: int) -> Painter:
    """Every thing is an opaque square whose red is 255 - its number and whose green is ten times its style's."""
    drawings = np.full((len(THINGS), len(STYLES), 32, 32, 4), 255, np.uint8)
    drawings[..., 0] -= np.arange(len(THINGS), dtype=np.uint8)[:, None, None, None]
    drawings[..., 1] = 10 * np.arange(len(STYLES), dtype=np.uint8)[:, None, None]
    drawings[..., 2] = 0
    textures = np.zeros((len(TEXTURES), VARIANTS, 32, 32, 3), np.uint8)
    textures[..., 2] = 200
    textures[:, :, :, 16:, 2] = 100
    return Painter(drawings, textures, side)


def toy_things(side: int) -> Things:
    return Things(side, toy_painter(side))
