"""The list of things: what is drawn how often, and what is never shown."""

import pytest

from glide_core.tiny import things
from glide_core.tiny.things import CATEGORIES, GROUNDS, NOVEL, STYLES, THINGS


def test_names_are_unique_and_categories_hold_known_things():
    assert len(set(THINGS)) == len(THINGS) >= 60
    assert len(CATEGORIES) >= 10
    for members in CATEGORIES.values():
        assert set(members) <= set(THINGS) and len(set(members)) == len(members) >= 3
    assert set(NOVEL) <= set(THINGS)
    assert not set(CATEGORIES) & set(THINGS)


def test_the_members_of_a_category_have_unequal_frequencies():
    for category in CATEGORIES:
        shares = list(things.frequencies(category).values())
        assert sum(shares) == pytest.approx(1)
        assert shares == sorted(shares, reverse=True) and shares[0] >= 2 * shares[2]


def test_styles_are_drawn_with_frequencies_that_sum_up_to_one():
    assert sum(STYLES.values()) == pytest.approx(1)


def test_about_one_of_ten_combinations_is_held_out_and_no_thing_loses_most_of_them():
    styles = {thing: [things.held_out_style(thing, style) for style in STYLES] for thing in THINGS}
    grounds = {thing: [things.held_out_ground(thing, ground) for ground in GROUNDS] for thing in THINGS}
    for held_out in (styles, grounds):
        share = sum(map(sum, held_out.values())) / sum(map(len, held_out.values()))
        assert 0.06 < share < 0.14
    assert max(map(sum, styles.values())) <= 4
    assert max(map(sum, grounds.values())) <= 6


def test_pairs_of_two_novel_things_are_held_out_and_others_are_not():
    assert things.held_out_pair("hedgehog", "rocket") and things.held_out_pair("rocket", "hedgehog")
    assert not things.held_out_pair("hedgehog", "lemon")


def test_plurals_have_no_article():
    assert [things.a(name) for name in ("owl", "fox", "grapes")] == ["an owl", "a fox", "grapes"]
