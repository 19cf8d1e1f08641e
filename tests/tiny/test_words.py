"""The words a model knows."""

import json
from dataclasses import asdict

import pytest

from glide_core import cli
from glide_core.errors import CheckpointError
from glide_core.files.checkpoints import TINY_FOLDER
from glide_core.files.words import read
from glide_core.tiny import scenes, things, words


@pytest.fixture(scope="module")
def shipped():
    return read(TINY_FOLDER / "words.json")


def test_the_shipped_list_is_what_the_generator_says(shipped):
    assert shipped == words.of_shapes()


def test_every_prompt_of_the_data_is_known(shipped):
    for scene in scenes.held_out_scenes(50):
        assert shipped.unknown(scenes.prompt(scene)) == {}


def test_unknown_words_get_the_nearest_known_one(shipped):
    assert shipped.unknown("Red circles and a zebra") == {"circles": "circle", "and": None, "zebra": None}


def test_the_list_of_things_has_everything_once():
    known = words.of_things()
    assert set(things.THINGS) < set(known.things) and set(things.STYLES) < set(known.styles)
    for names in asdict(known).values():
        assert len(set(names)) == len(names)
    assert known.unknown("an oil painting of a hindu temple in front of bricks") == {}
    assert known.unknown("hedgehogs") == {"hedgehogs": "hedgehog"}


def test_a_broken_list_is_named(tmp_path):
    (tmp_path / "words.json").write_text('{"things": []}')
    with pytest.raises(CheckpointError, match="words.json"):
        read(tmp_path / "words.json")


def test_a_list_without_the_colours_is_read(tmp_path, shipped):
    """Lists of models that were made earlier have them among the others."""
    old = {name: names for name, names in asdict(shipped).items() if name not in ("colours", "sizes", "relations")}
    old["others"] = [*old["others"], "red"]
    (tmp_path / "words.json").write_text(json.dumps(old))
    assert read(tmp_path / "words.json").unknown("a red circle") == {}


def test_the_command_lists_them_as_text_and_as_json(capsys):
    cli.main(["generate", "--list-words"])
    out = capsys.readouterr().out
    assert "things: circle, square" in out and "colours: red, green" in out
    assert "sizes: small, large" in out and "relations: above, below, to the left of" in out
    cli.main(["generate", "--list-words", "--json"])
    lists = json.loads(capsys.readouterr().out)
    assert set(lists) == {"things", "styles", "colours", "sizes", "relations", "backgrounds", "categories"}
    assert "star" in lists["things"] and "purple" in lists["colours"] and "inside" in lists["relations"]


def test_the_command_warns_once_of_unknown_words(capsys, tmp_path):
    quick = ["--steps", "1", "--stage", "base", "--dtype", "fp32", "--device", "cpu"]
    cli.main(["generate", "a red circl", "-o", str(tmp_path / "out.png"), *quick])
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("warning"))
    assert "never seen: circl (did you mean circle?)" in line
    cli.main(["generate", "a red circle", "-o", str(tmp_path / "out2.png"), *quick])
    assert "warning" not in capsys.readouterr().err


def test_without_a_file_to_write_the_command_says_so(capsys):
    with pytest.raises(SystemExit):
        cli.main(["generate", "a red circle"])
    assert "-o" in capsys.readouterr().err
