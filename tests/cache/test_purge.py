"""What a purge means, and what becomes of what it means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.cache.purge import (
    TAGS_AT_ONCE,
    By,
    Purge,
    meant,
    outdate,
    outdated,
    requested,
    spellings,
    tags_of,
)
from twistproxy.cache.stored import Key, Stored
from twistproxy.http.caching import Freshness
from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields
from twistproxy.http.message import Response
from twistproxy.http.uri import Target, absolute

MATCHED: dict[str, tuple[By, str, str, tuple[str, ...]]] = {
    "url": ("url", "http://a.example/x?y", "http://a.example/x?y", ()),
    "prefix": ("prefix", "http://a.example/x", "http://a.example/x/y", ()),
    "prefix alone": ("prefix", "http://a.example/", "http://a.example/", ()),
    "host": ("host", "a.example", "http://a.example/x", ()),
    "host on a port": ("host", "a.example", "https://a.example:8443/x", ()),
    "host in capitals": ("host", "A.Example.", "http://a.example/x", ()),
    "hosts below": ("host", "*.a.example", "http://www.a.example/x", ()),
    "host that is an address": ("host", "192.0.2.1", "http://192.0.2.1:80/x", ()),
    "host of IPv6": ("host", "[2001:db8::1]", "http://[2001:db8::1]/x", ()),
    "host of IPv6 on a port": ("host", "2001:db8::1", "http://[2001:db8::1]:8080/x", ()),
    "tag": ("tag", "news", "http://a.example/x", ("front", "news")),
    "pattern": ("pattern", r"\.(png|jpe?g)$", "http://a.example/x.jpg", ()),
    "pattern of a host": ("pattern", r"^http://[^/]*\.example/", "http://a.example/x", ()),
}
SPARED: dict[str, tuple[By, str, str, tuple[str, ...]]] = {
    "url": ("url", "http://a.example/x", "http://a.example/x?y", ()),
    "prefix": ("prefix", "http://a.example/x", "http://b.example/http://a.example/x", ()),
    "host": ("host", "a.example", "http://b.example/a.example", ()),
    "hosts below": ("host", "*.a.example", "http://a.example/x", ()),
    "host in a query": ("host", "a.example", "http://b.example/?u=http://a.example/", ()),
    "tag": ("tag", "new", "http://a.example/new", ("news",)),
    "pattern": ("pattern", "^a", "http://a.example/a", ()),
}


@pytest.mark.parametrize(("by", "value", "url", "tags"), MATCHED.values(), ids=MATCHED)
def test_what_is_meant(by: By, value: str, url: str, tags: tuple[str, ...]) -> None:
    assert Purge(by, value).matches(url, tags)


@pytest.mark.parametrize(("by", "value", "url", "tags"), SPARED.values(), ids=SPARED)
def test_what_is_not_meant(by: By, value: str, url: str, tags: tuple[str, ...]) -> None:
    assert not Purge(by, value).matches(url, tags)


def test_a_purge_is_plain_values() -> None:
    assert Purge("tag", "a", True) == Purge("tag", "a", True)
    assert Purge("tag", "a") != Purge("tag", "a", True)
    assert repr(Purge("pattern", "a+")) == "Purge(by='pattern', value='a+', soft=False)"


NO_PURGE: dict[str, tuple[By, str, str]] = {
    "url of no scheme": ("url", "a.example/x", "is not a URL such as"),
    "url of another scheme": ("url", "ftp://a.example/x", "is not a URL such as"),
    "url of no host": ("url", "http:///x", "is not a URL such as"),
    "prefix of no scheme": ("prefix", "/x", "is not a URL such as"),
    "prefix in the middle of an escape": ("prefix", "http://a.example/%4", "is not a URL"),
    "no host": ("host", "a b", "valid name"),
    "host with a port": ("host", "a.example:80", "valid name|HOST"),
    "no tag": ("tag", "", "one word"),
    "two tags": ("tag", "a b", "one word"),
    "tags with a comma": ("tag", "a,b", "one word"),
    "no pattern": ("pattern", "(", "no RE2 pattern"),
}


@pytest.mark.parametrize(("by", "value", "why"), NO_PURGE.values(), ids=NO_PURGE)
def test_what_is_no_purge_is_told(
    by: By, value: str, why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=why):
        meant(by, value)
    assert capfd.readouterr() == ("", "")


# -- what people and requests mean --

SPELLINGS = {
    "as it is kept": ("http://a.example/x?y", ["http://a.example/x?y"]),
    "host and port": ("HTTP://A.Example.:80/x", ["http://a.example/x"]),
    "no path": ("http://a.example", ["http://a.example/"]),
    "fragment": (" http://a.example/x#top", ["http://a.example/x"]),
    "as sent, and in normal form": (
        "http://a.example//x/%7Ey/../z",
        ["http://a.example//x/%7Ey/../z", "http://a.example/x/z"],
    ),
    "on a port of ours": (
        "http://a.example:8080/x",
        ["http://a.example:8080/x", "http://a.example/x"],
    ),
    "on a port of ours with TLS": (
        "https://a.example:8443/x",
        ["https://a.example:8443/x", "https://a.example/x"],
    ),
    "on another": ("http://a.example:9000/x", ["http://a.example:9000/x"]),
}


@pytest.mark.parametrize(("url", "kept_under"), SPELLINGS.values(), ids=SPELLINGS)
def test_a_url_may_be_kept_in_several_spellings(url: str, kept_under: list[str]) -> None:
    assert list(spellings(url, {8080, 8443})) == kept_under


@given(st.sampled_from(["url", "prefix"]), st.text() | st.text().map("http://a.example/".__add__))
def test_any_url_is_read_or_refused_in_words(by: By, url: str) -> None:
    words = ""
    try:
        found = meant(by, url)
    except ValueError as error:
        found, words = (), str(error)
    assert bool(found) is not ("is not a URL such as" in words)


PREFIXES = {
    "a folder": ("http://A.example/x/", ["http://a.example/x/"]),
    "a host": ("http://a.example", ["http://a.example/"]),
    "the beginning of a segment": ("http://a.example/.g", ["http://a.example/.g"]),
    "dots": (
        "http://a.example/x/../.g",
        ["http://a.example/x/../.g", "http://a.example/.g"],
    ),
    "of a query": ("http://a.example/x?y=", ["http://a.example/x?y="]),
    "beyond ASCII": (
        "http://a.example/ü",
        ["http://a.example/Ã¼", "http://a.example/%C3%BC"],
    ),
    "on a port of ours": (
        "http://a.example:8080/x",
        ["http://a.example:8080/x", "http://a.example/x"],
    ),
}


@pytest.mark.parametrize(("prefix", "kept_under"), PREFIXES.values(), ids=PREFIXES)
def test_and_so_may_a_prefix(prefix: str, kept_under: list[str]) -> None:
    assert [each.value for each in meant("prefix", prefix, ports={8080})] == kept_under


def test_what_is_meant_softly_is_soft() -> None:
    assert meant("tag", "a", soft=True) == (Purge("tag", "a", True),)
    assert all(each.soft for each in meant("url", "http://a.example//", soft=True))


TAG_FIELDS = (b"cache-tag", b"surrogate-key", b"xkey")


def asked_for(*lines: tuple[bytes, bytes], url: bytes = b"http://a.example//x") -> object:
    target = absolute(url)
    assert isinstance(target, Target)
    return requested(target, Fields(lines), TAG_FIELDS)


def test_a_request_means_its_target_however_it_is_kept() -> None:
    assert asked_for() == (Purge("url", "http://a.example//x"), Purge("url", "http://a.example/x"))
    assert asked_for(url=b"http://a.example/") == (Purge("url", "http://a.example/"),)


def test_a_request_may_mean_tags() -> None:
    asked = asked_for((b"Surrogate-Key", b"a b"), (b"xkey", b"c"), (b"Cache-Tag", b"a, d"))
    assert asked == tuple(Purge("tag", tag) for tag in "adbc")


def test_a_request_may_be_soft() -> None:
    soft = (b"Fastly-Soft-Purge", b"1")
    assert asked_for(soft, url=b"http://a.example/") == (Purge("url", "http://a.example/", True),)
    assert asked_for(soft, (b"xkey", b"a")) == (Purge("tag", "a", True),)
    assert asked_for((b"Fastly-Soft-Purge", b"0"), (b"xkey", b"a")) == (Purge("tag", "a"),)


def test_a_request_means_a_bounded_number_of_tags() -> None:
    most = b" ".join(b"t%d" % i for i in range(TAGS_AT_ONCE))
    found = asked_for((b"xkey", most))
    assert isinstance(found, tuple)
    assert len(found) == TAGS_AT_ONCE
    refused = asked_for((b"xkey", most + b" one-more"))
    assert isinstance(refused, Problem)
    assert refused.status == 400


def test_the_tags_of_an_object() -> None:
    fields = Fields([(b"Cache-Tag", b"a,b , c"), (b"XKEY", b"d\te"), (b"xkey", b"f"), (b"x", b"g")])
    assert tags_of(fields, TAG_FIELDS) == ("a", "b", "c", "d", "e", "f")
    assert tags_of(fields, (b"x",)) == ("g",)
    assert tags_of(fields, ()) == ()
    assert tags_of(Fields([(b"xkey", b" , ")]), TAG_FIELDS) == ()
    assert tags_of(Fields([(b"xkey", b"\xc3\xbc \xff")]), TAG_FIELDS) == ("ü", "�")


# -- soft --


def kept(**more: object) -> Stored:
    fresh = Freshness(60.0, 5.0, 1000.0)._replace(**more)
    return Stored(Key("open", "u"), (), 200, b"OK", Fields([(b"A", b"b")]), fresh, 1000.0, b"body")


def test_what_is_outdated_is_as_old_as_it_was_and_stale() -> None:
    stored = kept()
    outdate(stored, 1010.0)
    fresh = stored.freshness
    assert (fresh.age(1010.0), fresh.ttl(1010.0), fresh.usable(1010.0)) == (15.0, 0, False)
    assert stored.fresh_until < 1010.0
    assert (stored.body, stored.status) == (b"body", 200)


def test_what_is_stale_stays_as_stale_as_it_is() -> None:
    before = kept().freshness
    assert outdated(before, 2000.0) == before


def test_what_may_be_done_with_something_stale_may_be_done_now() -> None:
    before = Freshness(60.0, 5.0, 1000.0, strict=True)
    assert outdated(before, 1010.0) == before._replace(lifetime=15.0)


def test_a_head_that_was_prepared_while_it_was_fresh_is_not_sent() -> None:
    stored = kept()

    def make(response: Response) -> bytes:
        return b"HTTP/1.1 200 OK\r\n"

    before = stored.head("flavour", 1010.0, make)
    assert before is not None
    assert b"ttl=45" in before
    outdate(stored, 1010.0)
    after = stored.head("flavour", 1010.0, make)
    assert after is not None
    assert b"ttl=0" in after
