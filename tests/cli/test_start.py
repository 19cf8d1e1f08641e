"""Starting is quick: what only shows options imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from glide_core import choices
from glide_core.cli import COMMANDS
from glide_core.device import DTYPES
from glide_core.diffusion.samplers import SAMPLERS

HEAVY = ("torch", "numpy", "PIL", "scipy", "cv2", "safetensors", "tokenizers")
MODULES_AFTER = """
import sys
from glide_core.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(*sys.modules, file=sys.stderr)
"""


def modules_after(*argv: str) -> set[str]:
    """Every module that a command line loads."""
    done = subprocess.run([sys.executable, "-c", MODULES_AFTER, *argv], capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("argv", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_loads_nothing_heavy(argv):
    assert modules_after(*argv).isdisjoint(HEAVY)


def test_a_command_that_paints_loads_torch():
    """Else the test above could not fail."""
    assert "torch" in modules_after("generate", "--list-words")


def test_a_picture_needs_neither_compiler_nor_opencv(tmp_path):
    """They would take longer to load than a tiny picture takes to paint."""
    loaded = modules_after("generate", "a red circle", "-o", str(tmp_path / "a.png"), "--steps", "1", "--stage", "base")
    assert (tmp_path / "a.png").is_file()
    assert loaded.isdisjoint({"torch._dynamo", "sympy", "cv2", "scipy"})


def test_choices_are_what_there_is():
    assert choices.SAMPLERS == tuple(SAMPLERS)
    assert choices.DTYPES == tuple(DTYPES)
