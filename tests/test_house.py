"""The house keeps its own rules: what lint and import-linter can't see."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
SOURCE = CHECKOUT / "src/twistproxy"
TESTS = CHECKOUT / "tests"

#: Files without a test file of their own, and where what they do is shown instead.
SHOWN_ELSEWHERE = {
    "road.py": "values and seams only; tests/test_exchange.py travels on them",
}

FILES = sorted(
    path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if path.name != "__init__.py"
)
ROOMS = sorted(path.parent.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_each_file_has_its_test(file: Path) -> None:
    mirror = TESTS / file.with_name(f"test_{file.name}")
    if str(file) in SHOWN_ELSEWHERE:
        assert not mirror.exists(), f"{file} has its own test: take it out of SHOWN_ELSEWHERE"
    else:
        assert mirror.exists(), f"{mirror.relative_to(CHECKOUT)} is missing"


@pytest.mark.parametrize("file", FILES, ids=str)
def test_each_file_says_what_it_is_for(file: Path) -> None:
    assert ast.get_docstring(ast.parse((SOURCE / file).read_text()))


@pytest.mark.parametrize("room", sorted(set(ROOMS)), ids=str)
def test_each_room_has_its_map(room: Path) -> None:
    init = SOURCE / room / "__init__.py"
    assert init.exists(), f"{room} has no __init__.py"
    assert ast.get_docstring(ast.parse(init.read_text())), f"{room}/__init__.py has no docstring"


def test_what_is_excepted_exists() -> None:
    assert [name for name in SHOWN_ELSEWHERE if not (SOURCE / name).exists()] == []


def test_the_plugin_is_data_and_alone() -> None:
    """twistd loads every plugin: ours imports nothing of ours, and hides nobody else's."""
    folder = CHECKOUT / "twisted/plugins"
    assert not (folder / "__init__.py").exists()
    assert not (folder.parent / "__init__.py").exists()
    tree = ast.parse((folder / "twistproxy_plugin.py").read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "twisted.application.service"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
