"""What is told of a URL."""

from __future__ import annotations

import pytest

from twistproxy.cache.desk.why import OURS, Copy, Why, why
from twistproxy.cache.purge import outdate
from twistproxy.cache.refusals import Refusal
from twistproxy.cache.stored import Key, Stored
from twistproxy.config.model import Cache
from twistproxy.http.caching import CLAUSES
from twistproxy.http.dates import format_date
from twistproxy.http.fields import Fields
from twistproxy.http.freshness import freshness
from twistproxy.http.message import Response
from twistproxy.http.ranges import Parts
from twistproxy.http.variants import Variant

URL = "http://a.example/x"
NOW = 1_700_000_000.0
KEY = Key("pool:a", URL)
DEFAULTS = Cache()


def stored(
    *lines: tuple[bytes, bytes],
    key: Key = KEY,
    variant: Variant = (),
    body: bytes | Parts = b"12345",
    tags: tuple[str, ...] = (),
    terms: Cache = DEFAULTS,
    status: int = 200,
) -> Stored:
    fields = Fields([(b"Date", format_date(NOW)), *lines])
    fresh = freshness(Response(status, fields), NOW, NOW, terms.heuristic_max, terms.negative_ttl)
    return Stored(key, variant, status, b"OK", fields, fresh, NOW, body, tags)


def told(*found: Stored, now: float = NOW, terms: Cache = DEFAULTS) -> Why:
    return why(URL, [("memory", found)], [], terms, now)


def told_of(*lines: tuple[bytes, bytes], now: float = NOW, terms: Cache = DEFAULTS) -> Copy:
    (copy,) = told(stored(*lines, terms=terms), now=now, terms=terms).copies
    return copy


def control(value: bytes) -> tuple[bytes, bytes]:
    return b"Cache-Control", value


BASES = {
    "s-maxage": (control(b"max-age=1, s-maxage=60"), "s-maxage", 60.0),
    "max-age": (control(b"max-age=60"), "max-age", 60.0),
    "expires": ((b"Expires", format_date(NOW + 60)), "expires", 60.0),
    "a guess": ((b"Last-Modified", format_date(NOW - 600)), "heuristic", 60.0),
    "none": ((b"ETag", b'"a"'), "none", 0.0),
    "for us": ((b"CDN-Cache-Control", b"max-age=60"), "max-age", 60.0),
}


@pytest.mark.parametrize(("line", "basis", "lifetime"), BASES.values(), ids=BASES)
def test_what_a_lifetime_is_from(line: tuple[bytes, bytes], basis: str, lifetime: float) -> None:
    copy = told_of(line)
    assert (copy.basis, copy.lifetime, copy.soft_purged) == (basis, lifetime, False)


def test_a_guess_is_bounded_by_the_configuration() -> None:
    modified = (b"Last-Modified", format_date(NOW - 86400))
    assert told_of(modified, terms=Cache(heuristic_max=60.0)).lifetime == 60.0


def test_a_negative_ttl_is_told() -> None:
    terms = Cache(negative_ttl=30.0)
    (copy,) = told(stored(status=404, terms=terms), terms=terms).copies
    assert (copy.basis, copy.lifetime) == ("negative-ttl", 30.0)


STALE = {
    "a grace": (control(b"max-age=60"), None, {"grace": 3600.0}),
    "while it is asked": (
        control(b"max-age=60, stale-while-revalidate=10"),
        None,
        {"stale-while-revalidate": 10.0, "grace": 3600.0},
    ),
    "for errors": (control(b"max-age=60, stale-if-error=20"), None, {"stale-if-error": 20.0}),
    "never": (control(b"max-age=60, must-revalidate"), "must-revalidate", {}),
    "never, by s-maxage": (control(b"s-maxage=60, stale-if-error=20"), "s-maxage", {}),
    "never unasked": (control(b"max-age=60, no-cache"), "no-cache", {}),
}


@pytest.mark.parametrize(("line", "never", "allowed"), STALE.values(), ids=STALE)
def test_what_staleness_is_allowed(
    line: tuple[bytes, bytes], never: str | None, allowed: dict[str, float]
) -> None:
    copy = told_of(line)
    assert (copy.never_stale, copy.stale_for) == (never, allowed)


def test_without_a_grace_there_is_none() -> None:
    assert told_of(control(b"max-age=60"), terms=Cache(grace=0.0)).stale_for == {}


