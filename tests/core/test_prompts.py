"""Lists of prompts as people write them."""

from __future__ import annotations

import io
import json
import re
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glide_core.errors import GlideWarning, OptionError
from glide_core.prompts import Prompt, prompts_of_text, read_prompts


def read(tmp_path, content):
    path = tmp_path / "list.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_prompts(path)


def test_blank_lines_and_comments_are_passed_over(tmp_path):
    found = read(tmp_path, "# my prompts\n\na red star\n   \n  # more\n a blue heart \n")
    assert found == [Prompt("a red star"), Prompt("a blue heart")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_encodings_and_line_endings(tmp_path, encoding, ending):
    text = ending.join(["ein roter Kreis", "", "un cœur bleu", "一只刺猬"])
    found = read(tmp_path, text.encode(encoding))
    assert [prompt.text for prompt in found] == ["ein roter Kreis", "un cœur bleu", "一只刺猬"]


@pytest.mark.parametrize(
    "line, expected",
    [
        ("a star", Prompt("a star")),
        ("a star ### blue, green", Prompt("a star", "blue, green")),
        ("a star ### ### 7", Prompt("a star", "", 7)),
        ("a star###blue###18446744073709551615", Prompt("a star", "blue", 2**64 - 1)),
        ('{"prompt": "a star"}', Prompt("a star")),
        ('{"prompt": "a # star", "negative": "blue", "seed": 7}', Prompt("a # star", "blue", 7)),
    ],
)
def test_a_line_has_one_documented_syntax(tmp_path, line, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(tmp_path, line) == [expected]


@pytest.mark.parametrize(
    "line",
    [
        '--prompt "a star" --seed 7',
        "a star <lora:toys:0.8>",
        '"a green square", seed 5',
        "a star --ar 16:9",
        "a star BREAK a heart",
    ],
)
def test_another_tools_syntax_is_warned_of_and_read_as_words(tmp_path, line):
    with pytest.warns(GlideWarning, match="line 1 looks like another tool's syntax"):
        assert read(tmp_path, line)[0].text == line


@pytest.mark.parametrize(
    "content, says",
    [
        ("", "there is no prompt in it"),
        ("\n# nothing\n", "there is no prompt in it"),
        (b"a star\n\xff\xfe\x80\n", "line 2: this is not UTF-8 text"),
        ("a star\n{'prompt': 1}", "line 2: this is not a JSON object"),
        ('{"prompt": 1}', 'line 1: give "prompt"'),
        ('{"prompt": "a", "steps": 3}', "line 1: give"),
        ("a ### b ### x", "line 1: the seed 'x' is not a whole number"),
        ("a ### b ### 1 ### 2", "line 1: there are 3 times ###"),
        ('{"prompt": "a", "seed": true}', "the seed True is not a whole number"),
    ],
)
def test_errors_name_the_line(tmp_path, content, says):
    with pytest.raises(OptionError, match=says):
        read(tmp_path, content)


def test_the_standard_input_is_a_list(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a star\na heart\n")))
    assert [prompt.text for prompt in read_prompts(Path("-"))] == ["a star", "a heart"]


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1).map(str.strip)


@given(rows=st.lists(st.tuples(TEXT.filter(bool), st.none() | TEXT, st.none() | st.integers(0, 2**64 - 1)), min_size=1))
def test_any_prompt_comes_back_from_json_lines(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "rows.jsonl"
    names = ("prompt", "negative", "seed")
    lines = [json.dumps({k: v for k, v in zip(names, row) if v is not None}, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    assert [(prompt.text, prompt.negative, prompt.seed) for prompt in read_prompts(path)] == rows


@given(content=st.binary())
def test_any_bytes_are_prompts_or_a_clear_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert all(isinstance(prompt.text, str) for prompt in read_prompts(path))
        except OptionError as error:
            assert "--prompts" in str(error)


# Texts with alternatives


@pytest.mark.parametrize(
    "text, prompts",
    [
        ("a circle\n\n# a comment\n  a star  \r\n", ["a circle", "a star"]),
        ("a {red|blue} {circle|star}", ["a red circle", "a red star", "a blue circle", "a blue star"]),
        ("{an oil painting|a photo} of a {|small }star", None),
        ("a {big {red|blue}|small} star", ["a big red star", "a big blue star", "a small star"]),
        ("a {red} star", ["a red star"]),
        ("a {red|red} star", ["a red star"]),
        ('{"prompt": "a {star}"}', ["a {star}"]),
    ],
)
def test_alternatives(text, prompts):
    prompts = prompts or [
        f"{kind} of a {size}star" for kind in ("an oil painting", "a photo") for size in ("", "small ")
    ]
    assert [prompt.text for prompt in prompts_of_text(text, "text")] == prompts


def test_alternatives_in_what_to_lead_away_from():
    found = prompts_of_text("a {red|blue} star ### {|blurry} ### 7\na heart", "text")
    assert [(prompt.text, prompt.negative, prompt.seed) for prompt in found] == [
        ("a red star", "", 7),
        ("a red star", "blurry", 7),
        ("a blue star", "", 7),
        ("a blue star", "blurry", 7),
        ("a heart", None, None),
    ]


@pytest.mark.parametrize(
    "text, told",
    [
        ("", "text: there is no prompt in it"),
        ("# a comment", "text: there is no prompt in it"),
        ("a star\na {red|blue star", "text, line 2: there is a { without its }"),
        ("a red} star", "text, line 1: there is a } without its {"),
        ("{a|b}" * 20, "text, line 1: its alternatives stand for more than 10000 prompts"),
        ("{1|2|3|4|5|6|7|8|9}{1|2|3|4|5|6|7|8|9}{1|2|3|4|5|6|7|8|9}\n" * 14, "more than 10000 prompts up to here"),
        ("a ### b ### c", "line 1: the seed 'c' is not a whole number"),
    ],
)
def test_texts_that_are_wrong(text, told):
    with pytest.raises(OptionError, match=re.escape(told)):
        prompts_of_text(text, "text")
