"""ComfyUI's internals stay in one room: who may import what among the nodes, told by reading their sources."""

import ast
from pathlib import Path

import pytest

from hosts import PROJECT

NODES = PROJECT / "nodes"
BESIDE_NODES = {"axes", "checks", "judges", "schema", "host", "glide_core"}  # what a node may import of the pack
INTERNALS = {
    "comfy",
    "comfy_execution",
    "comfy_extras",
    "execution",
    "folder_paths",
    "latent_preview",
    "node_helpers",
    "nodes",
    "server",
}


def imports(path: Path) -> set[str]:
    """What a file imports, as "package.module" or ".sibling" or "..cousin"."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found |= {module} if node.module else {module + alias.name for alias in node.names}
    return found


def files(folder: Path, pattern: str) -> list:
    return [pytest.param(path, id=str(path.relative_to(PROJECT))) for path in sorted(folder.glob(pattern))]


@pytest.mark.parametrize("path", files(NODES, "*.py"))
def test_nodes_import_neither_internals_nor_each_other(path):
    for name in imports(path):
        first = name.lstrip(".").split(".")[0]
        if not name.startswith("."):
            assert first not in INTERNALS, name
        elif path.name not in ("__init__.py", "schema.py", "checks.py"):
            assert first in BESIDE_NODES, name


@pytest.mark.parametrize("path", files(NODES / "host", "*.py"))
def test_the_host_folder_imports_no_node(path):
    for name in imports(path):
        assert not name.startswith("..") or name.lstrip(".").split(".")[0] == "glide_core", name


@pytest.mark.parametrize("path", files(PROJECT / "glide_core", "**/*.py"))
def test_the_library_imports_neither_nodes_nor_comfyui(path):
    for name in imports(path):
        first = name.lstrip(".").split(".")[0]
        assert first not in {"nodes", "glide_nodes", "comfy_api"} and (name.startswith(".") or first not in INTERNALS)
