"""The things, styles, backgrounds and categories that the embedded models know, how often each is drawn, and what is
never shown to them.

A thing's name is that of its drawing (see ``drawings``) with spaces. Nothing here draws.
"""

from __future__ import annotations

import zlib

import numpy as np

from .scenes import BACKGROUNDS as SHAPES_BACKGROUNDS

ANIMALS = (
    "hedgehog", "fox", "frog", "owl", "penguin", "flamingo", "parrot", "elephant", "lion", "cat", "dog", "hamster",
    "turtle", "snail", "octopus", "tropical fish", "whale", "butterfly", "lady beetle",
)  # fmt: skip
FRUIT = ("strawberry", "lemon", "banana", "cherries", "grapes", "pineapple", "watermelon")
VEGETABLES = ("carrot", "broccoli", "eggplant", "tomato")
DISHES = ("hamburger", "pizza", "doughnut", "soft ice cream", "birthday cake")
PLANTS = ("cactus", "sunflower", "tulip", "palm tree", "evergreen tree", "mushroom")
VEHICLES = ("automobile", "bicycle", "airplane", "rocket", "sailboat", "tractor", "locomotive")
BUILDINGS = ("house", "castle", "church", "mosque", "hindu temple", "synagogue")
TOYS = ("teddy bear", "balloon", "kite", "soccer ball")
INSTRUMENTS = ("guitar", "trumpet", "drum")
OBJECTS = ("umbrella", "light bulb", "wrapped gift", "crown", "key")
THINGS = ANIMALS + FRUIT + VEGETABLES + DISHES + PLANTS + VEHICLES + BUILDINGS + TOYS + INSTRUMENTS + OBJECTS

# The members of a category, the most frequent one first: "an animal" is drawn with the frequencies of ``frequencies``.
CATEGORIES = {
    "animal": ("elephant", "fox", "lion", "frog", "hedgehog", "whale", "snail"),
    "pet": ("dog", "cat", "hamster", "tropical fish", "turtle", "parrot"),
    "bird": ("penguin", "owl", "flamingo", "parrot"),
    "fruit": ("strawberry", "banana", "lemon", "cherries", "grapes", "watermelon", "pineapple"),
    "vegetable": ("carrot", "tomato", "broccoli", "eggplant"),
    "dish": ("pizza", "hamburger", "soft ice cream", "doughnut", "birthday cake"),
    "plant": ("sunflower", "cactus", "palm tree", "tulip", "evergreen tree", "mushroom"),
    "vehicle": ("automobile", "airplane", "bicycle", "rocket", "tractor", "sailboat", "locomotive"),
    "building": ("house", "castle", "church", "mosque"),
    "religious building": ("church", "mosque", "hindu temple", "synagogue"),
    "toy": ("teddy bear", "soccer ball", "balloon", "kite"),
    "musical instrument": ("guitar", "drum", "trumpet"),
}
RANKS = (8, 4, 3, 2, 2, 1, 1)  # how often the first, second, ... member of a category is drawn, in parts

# How often each style is drawn; also what a prompt without a style gets. Cartoon to 3d are drawings of one name in
# several packages, the others are made from the 3d one.
STYLES = {
    "cartoon": 0.15, "sticker": 0.12, "flat": 0.12, "3d": 0.2, "silhouette": 0.08, "pixel art": 0.1,
    "pencil sketch": 0.08, "oil painting": 0.08, "ink painting": 0.07,
}  # fmt: skip
COLOURS = {
    **SHAPES_BACKGROUNDS,
    "red": (215, 60, 60), "orange": (245, 160, 70), "yellow": (250, 225, 110), "purple": (150, 95, 185),
}  # fmt: skip
# How a prompt says that something is there.
TEXTURES = {
    "sky": "in the sky", "grass": "on grass", "sand": "on sand", "water": "on water", "wood": "on wood",
    "bricks": "in front of bricks", "night": "at night", "checks": "on checks", "gradient": "on a gradient",
    "blur": "on a blur",
}  # fmt: skip
GROUNDS = (*COLOURS, *TEXTURES)
TEXTURED_SHARE = 0.5
TOO_DARK = {"black", "night"}  # for the styles that are drawn in black
BLACK_STYLES = {"silhouette", "ink painting"}

HELD_OUT_PERCENT = 10
# No two of these are ever shown together.
NOVEL = (
    "hedgehog", "penguin", "elephant", "cat", "strawberry", "carrot", "pizza", "cactus", "automobile", "rocket",
    "castle", "balloon", "guitar", "umbrella",
)  # fmt: skip


def frequencies(category: str) -> dict[str, float]:
    """How often each member is drawn where the caption says only the category; they sum up to 1."""
    members = CATEGORIES[category]
    ranks = RANKS[: len(members)]
    return {member: rank / sum(ranks) for member, rank in zip(members, ranks)}


def held_out_style(thing: str, style: str) -> bool:
    """Whether training never shows this thing in this style."""
    return _held_out(f"{thing} / {style}")


def held_out_ground(thing: str, ground: str) -> bool:
    """Whether training never shows this thing on this background."""
    return _held_out(f"{thing} // {ground}")


def held_out_pair(first: str, second: str) -> bool:
    """Whether training never shows these two together."""
    return first in NOVEL and second in NOVEL


def _held_out(words: str) -> bool:
    return zlib.crc32(words.encode()) % 100 < HELD_OUT_PERCENT


def visible(style: str, ground: str) -> bool:
    """Whether a thing in this style stands out from this background."""
    return not (style in BLACK_STYLES and ground in TOO_DARK)


def choose_style(rng: np.random.Generator) -> str:
    return list(STYLES)[rng.choice(len(STYLES), p=list(STYLES.values()))]


def choose_ground(rng: np.random.Generator) -> str:
    names = list(TEXTURES if rng.random() < TEXTURED_SHARE else COLOURS)
    return names[rng.integers(len(names))]


def a(words: str) -> str:
    """With the article that belongs to it; a plural gets none."""
    if words in ("cherries", "grapes"):
        return words
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
