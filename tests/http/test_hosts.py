"""Which hosts a pattern is for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http.hosts import HostPatterns, patterns_of, unmapped

LABELS = st.lists(st.sampled_from(["a", "b", "xn--bcher-kva", "example"]), min_size=1, max_size=6)


def test_the_most_specific_pattern_comes_first():
    assert list(patterns_of("a.b.c")) == ["a.b.c", ".a.b.c", "*.b.c", ".b.c", "*.c", ".c"]
    assert list(patterns_of("localhost")) == ["localhost", ".localhost"]
    assert patterns_of("a" * 63 + ".example")[-2:] == ("*.example", ".example")


MATCHES = {
    "exact": ("a.example", "a.example", True),
    "exact_not_below": ("a.example", "x.a.example", False),
    "dot_itself": (".a.example", "a.example", True),
    "dot_below": (".a.example", "x.y.a.example", True),
    "dot_no_longer_label": (".a.example", "xa.example", False),
    "star_not_itself": ("*.a.example", "a.example", False),
    "star_below": ("*.a.example", "x.y.a.example", True),
    "in_normal_form": ("*.BÜCHER.example.", "x.xn--bcher-kva.example", True),
    "address": ("[2001:DB8::0:1]", "2001:db8::1", True),
}


@pytest.mark.parametrize(("pattern", "host", "matches"), MATCHES.values(), ids=MATCHES)
def test_what_matches(pattern: str, host: str, matches: bool):
    assert (host in HostPatterns([pattern])) is matches
    assert (host in HostPatterns(["other.test", pattern])) is matches


def test_no_patterns_match_nothing():
    assert "a.example" not in HostPatterns([])


@pytest.mark.parametrize("pattern", ["", "*", "a b", "*x.example", "*.192.0.2.1"])
def test_what_is_no_pattern_is_told(pattern: str):
    with pytest.raises(ValueError, match=r"host|below"):
        HostPatterns([pattern])


@given(LABELS, LABELS)
def test_a_wildcard_is_a_suffix_at_a_dot(above: list[str], below: list[str]):
    host, zone = ".".join(below + above), ".".join(above)
    assert {f".{zone}", f"*.{zone}"} <= set(patterns_of(host))
    assert f"*.{host}" not in patterns_of(host)


@pytest.mark.parametrize(
    ("host", "seen"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "::ffff:c000:201"),
        ("2001:db8::1", "2001:db8::1"),
        ("192.0.2.1", "192.0.2.1"),
        ("a.example", "a.example"),
        ("", ""),
    ],
)
def test_a_mapped_address_is_the_one_that_it_leads_to(host: str, seen: str) -> None:
    assert unmapped(host) == seen
