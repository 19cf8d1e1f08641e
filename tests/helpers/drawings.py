"""Captioned pictures of something that the embedded models have never seen: houses."""

import numpy as np
from PIL import Image, ImageDraw

CAPTION = "a house"
SKY, GRASS, WALL, ROOF, DOOR = (150, 205, 245), (95, 170, 70), (235, 200, 150), (165, 60, 45), (90, 60, 40)


def house(seed, side=64):
    """One of many houses that look much alike: a Pillow image."""
    rng = np.random.default_rng(seed)
    scale = 4 * side / 64  # drawn large, then reduced
    x, y, width, height = 32 + rng.integers(-5, 6), 52 + rng.integers(-2, 3), *rng.integers(13, 17, 2)
    image = Image.new("RGB", (4 * side, 4 * side), SKY)
    draw = ImageDraw.Draw(image)

    def box(left, top, right, bottom, colour):
        draw.rectangle([scale * v for v in (left, top, right, bottom)], fill=colour)

    box(0, y - 4, 64, 64, GRASS)
    top = y - 2 * height + 4
    box(x - width, top, x + width, y, WALL)
    draw.polygon([scale * v for v in (x - width - 3, top, x, top - 16, x + width + 3, top)], fill=ROOF)
    box(x - 3, y - 11, x + 3, y, DOOR)
    return image.resize((side, side), Image.Resampling.BOX)


def write_houses(folder, count, side=64):
    """``count`` pictures with captions, in a new folder."""
    folder.mkdir(parents=True)
    for k in range(count):
        house(k, side).save(folder / f"{k:02d}.png")
        (folder / f"{k:02d}.txt").write_text(CAPTION)
    return folder
