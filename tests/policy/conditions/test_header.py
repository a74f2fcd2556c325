from __future__ import annotations

from types import SimpleNamespace

import pytest

from twistproxy.http.fields import Fields
from twistproxy.http.message import Request
from twistproxy.policy import Means
from twistproxy.policy.conditions.header import Header

Lines = list[tuple[bytes, bytes]]


def asked(lines: Lines, method: bytes = b"GET") -> SimpleNamespace:
    return SimpleNamespace(request=Request(method, b"/", Fields(lines)))


CASES: dict[str, tuple[dict[str, str], Lines, bool]] = {
    "searched": ({"X-Team": "uil"}, [(b"X-Team", b"build")], True),
    "names_in_any_case": ({"x-TEAM": "build"}, [(b"X-Team", b"build")], True),
    "values_in_their_case": ({"X-Team": "Build"}, [(b"X-Team", b"build")], False),
    "absent": ({"X-Team": ""}, [(b"X-Teams", b"build")], False),
    "there_at_all": ({"X-Team": ""}, [(b"X-Team", b"")], True),
    "all_of_a_table": ({"A": "1", "B": "2"}, [(b"B", b"2"), (b"A", b"1")], True),
    "not_all": ({"A": "1", "B": "2"}, [(b"A", b"1"), (b"C", b"2")], False),
    "second_line": ({"A": r"\bevil\b"}, [(b"A", b"good"), (b"a", b"evil")], True),
    "lines_are_one_value": ({"A": "^1, 2$"}, [(b"A", b"1"), (b"a", b"2")], True),
    "ends_are_of_all_lines": ({"A": "^1$"}, [(b"A", b"1"), (b"A", b"2")], False),
    "lines_of_cookie": ({"Cookie": "^a=1; b=2$"}, [(b"Cookie", b"a=1"), (b"Cookie", b"b=2")], True),
    "one_line_of_cookie": ({"cookie": "^a=1; b=2$"}, [(b"Cookie", b"a=1; b=2")], True),
    "utf8": ({"A": "^ü$"}, [(b"A", "ü".encode())], True),
    "latin1": ({"A": "^ü$"}, [(b"A", b"\xfc")], True),
    "long": ({"A": "evil$"}, [(b"A", b"x" * 60_000 + b"evil")], True),
}


@pytest.mark.parametrize(("table", "lines", "holds"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("method", [b"GET", b"CONNECT"])
def test_header(table: dict[str, str], lines: Lines, holds: bool, method: bytes) -> None:
    condition = Header([{"Never": "."}, table], Means())
    assert condition.holds(asked(lines, method)) is holds


def test_no_head() -> None:
    question = SimpleNamespace(request=None)
    condition = Header([{"A": ""}], Means())
    assert not condition.holds(question)
    assert condition.seen(question) == "no a"


def test_seen_without_secrets() -> None:
    condition = Header([{"X-Team": "."}, {"Authorization": ".", "Cookie": ".", "A": "."}], Means())
    lines = [(b"Authorization", b"s3cret"), (b"cookie", b"s3cret"), (b"x-team", b"build")]
    text = condition.seen(asked(lines))
    assert text == 'x-team "build", authorization (not shown), cookie (not shown), no a'


@pytest.mark.parametrize("name", ["", "X Team", "X-Team:", "Ü"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="no field"):
        Header([{name: "x"}], Means())


def test_what_is_no_pattern() -> None:
    with pytest.raises(ValueError, match="RE2"):
        Header([{"A": "("}], Means())
