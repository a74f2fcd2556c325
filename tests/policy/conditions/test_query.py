from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http import uri
from twistproxy.policy import Means
from twistproxy.policy.conditions.query import Query, parameters_of

CASES = {
    "searched": ({"q": "or"}, b"word", False),
    "found": ({"q": "or"}, b"q=word", True),
    "not_in_another": ({"q": "or"}, b"p=word&q=", False),
    "all_of_a_table": ({"a": "^1$", "b": "^2$"}, b"b=2&a=1", True),
    "not_all": ({"a": "^1$", "b": "^2$"}, b"b=3&a=1", False),
    "any_of_several_values": ({"a": "^2$"}, b"a=1&a=2&a=3", True),
    "one_value_for_each": ({"a": "1.*2"}, b"a=1&a=2", False),
    "escaped_value": ({"q": "^a=b&c$"}, b"q=a%3Db%26c", True),
    "escaped_name": ({"q": "x"}, b"%71=x", True),
    "decoded_once": ({"q": "^%78$"}, b"q=%2578", True),
    "not_twice": ({"q": "x"}, b"q=%2578", False),
    "stray_percent": ({"q": "^100%$"}, b"q=100%", True),
    "plus_is_kept": ({"q": r"^a\+b$"}, b"q=a+b", True),
    "names_in_their_case": ({"q": "x"}, b"Q=x", False),
    "behind_a_nul": ({"q": "x"}, b"q=%00x", True),
    "over_a_line's_end": ({"q": "a.b"}, b"q=a%0Ab", True),
    "no_equals": ({"q": "^$"}, b"q", True),
    "there_at_all": ({"q": ""}, b"q=", True),
    "not_there": ({"q": ""}, b"p=", False),
    "two_equals": ({"q": "^=x$"}, b"q==x", True),
    "empty_parameters": ({"q": "x"}, b"&&q=x&", True),
    "no_name": ({"": "x"}, b"=x", True),
    "utf8": ({"stäv": "ü"}, b"st%C3%A4v=%C3%BC", True),
    "latin1": ({"q": "ü"}, b"q=%FC", True),
    "overlong_utf8_hides_nothing": ({"q": "/.*evil"}, b"q=/%C0%AFevil", True),
    "semicolon_is_data": ({"q": "x"}, b"a=1;q=x", False),
}


@pytest.mark.parametrize(("table", "query", "holds"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("filling", [b"", b"&filling=" + b"x" * 4000], ids=["short", "long"])
def test_query(table: dict[str, str], query: bytes, holds: bool, filling: bytes) -> None:
    question = SimpleNamespace(target=uri.absolute(b"http://h/?%b%b" % (query, filling)))
    assert Query([{"never": "."}, table], Means()).holds(question) is holds


def test_no_query() -> None:
    assert not Query([{"": ""}], Means()).holds(SimpleNamespace(target=uri.absolute(b"http://h/")))


def test_a_tunnel_has_none() -> None:
    question = SimpleNamespace(target=uri.tunnel(b"a:443"))
    condition = Query([{"q": ""}], Means())
    assert not condition.holds(question)
    assert condition.seen(question) == "a tunnel"


def test_seen() -> None:
    question = SimpleNamespace(target=uri.absolute(b"http://h/?q=a%26b&q=&access_token=s3cret"))
    condition = Query([{"q": "x", "p": "x"}, {"access_token": "x"}], Means())
    assert condition.seen(question) == 'q "a&b", "", no p, access_token (not shown)'


NAMES = st.text("aZ%&=+;é\0 ", min_size=1, max_size=3)


@given(st.lists(st.tuples(NAMES, NAMES), max_size=4))
def test_what_was_escaped_is_there_again(pairs: list[tuple[str, str]]) -> None:
    escaped = ["=".join("".join(f"%{byte:02x}" for byte in text.encode()) for text in pair)
               for pair in pairs]  # fmt: skip
    target = uri.absolute(f"http://h/?{'&'.join(escaped)}".encode())
    expected: dict[bytes, tuple[bytes, ...]] = {}
    for name, value in pairs:
        expected[name.encode()] = (*expected.get(name.encode(), ()), value.encode())
    assert parameters_of(target.query or "") == expected  # type: ignore[union-attr]


def test_what_is_no_pattern() -> None:
    with pytest.raises(ValueError, match="RE2"):
        Query([{"q": "("}], Means())
