"""edits: fields and targets as a rule changes them."""

from __future__ import annotations

from typing import Any

import pytest

from questions import ask, connect
from twistproxy.config.model import Rewrite, Rule
from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields
from twistproxy.http.uri import Target
from twistproxy.policy.edits import Edits, edits_of

FIELDS = [(b"Accept", b"*/*"), (b"X-A", b"1"), (b"Via", b"1.1 a"), (b"x-a", b"2")]


def edits(**keys: Any) -> Edits:
    made = edits_of(Rule(name="rule", action="continue", **keys))
    assert made is not None
    return made


EDITED = {
    "set takes the place of all of its name": (
        {"set_request": {"X-A": "3"}},
        [(b"Accept", b"*/*"), (b"X-A", b"3"), (b"Via", b"1.1 a")],
    ),
    "set what is not there": ({"set_request": {"X-B": "3"}}, [*FIELDS, (b"X-B", b"3")]),
    "add": ({"add_request": {"X-A": "3"}}, [*FIELDS, (b"X-A", b"3")]),
    "remove in any case": (
        {"remove_request": ("x-A",)},
        [(b"Accept", b"*/*"), (b"Via", b"1.1 a")],
    ),
    "removed before it is set": (
        {"remove_request": ("X-A",), "set_request": {"X-A": "3"}},
        [(b"Accept", b"*/*"), (b"Via", b"1.1 a"), (b"X-A", b"3")],
    ),
}


@pytest.mark.parametrize(("keys", "expected"), EDITED.values(), ids=EDITED)
def test_fields(keys: dict[str, Any], expected: list[tuple[bytes, bytes]]) -> None:
    fields = Fields(FIELDS)
    assert fields.get(b"x-a") == b"1, 2"
    made = edits(**keys)
    assert made.request is not None
    made.request.apply(fields)
    assert list(fields) == expected
    assert fields.get(b"x-a") == dict(Fields(expected).combined).get(b"x-a")
    response = edits(**{key.replace("request", "response"): value for key, value in keys.items()})
    assert response.request is None
    assert response.response is not None


def test_a_rule_that_edits_nothing_has_no_edits() -> None:
    assert edits_of(Rule(name="rule", action="deny")) is None


CREDENTIALS = ["Authorization", "Cookie", "X-Api-Key", "X-Auth-Token", "PRIVATE-TOKEN"]


@pytest.mark.parametrize("name", CREDENTIALS)
@pytest.mark.parametrize("key", ["set_request", "add_request"])
def test_who_is_given_credentials_is_somebody(name: str, key: str) -> None:
    assert edits(**{key: {name: "x"}}).credentials
    assert not edits(**{key: {"X-Team": "x"}}).credentials
    assert not edits(remove_request=(name,)).credentials


REWRITTEN = {
    "a host": (r"^http://old\.example/", "http://new.example/", "http://new.example/a/b?q"),
    "a group": (r"//old\.example/(\w)/(.*)", r"//\1.example/\2", "http://a.example/b?q"),
    "all that matched": (r"/b", r"\0\0", "http://old.example/a/b/b?q"),
    "only the first": (r"/", "|", "http:|/old.example/a/b?q"),
    "a backslash": (r"\?", r"/\\?", "http://old.example/a/b/%5C?q"),
    "a group that is not there": (r"/a(x)?", r"/c\1", "http://old.example/c/b?q"),
}


@pytest.mark.parametrize(("url", "to", "expected"), REWRITTEN.values(), ids=REWRITTEN)
def test_rewriting(url: str, to: str, expected: str) -> None:
    rewriting = edits(rewrite=Rewrite(url=url, to=to)).rewriting  # type: ignore[arg-type]
    assert rewriting is not None
    new = rewriting.applied(ask("http://old.example/a/b?q").target)
    if expected.startswith("http://"):
        assert isinstance(new, Target)
        assert new.url == expected
    else:
        assert isinstance(new, Problem), "no URL any more"


def test_what_does_not_match_and_tunnels_stay() -> None:
    rewriting = edits(rewrite=Rewrite(url="^http://a/", to="http://b/")).rewriting  # type: ignore[arg-type]
    assert rewriting is not None
    assert rewriting.applied(ask("http://b/").target) is None
    assert rewriting.applied(connect("a:443").target) is None


def test_a_group_that_the_pattern_lacks_is_an_error() -> None:
    with pytest.raises(ValueError, match="the pattern has 1 groups, not 2"):
        edits(rewrite=Rewrite(url="(a)", to=r"\2"))  # type: ignore[arg-type]
