"""docs/models-of-things.md is the ground truth of a study of bias: it must say what the generator does."""

from pathlib import Path

import pytest

from glide_core.tiny import things

PAGE = Path(__file__).parents[2] / "docs" / "models-of-things.md"


@pytest.fixture(scope="module")
def page():
    return " ".join(PAGE.read_text(encoding="utf-8").split())


@pytest.mark.parametrize("category", things.CATEGORIES)
def test_the_frequencies_of_a_category(page, category):
    members = ", ".join(f"{name} {100 * share:.1f}" for name, share in things.frequencies(category).items())
    assert f"| {category} | {members} |" in page


def test_the_frequencies_of_the_styles(page):
    assert ", ".join(f"{style} {100 * share:.0f}" for style, share in things.STYLES.items()) in page


def test_every_thing_and_background_is_named(page):
    assert f"**things** ({len(things.THINGS)})" in page
    for name in (*things.THINGS, *things.COLOURS, *things.TEXTURES.values()):
        assert name in page


def test_what_was_never_shown(page):
    styles = [things.held_out_style(thing, style) for thing in things.THINGS for style in things.STYLES]
    grounds = [things.held_out_ground(thing, ground) for thing in things.THINGS for ground in things.GROUNDS]
    assert f"{sum(styles)} of the {len(styles)} pairs of a thing and a style" in page
    assert f"{sum(grounds)} of the {len(grounds)} of a thing and a background" in page
    assert ", ".join(things.NOVEL) in page
