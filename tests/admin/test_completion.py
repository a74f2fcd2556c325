"""Completion of a half-typed line."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from twistproxy.admin.completion import completions

NAMESPACE = {
    "proxy": SimpleNamespace(cache=SimpleNamespace(hits=1, _private=2), policy=3),
    "pools": {},
    "spool": 1,
}
COMMANDS = ("stats", "policy", "pools", "help")

TABLE: dict[str, tuple[str, tuple[str, list[str]]]] = {
    "a command": ("st", ("st", ["stats"])),
    "a name": ("pro", ("pro", ["proxy"])),
    "a command that is a name too, once": ("poo", ("poo", ["pools"])),
    "a builtin": ("prin", ("prin", ["print"])),
    "a keyword": ("impor", ("impor", ["import"])),
    "no command within an expression": ("x = stats", ("stats", [])),
    "a name within an expression": ("len(prox", ("prox", ["proxy"])),
    "a command to be helped with": ("help st", ("st", ["stats"])),
    "nothing": ("zzz", ("zzz", [])),
    "an attribute": ("proxy.po", ("po", ["policy"])),
    "all attributes": ("proxy.", ("", ["cache", "policy"])),
    "an attribute's attribute": ("1 + proxy.cache.h", ("h", ["hits"])),
    "a private one": ("proxy.cache._pr", ("_pr", ["_private"])),
    "an attribute of a builtin": ("str.isal", ("isal", ["isalnum", "isalpha"])),
    "an attribute of nothing": ("nobody.x", ("x", [])),
    "of a result": ("f().x", ("x", [])),
    "of a number": ("1.re", ("re", [])),
}


@pytest.mark.parametrize(("line", "expected"), TABLE.values(), ids=TABLE)
def test_a_line_may_become(line: str, expected: tuple[str, list[str]]) -> None:
    assert completions(line, NAMESPACE, COMMANDS) == expected


def test_a_property_that_fails_completes_to_nothing() -> None:
    class Broken:
        @property
        def x(self) -> object:
            raise AttributeError("gone")

    assert completions("b.x.y", {"b": Broken()}, ()) == ("y", [])
