from __future__ import annotations

import pytest

from listing import asked, contents, lookup

HAS = {
    # list, URL or tunnel, whether it has it
    "itself": ("http://a.example/ads/", "http://a.example/ads/", True),
    "longer": ("http://a.example/ads/", "http://a.example/ads/b?c", True),
    "within_a_segment": ("http://a.example/ad", "http://a.example/ads", True),
    "shorter": ("http://a.example/ads/", "http://a.example/ads", False),
    "another_scheme": ("http://a.example/ads/", "https://a.example/ads/", False),
    "either_scheme": ("a.example/ads/", "https://a.example/ads/", True),
    "whole_host": ("a.example", "http://a.example/b", True),
    "no_other_host": ("http://a.example", "http://a.example.org/", False),
    "not_below": ("a.example", "http://b.a.example/", False),
    "default_port": ("http://a.example:80/b", "http://a.example/b", True),
    "port": ("http://a.example:81/b", "http://a.example/b", False),
    "query": ("http://a.example/b?c=", "http://a.example/b?c=1", True),
    "another_query": ("http://a.example/b?c=", "http://a.example/b?d=1", False),
    "normal_form": ("HTTP://A.Example./x/../%61", "http://a.example/ab", True),
    "normal_form_asked": ("http://a.example/a", "http://A.example//b/../%61", True),
    "hidden_file": ("http://a.example/.", "http://a.example/.git", True),
    "ipv6": ("http://[2001:DB8::1]/", "http://[2001:db8::1]/a", True),
    "tunnel": ("https://a.example", "a.example:443", False),
    "comment": ("# http://a.example", "http://a.example/", False),
}


@pytest.mark.parametrize(("text", "target", "has"), HAS.values(), ids=HAS)
def test_has(text: str, target: str, has: bool) -> None:
    assert lookup("urls", text).has(asked(target)) is has


UNREADABLE = {
    "another_scheme": "ftp://a.example/",
    "no_host": "http:///a",
    "a_path": "/ads/",
    "a_space": "http://a.example/a b",
    "a_fragment": "http://a.example/#a",
    "stray_percent": "http://a.example/100%",
    "prose": "Not found on this server",
}


@pytest.mark.parametrize("line", UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable(line: str) -> None:
    _, found = contents("urls", line)
    assert (found.entries, found.unreadable) == (0, 1)
