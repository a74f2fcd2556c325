from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http.fields import Fields
from twistproxy.http.message import Request
from twistproxy.policy import Means
from twistproxy.policy.conditions.cookie import Cookie, values_of


def asked(*lines: bytes) -> SimpleNamespace:
    fields = Fields([(b"Cookie", line) for line in lines])
    return SimpleNamespace(request=Request(b"GET", b"/", fields))


CASES: dict[str, tuple[dict[str, str], list[bytes], bool]] = {
    "searched": ({"session": "b"}, [b"session=abc"], True),
    "not_in_another": ({"session": "b"}, [b"other=abc; session=x"], False),
    "ends_are_the_value's": ({"a": "^1$"}, [b"b=2; a=1; c=3"], True),
    "all_of_a_table": ({"a": "1", "b": "2"}, [b"b=2; a=1"], True),
    "not_all": ({"a": "1", "b": "2"}, [b"b=3; a=1"], False),
    "any_of_several_values": ({"a": "^2$"}, [b"a=1; a=2; a=3"], True),
    "in_a_second_line": ({"a": "^2$"}, [b"b=1", b"a=2"], True),
    "names_in_their_case": ({"Session": "."}, [b"session=abc"], False),
    "no_space": ({"a": "^1$"}, [b"b=2;a=1"], True),
    "space_around": ({"a": "^1$"}, [b"b=2; \t a \t=\t 1 "], True),
    "equals_in_it": ({"a": "^=1=$"}, [b"a==1="], True),
    "quotes_are_its_own": ({"a": '^"1"$'}, [b'a="1"'], True),
    "escapes_are_its_own": ({"a": "^%31$"}, [b"a=%31"], True),
    "no_name_for_a_name": ({"session": ""}, [b"session"], False),
    "there_at_all": ({"a": ""}, [b"a="], True),
    "not_in_a_name": ({"a": ""}, [b"xa=1; ax=1"], False),
    "not_in_a_value": ({"a": "1"}, [b"x=a=1"], False),
    "no_cookies": ({"a": ""}, [], False),
    "long": ({"a": "evil$"}, [b"a=" + b"x" * 60_000 + b"evil"], True),
    "many": ({"z": "1"}, [b"a=0; " * 5000 + b"z=1"], True),
}


@pytest.mark.parametrize(("table", "lines", "holds"), CASES.values(), ids=CASES)
def test_cookie(table: dict[str, str], lines: list[bytes], holds: bool) -> None:
    assert Cookie([{"never": "."}, table], Means()).holds(asked(*lines)) is holds


PART = st.text('aZ=; \t"%', max_size=3).map(str.encode)


@given(st.lists(PART, max_size=5), st.sampled_from([b"a", b"Z", b"aZ", b"%"]))
def test_lines_are_as_good_as_one(lines: list[bytes], name: bytes) -> None:
    assert values_of(asked(*lines), name) == values_of(asked(b"; ".join(lines)), name)


def test_no_head() -> None:
    assert not Cookie([{"a": ""}], Means()).holds(SimpleNamespace(request=None))


def test_only_whether_it_is_there_is_seen() -> None:
    condition = Cookie([{"session": "."}, {"lang": "."}], Means())
    assert condition.seen(asked(b"session=s3cret")) == "a cookie session, no cookie lang"
    assert condition.seen(SimpleNamespace(request=None)) == "no cookie session, no cookie lang"


@pytest.mark.parametrize("name", ["", "a b", "a;", "a=", "ü"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="no cookie"):
        Cookie([{name: "x"}], Means())


def test_what_is_no_pattern() -> None:
    with pytest.raises(ValueError, match="RE2"):
        Cookie([{"a": "("}], Means())
