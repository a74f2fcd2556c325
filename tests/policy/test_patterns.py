from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.policy.patterns import compiled, is_in, is_secret, names_in, seen, tables

FOUND = {
    "anywhere": ("b", b"abc", True),
    "case_matters": ("B", b"abc", False),
    "ends": ("^abc$", b"abc", True),
    "an_end_is_no_line's": ("^abc$", b"abc\n", False),
    "behind_a_nul": ("evil", b"a\0evil", True),
    "dot_is_a_line's_end_too": ("a.c", b"a\nc", True),
    "utf8": ("^bücher$", "bücher".encode(), True),
    "latin1": ("^bücher$", "bücher".encode("latin-1"), True),
    "dot_is_no_utf8_too": ("^a.c$", b"a\xffc", True),
    "past_what_is_no_utf8": ("a.*evil", b"a\xc0\xafevil", True),
    "groups": ("(a)(b)?", b"ac", True),
    "empty": ("", b"", True),
}


@pytest.mark.parametrize(("pattern", "value", "expected"), FOUND.values(), ids=FOUND)
def test_found(pattern: str, value: bytes, expected: bool) -> None:
    assert is_in(compiled(pattern), value) is expected


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_nothing_around_hides_ascii(before: bytes, after: bytes) -> None:
    assert is_in(compiled("^.*evil.*$"), before + b"evil" + after)


@pytest.mark.parametrize("pattern", ["a(?=b)", "(", r"\1"])
def test_what_is_no_pattern(pattern: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"^no RE2 pattern: \w"):
        compiled(pattern)
    assert capfd.readouterr().err == ""


def test_an_empty_table_would_always_hold() -> None:
    with pytest.raises(ValueError, match="names nothing"):
        tables([{"a": "b"}, {}], str.encode)


def test_names_are_listed_once_in_order() -> None:
    made = tables([{"b": "", "a": ""}, {"c": "", "a": ""}], str.encode)
    assert names_in(made) == [b"b", b"a", b"c"]


SEEN = {
    "there": (b"x-team", [b"build"], 'x-team "build"'),
    "several": (b"q", [b"a", b""], 'q "a", ""'),
    "absent": (b"x-team", [], "no x-team"),
    "secret": (b"x-api-key", [b"s3cret"], "x-api-key (not shown)"),
    "absent_secret": (b"authorization", [], "no authorization"),
    "odd": (b"a\nb", [b"\x1b[31m\xff"], '"a\\nb" "\\u001b[31m\N{REPLACEMENT CHARACTER}"'),
}


@pytest.mark.parametrize(("name", "values", "text"), SEEN.values(), ids=SEEN)
def test_seen(name: bytes, values: list[bytes], text: str) -> None:
    assert seen(name, values) == text


def test_a_long_value_is_seen_in_short() -> None:
    assert len(seen(b"q", [b"x" * 10_000])) < 100


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Proxy-Authorization", "Cookie", "X-API-Key", "X-Csrf-Token", "PHPSESSID"],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name.encode())


def test_other_names_are_none() -> None:
    assert not is_secret(b"user-agent")
