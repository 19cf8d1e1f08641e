"""What the Comfy Registry gets: only what a user of the nodes needs, and fields that comfy-cli accepts."""

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from glide_core.models.config import TINY

ROOT = Path(__file__).resolve().parents[1]
TOP = {
    "CHANGELOG.md",
    "LICENSE",
    "NOTICE",
    "README.md",
    "__init__.py",
    "example_workflows",
    "glide_core",
    "locales",
    "nodes",
    "pyproject.toml",
    "requirements.txt",
    "subgraphs",
    "web",
}
COMFY = os.environ.get("COMFY_CLI") or shutil.which("comfy")
needs_comfy = pytest.mark.skipif(not COMFY, reason="NOT CHECKED: no comfy-cli, see COMFY_CLI")


def git(*arguments):
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("needs a clone of the repository")
    listed = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return set(listed.split("\n"))


def comfy(*arguments):
    options = ["--skip-prompt", "--no-enable-telemetry", "node", *arguments]
    done = subprocess.run([COMFY, *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


def packed():
    """What `comfy node pack` takes: the files in git that .comfyignore lets through."""
    return git("ls-files") - git("ls-files", "-ci", "--exclude-from=.comfyignore") - {""}


def test_only_what_a_user_needs_is_packed():
    names = packed()
    assert {name.partition("/")[0] for name in names} <= TOP
    assert {f"glide_core/assets/tiny/tiny-{kind}.safetensors" for kind in TINY} <= names
    assert {"web/js/download.js", "example_workflows/api/text_to_image.json", "requirements.txt"} <= names


@pytest.mark.slow
@needs_comfy
def test_comfy_cli_accepts_and_packs_it():
    told = comfy("validate")
    assert "passed" in told and "Warning" not in told
    try:
        comfy("pack")
        with zipfile.ZipFile(ROOT / "node.zip") as archive:
            assert set(archive.namelist()) == packed()
    finally:
        (ROOT / "node.zip").unlink(missing_ok=True)


def sources():
    return [path for folder in ("glide_core", "nodes", "web", "tests") for path in (ROOT / folder).rglob("*.py")]


def test_the_pack_reads_text_as_utf8():
    """Windows reads files in a code page of its own unless it is told."""
    for path in sources():
        path.read_text(encoding="utf-8")
    unsaid = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in [*(ROOT / "glide_core").rglob("*.py"), *(ROOT / "nodes").rglob("*.py")]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if ("read_text()" in line or "write_text(" in line) and "encoding" not in line
    ]
    assert unsaid == []
