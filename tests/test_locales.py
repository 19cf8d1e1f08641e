"""Every text of a node is there in every language; English, which the nodes themselves say, has all the keys."""

import json
import re
from pathlib import Path

import pytest
from test_documents import node_ids

LOCALES = Path(__file__).resolve().parents[1] / "locales"
LANGUAGES = ("de", "en", "es", "fr", "ja", "ko", "zh")
IDENTIFIER = re.compile(r"Glide\w+|fp\d+\w*|\b(?:ddpm|ddim|plms|euler|lanczos|poisson)\b|\d+(?:[.,x]\d+)+")


def texts(language):
    """{"GlideCrop.inputs.mask.tooltip": "..."} of a language."""

    def flat(value, path):
        if isinstance(value, str):
            return {path: value}
        return {name: text for key, inner in value.items() for name, text in flat(inner, f"{path}.{key}").items()}

    nodes = json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))
    return {name: text for node, value in nodes.items() for name, text in flat(value, node).items()}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated(language):
    english, told = texts("en"), texts(language)
    missing = [name for name in english if not told.get(name, "").strip()]
    assert not missing, f"add these keys to locales/{language}/nodeDefs.json: {', '.join(missing)}"
    unknown = sorted(told.keys() - english.keys())
    assert not unknown, f"no node has these keys of locales/{language}/nodeDefs.json: {', '.join(unknown)}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_no_word_stays_as_it_is(language):
    """Names of nodes, of choices and numbers of the English text are in the translation too."""
    told = texts(language)
    for name, text in texts("en").items():
        if name.endswith(".tooltip"):
            lost = {word for word in IDENTIFIER.findall(text) if word not in told[name]}
            assert not lost, f"locales/{language}/nodeDefs.json: {name} lacks {', '.join(sorted(lost))}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_has_a_sign_of_the_frontends_own(language):
    """The frontend takes @, |, { and } for its placeholders, and shows an error or half of the text."""
    assert [name for name, text in texts(language).items() if re.search("[@|{}]", text)] == []


def test_every_node_has_its_texts():
    assert {name.partition(".")[0] for name in texts("en")} == set(node_ids())


def test_no_language_is_left_out():
    assert {path.name for path in LOCALES.iterdir()} == set(LANGUAGES)