def test_how_fresh_it_is() -> None:
    fresh = told_of(control(b"max-age=60"), now=NOW + 20)
    assert (fresh.age, fresh.ttl, fresh.validate) == (20, 40, False)
    assert told_of(control(b"max-age=60"), now=NOW + 80).ttl == -20
    assert told_of(control(b"max-age=60, no-cache")).validate


def test_a_soft_purge_is_told() -> None:
    purged = stored(control(b"max-age=60"))
    outdate(purged, NOW + 10)
    (copy,) = told(purged, now=NOW + 15).copies
    assert (copy.soft_purged, copy.lifetime, copy.ttl) == (True, 10.0, -5)


def test_one_object_may_be_in_several_stores() -> None:
    memory = [stored(variant=((b"accept", b"a"),)), stored(variant=((b"accept", b"b"),))]
    disk = [stored(variant=((b"accept", b"b"),)), stored(key=Key("open", URL))]
    found = why(URL, [("memory", memory), ("memory", memory), ("disk", disk)], [], Cache(), NOW)
    assert [(copy.key.who, copy.chosen_by, copy.where) for copy in found.copies] == [
        ("pool:a", {"accept": "a"}, ("memory",)),
        ("pool:a", {"accept": "b"}, ("memory", "disk")),
        ("open", {}, ("disk",)),
    ]


def test_secrets_are_not_told() -> None:
    variant = ((b"authorization", b"Basic s3cret"), (b"cookie", b"s3cret"), (b"accept", None))
    account = told(stored(variant=variant))
    assert account.copies[0].chosen_by == {"authorization": "…", "cookie": "…", "accept": None}
    assert "s3cret" not in repr(account)


def test_a_part_of_a_body_is_told_as_that() -> None:
    account = told(stored(body=Parts(5000, ((0, bytes(1000)),))))
    assert (account.copies[0].size, account.copies[0].length) == (1000, 5000)
    assert "200, 1000 of 5000 bytes, in memory" in repr(account)


def test_every_token_has_words() -> None:
    assert all(clause.text.endswith(".") for clause in (CLAUSES | OURS).values())
    assert not CLAUSES.keys() & OURS.keys()


def test_it_is_a_text_to_read() -> None:
    first = stored(
        control(b"max-age=60, stale-while-revalidate=30"),
        variant=((b"accept-encoding", b"gzip"), (b"x-team", None)),
        tags=("front", "news"),
    )
    first.uses = 12
    second = stored(control(b"no-cache"), key=Key("open", URL))
    refused = [
        Refusal(Key("open", URL, "0123456789abcdef0123"), "disabled", NOW - 7200),
        Refusal(KEY, "no-store", NOW - 3),
    ]
    account = why(URL, [("memory", [first, second]), ("disk", [first])], refused, Cache(), NOW + 6)
    assert (
        repr(account)
        == """\
http://a.example/x: stored

from pool:a, http://a.example/x
  stored      200, 5 bytes, in memory, disk
  chosen by   accept-encoding: gzip (RFC 9111 §4.1)
  chosen by   x-team: absent (RFC 9111 §4.1)
  lifetime    60 s: max-age says how long it may be reused. (RFC 9111 §5.2.2.1)
  age         6 s
  fresh       for 54 s more
  stale       up to 30 s: Served stale at once, while the origin is asked. (RFC 5861 §3)
  stale       up to 3600 s: Served stale, since no server is up. (RFC 9111 §4.2.4)
  tags        front news
  hits        12 of late

from open, http://a.example/x
  stored      200, 5 bytes, in memory
  lifetime    0 s: Nothing says how long it is fresh: it isn't. (RFC 9111 §4.2.1)
  age         6 s
  fresh       no: no-cache: never reused without the origin's word. (RFC 9111 §5.2.2.4)
  stale       never served: no-cache: never reused without the origin's word. (RFC 9111 §5.2.2.4)
  hits        0 of late

not stored 9 s ago, from pool:a, http://a.example/x:
  The response says no-store. (RFC 9111 §5.2.2.5)
not stored 2 h ago, from open, http://a.example/x (QUERY 0123456789abcdef):
  cache.enabled is false."""
    )


def test_what_is_stale_or_unknown_is_told() -> None:
    assert "  fresh       no, stale for 20 s (RFC 9111 §4.2)" in repr(
        told(stored(control(b"max-age=60")), now=NOW + 80)
    )
    assert repr(told()) == (
        "http://a.example/x: not stored\nNobody asked for it lately, or it has left to make room."
    )
