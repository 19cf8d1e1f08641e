"""The rooms of glide_core stand on floors: imports point down, and never in a circle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import glide_core

ROOT = Path(glide_core.__file__).parent
# A room may import itself and the rooms of the floors below its own.
FLOORS = [
    ["choices", "errors", "intervals"],
    ["device", "images"],
    ["contact_sheet", "memory", "prompts"],
    ["models"],
    ["diffusion", "files"],
    ["stage"],
    ["pipeline", "scoring"],
    ["editing", "train"],
    ["batch", "bench", "tiny"],
    ["study"],
    ["cli"],
    ["__main__"],
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def module_of(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


MODULES = {module_of(path) for path in FILES}


def imports(path: Path) -> set[tuple[str, ...]]:
    """The modules of glide_core that a file imports, also inside functions, without those for type checkers alone."""
    package = path.relative_to(ROOT).parts[:-1]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (*package[: len(package) - node.level + 1], *(node.module or "").split("."))
            base = tuple(part for part in base if part)
            for alias in node.names:
                found.add((*base, alias.name) if (*base, alias.name) in MODULES else base)
    return found - {()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    room = module_of(path)[0]
    for target in imports(path):
        assert target[0] == room or FLOOR[target[0]] < FLOOR[room], f"{path} imports {'.'.join(target)}"


def test_no_import_circle():
    graph = {module_of(path): imports(path) & MODULES for path in FILES}
    done: set[tuple[str, ...]] = set()

    def visit(module: tuple[str, ...], above: list[tuple[str, ...]]) -> None:
        assert module not in above, f"circle: {[*above, module]}"
        if module not in done:
            for target in graph.get(module, ()):
                visit(target, [*above, module])
            done.add(module)

    for module in graph:
        visit(module, [])


def test_every_room_has_a_floor():
    assert {module_of(path)[0] for path in FILES} == set(FLOOR)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 350
