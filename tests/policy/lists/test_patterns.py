from __future__ import annotations

import pytest

from listing import asked, contents, lookup

HAS = {
    "within": (r"/ads?/", "http://a.example/ads/b", True),
    "none": (r"/ads?/", "http://a.example/a", False),
    "whole_url": (r"^https://a\.example/$", "https://a.example/", True),
    "own_flags": ("(?i)BANNER\nx", "http://a.example/banner", True),
    "flags_of_one_only": ("(?i)BANNER\nQ", "http://a.example/q", False),
    "alternatives_of_one": ("a|q\nzz", "http://host/q", True),
    "anchor_of_one_only": ("^x\nq$", "http://host/q", True),
    "names_twice": ("(?P<n>a1)\n(?P<n>b2)", "http://host/b2", True),
    "umlaut": ("ü|/b", "http://host/b", True),
    "tunnel": (r".", "a.example:443", False),
    "comment": ("#a", "http://a.example/#a".partition("#")[0], False),
}


@pytest.mark.parametrize(("text", "target", "has"), HAS.values(), ids=HAS)
def test_has(text: str, target: str, has: bool) -> None:
    assert lookup("regex", text).has(asked(target)) is has


def test_many_are_searched_in_groups() -> None:
    keys, found = contents("regex", "\n".join(f"/p{number}/" for number in range(1000)))
    assert found.entries == 1000
    many = lookup("regex", "\n".join(keys))
    assert all(many.has(asked(f"http://host/p{number}/")) for number in range(1000))
    assert not many.has(asked("http://host/p1000/"))


def test_what_is_too_large_together_is_searched_alone() -> None:
    """Each has 500,000 instructions; a program may have some millions."""
    many = "\n".join(f"{letter}{'[^a]{900}' * 3}" for letter in "abcdefghijklmnopqrstuvwxyz" * 2)
    found = lookup("regex", many)
    assert found.has(asked("http://host/" + "z" * 3000))
    assert not found.has(asked("http://host/" + "z" * 30))


def test_what_is_no_pattern_is_unreadable() -> None:
    _, found = contents("regex", "(\na{2,1}\n(?=a)\nok")
    assert (found.entries, found.unreadable, found.first) == (1, 3, "(")
