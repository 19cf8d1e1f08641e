"""One small study, made once, that several tests look at."""

import csv
import sys
from pathlib import Path

import pytest

from glide_core.cli import main

PROMPT = "a red circle on a blue background"
SMALL = ["--stage", "base", "--steps", "2"]


@pytest.fixture(scope="session")
def guidance_study(tmp_path_factory) -> Path:
    """The folder of a study of guidance in two small pictures of each of two seeds."""
    folder = tmp_path_factory.mktemp("study")
    argv = ["study", "guidance", PROMPT, "--values", "1", "3", *SMALL, "--seeds", "2", "-o", str(folder)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["glide", *argv])  # the page names the command
        main(argv)
    return folder


@pytest.fixture
def table():
    """Reads the cells.csv of a study."""

    def read(folder: Path) -> list[dict[str, str]]:
        with (folder / "cells.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return read
