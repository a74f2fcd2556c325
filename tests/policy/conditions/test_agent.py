from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import pytest

from twistproxy.http.fields import Fields
from twistproxy.http.message import Request
from twistproxy.policy import Means
from twistproxy.policy.conditions.agent import Agent


def asked(*agents: bytes, method: bytes = b"GET") -> SimpleNamespace:
    fields = Fields([(b"User-Agent", agent) for agent in agents])
    return SimpleNamespace(request=Request(method, b"/", fields))


CASES: dict[str, tuple[list[str], list[bytes], bool]] = {
    "searched": (["[Bb]ot"], [b"Mozilla/5.0 (compatible; SomeBot/1.0)"], True),
    "case_matters": (["bot"], [b"SomeBOT/1.0"], False),
    "any_of_several": (["^curl/", "^Wget/"], [b"Wget/1.21"], True),
    "other": (["^curl/"], [b"libcurl/8"], False),
    "absent": (["", "."], [], False),
    "empty": (["^$"], [b""], True),
    "second_line": (["bot"], [b"good", b"bot"], True),
    "long": (["bot$"], [b"x" * 5000 + b"bot"], True),
    "long_other": (["bot$"], [b"x" * 5000], False),
    "latin1": (["ü"], [b"\xfc"], True),
    "none": ([], [b"curl/8"], False),
}


@pytest.mark.parametrize(("patterns", "agents", "holds"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("method", [b"GET", b"CONNECT"])
def test_agent(patterns: list[str], agents: list[bytes], holds: bool, method: bytes) -> None:
    condition = Agent(patterns, Means())
    assert condition.holds(asked(*agents, method=method)) is holds
    assert condition.holds(asked(*agents, method=method)) is holds  # remembered


def test_each_agent_is_searched_once() -> None:
    condition = Agent(["."], Means())
    for value in [b"curl/8", b"Wget/1.21", b"curl/8", b"x" * 600, b"x" * 600]:
        assert condition.holds(asked(value))
    known = condition._known.cache_info()  # type: ignore[attr-defined]
    assert (known.misses, known.hits) == (2, 1)  # long ones are not remembered


def test_what_is_remembered_is_bounded() -> None:
    condition = Agent(["1$"], Means())
    for number in range(1000):
        assert condition.holds(asked(b"agent/%d" % number)) is (number % 10 == 1)
    assert condition._known.cache_info().currsize < 1000  # type: ignore[attr-defined]


def test_it_is_gone_once_nobody_uses_it() -> None:
    condition = Agent(["curl"], Means())
    assert condition.holds(asked(b"curl/8"))
    gone = weakref.ref(condition._known)
    gc.disable()
    try:
        del condition
        assert gone() is None
    finally:
        gc.enable()


def test_no_head() -> None:
    assert not Agent([""], Means()).holds(SimpleNamespace(request=None))


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (asked(b"curl/8"), '"curl/8"'),
        (asked(b"\x1b[31m"), '"\\u001b[31m"'),
        (asked(), "no User-Agent"),
        (SimpleNamespace(request=None), "no User-Agent"),
    ],
)
def test_seen(question: SimpleNamespace, text: str) -> None:
    assert Agent(["."], Means()).seen(question) == text


def test_what_is_no_pattern() -> None:
    with pytest.raises(ValueError, match="RE2"):
        Agent(["a", "("], Means())
