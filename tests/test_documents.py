"""The documents name what the code has: public names, commands with their options, nodes, and files."""

import argparse
import ast
import importlib
import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import glide_core
from glide_core import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
COMMAND = re.compile(r"^ {4}(?:python -m glide_core|glide) (\w+ .*)$", re.MULTILINE)
OF_OTHER_PROGRAMS = {"--fast", "--force-fp32", "--logdir"} | {
    f"--{name}-unet" for name in ("fp16", "bf16", "fp8_e4m3fn")
}


def pages(test):
    return pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)(test)


def shown_options(command):
    """The options in the help of a subcommand and of the commands inside it, without the hidden old names."""
    parser = argparse.ArgumentParser()
    importlib.import_module(f"glide_core.cli.{command.replace(' ', '_')}").add_arguments(parser)
    inner = [action.choices.values() for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return {
        option
        for each in [parser, *(each for choices in inner for each in choices)]
        for action in each._actions
        if action.help != argparse.SUPPRESS
        for option in action.option_strings
    }


def options_of_scripts():
    """The options of the benchmarks and recipes, which have parsers of their own."""
    scripts = [*(ROOT / "benchmarks").glob("*.py"), ROOT / "glide_core" / "tiny" / "recipes.py"]
    return {option for path in scripts for option in re.findall(r'"(--[a-z-]+)"', path.read_text())}


def node_ids():
    """What the modules of the nodes call ``node_id``; they cannot be imported without ComfyUI."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "nodes").glob("*.py")]
    keywords = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.keyword)]
    return {keyword.value.value for keyword in keywords if keyword.arg == "node_id"}


def test_every_public_name_is_on_the_page_of_the_library():
    documented = re.findall(r"^::: glide_core\.(\S+)$", (ROOT / "docs" / "library.md").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(glide_core.__all__)


def test_the_examples_of_the_library_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Image.open(ROOT / "example_workflows" / "photos" / "wall.png") as photo:
        photo.convert("RGB").save("photo.jpg")
        mask = Image.new("L", photo.size)
    mask.paste(255, (200, 200, 300, 300))
    mask.save("mask.png")
    page = (ROOT / "docs" / "library.md").read_text()
    for example in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        Path("example.py").write_text(example)
        runpy.run_path("example.py")
    with Image.open("circle.png") as circle, Image.open("out.png") as out:
        assert circle.size == (256, 256)
        painted = np.asarray(out)
    with Image.open("photo.jpg") as photo:
        changed = (painted != np.asarray(photo)).any(-1)
    assert changed[220:280, 220:280].mean() > 0.9 and not changed[:180].any()


@pages
def test_shown_commands_are_understood(page):
    for line in COMMAND.findall(page.read_text()):
        argv = shlex.split(line)
        cli._parse(argv)  # exits where an option or its value is wrong
        old = {part for part in argv if part.startswith("--")} - shown_options(argv[0])
        assert not old, f"{line}: {old} are names of earlier versions"


@pages
def test_options_in_sentences_exist(page):
    if page.name == "CHANGELOG.md":
        pytest.skip("it names what options were called before")
    known = set().union(*map(shown_options, cli.COMMANDS)) | options_of_scripts()
    named = set(re.findall(r"`(?:glide )?(--[a-z][a-z0-9_-]*)", page.read_text()))
    assert named <= known | OF_OTHER_PROGRAMS | {"--version", "--help"}


@pages
def test_nodes_in_sentences_exist(page):
    named = set(re.findall(r"\b(?:Empty)?Glide[A-Z]\w+", page.read_text()))
    assert named <= node_ids() | {"GlideError", "GlideErrors", "GlideWarning"}


def test_the_readme_has_every_node_in_its_table():
    named = re.findall(r"^\| \*\*(\w+)\*\* \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(node_ids())


def test_the_page_about_comfyui_has_every_node_and_every_template_once():
    page = (ROOT / "docs" / "comfyui.md").read_text()
    assert sorted(re.findall(r"\*\*((?:Empty)?Glide\w+)\*\*", page)) == sorted(node_ids())
    templates = sorted((ROOT / "example_workflows").glob("*.json"))
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == [path.stem.partition("_")[2] for path in templates]


@pages
def test_named_files_exist(page):
    text = page.read_text()
    named = re.findall(r"`((?:glide_core|nodes|tests|benchmarks|example_workflows|web|docs)/[\w./-]+)`", text)
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    missing = [name for name in named if not (ROOT / name).exists()]
    missing += [link for link in links if not (page.parent / link).exists()]
    assert not missing


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().split()) <= 900
