"""The cache as the road uses it; row names begin with RFC 9111's section."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cycles import no_cycles
from twistproxy.cache import Cache, Hit, Key, Miss, Stale, Writer
from twistproxy.cache.stores.memory import MemoryStore
from twistproxy.config import model
from twistproxy.config.model import Size
from twistproxy.http.caching import invalidated
from twistproxy.http.conditional import ask
from twistproxy.http.dates import format_date
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request, Response

NOW = 1_000_000_000.0
KEY = Key("open", "http://a.example/")
CC = b"Cache-Control"
FRESH = (CC, b"max-age=100")
ETAG = (b"ETag", b'"1"')

Line = tuple[bytes, bytes]


def date(seconds: float) -> bytes:
    return format_date(NOW + seconds)


def get(*lines: Line, method: bytes = b"GET") -> Request:
    return Request(method, b"/", Fields(lines))


def ok(*lines: Line, status: int = 200) -> Response:
    return Response(status, Fields(lines), b"OK")


def cache(limit: int = 1 << 20, max_object: int = 1 << 18) -> Cache:
    return Cache(MemoryStore(limit), terms(limit, max_object))


def terms(memory: int, max_object: int, enabled: bool = True) -> model.Cache:
    return model.Cache(enabled=enabled, memory=Size(memory), max_object=Size(max_object))


def keep(
    cache: Cache,
    response: Response,
    body: bytes = b"body",
    request: Request | None = None,
    at: float = NOW,
    key: Key = KEY,
) -> bool:
    """Fetched and stored in one go: whether it was."""
    writer = cache.store(key, request or get(), response, at, at, None)
    if writer is None:
        return False
    writer.write(body)
    return writer.finish()


def hit(cache: Cache, *lines: Line, at: float = NOW, key: Key = KEY) -> Hit:
    found = cache.lookup(key, get(*lines), at)
    assert isinstance(found, Hit)
    return found


def stale(cache: Cache, *lines: Line, at: float = NOW) -> Stale:
    found = cache.lookup(KEY, get(*lines), at)
    assert isinstance(found, Stale)
    return found


def miss(cache: Cache, *lines: Line, at: float = NOW, key: Key = KEY) -> Miss:
    found = cache.lookup(key, get(*lines), at)
    assert isinstance(found, Miss)
    return found


# -- a hit --


def test_4_what_was_stored_is_hit_with_its_age() -> None:
    box = cache()
    assert keep(box, ok(FRESH, (b"Date", date(-5)), (b"Content-Length", b"4"), (b"X", b"1")))
    found = hit(box, at=NOW + 10.7)
    head = found.response(NOW + 10.7)
    assert (head.status, head.reason, found.body) == (200, b"OK", b"body")
    assert list(head.fields) == [
        FRESH,
        (b"Date", date(-5)),
        (b"X", b"1"),
        (b"Age", b"15"),
    ]
    assert found.ttl(NOW + 10.7) == 84


def test_a_hits_head_may_be_changed_and_its_body_is_never_copied() -> None:
    box = cache()
    body = b"x" * 1000
    keep(box, ok(FRESH), body)
    first = hit(box)
    first.response(NOW).fields.add(b"Set-Cookie", b"mine")
    assert b"set-cookie" not in hit(box).response(NOW).fields
    assert hit(box).body is body


def test_4_a_head_is_answered_from_the_stored_get() -> None:
    box = cache()
    keep(box, ok(FRESH))
    assert isinstance(box.lookup(KEY, get(method=b"HEAD"), NOW), Hit)


def test_5_2_1_2_a_client_may_take_stale() -> None:
    box = cache()
    keep(box, ok(FRESH))
    assert hit(box, (CC, b"max-stale=9"), at=NOW + 105).ttl(NOW + 105) == -5


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ((b"If-None-Match", b'"1"'), 304),
        ((b"If-None-Match", b'"2"'), None),
        ((b"If-Modified-Since", date(-100)), 304),
        ((b"If-Modified-Since", date(-101)), None),
        ((b"X-None", b""), None),
    ],
)
def test_4_3_2_a_clients_own_condition(condition: Line, status: int | None) -> None:
    box = cache()
    keep(box, ok(FRESH, ETAG, (b"Last-Modified", date(-100)), (b"Content-Type", b"a/b")))
    request = get(condition)
    found = box.lookup(KEY, request, NOW)
    assert isinstance(found, Hit)
    head = found.not_modified(request, NOW + 3)
    assert (head and head.status) == status
    if head is not None:
        assert head.fields.get(b"age") == b"3"
        assert b"content-type" not in head.fields


def test_who_answers_is_part_of_the_key() -> None:
    box = cache()
    keep(box, ok(FRESH), key=Key("pool:shop", KEY.url))
    assert miss(box).reason == "uri-miss"
    assert hit(box, key=Key("pool:shop", KEY.url))


# -- a miss --

MISSES: dict[str, tuple[Request, str, str | None]] = {
    "2_uri": (get(), "uri-miss", None),
    "4_post": (get(method=b"POST"), "method", None),
    "4_options": (get(method=b"OPTIONS"), "method", None),
    "4.3.2_if_match": (get((b"If-Match", b'"1"')), "bypass", "condition"),
    "4.3.2_if_unmodified_since": (get((b"If-Unmodified-Since", b"x")), "bypass", "condition"),
    "get_with_body": (get((b"Content-Length", b"1")), "bypass", "body"),
    "4.3.2_clients_condition": (get((b"If-None-Match", b'"1"')), "uri-miss", None),
}


@pytest.mark.parametrize(("request_", "reason", "detail"), MISSES.values(), ids=MISSES)
def test_misses(request_: Request, reason: str, detail: str | None) -> None:
    found = cache().lookup(KEY, request_, NOW)
    assert isinstance(found, Miss)
    assert (found.reason, found.detail, found.only_if_cached) == (reason, detail, False)


@pytest.mark.parametrize(
    "lines",
    [[], [(b"Range", b"bytes=0-1")], [(b"Accept", b"b")], [(b"X-Late", b"1")]],
    ids=["uri", "bypass", "vary", "stale"],
)
def test_5_2_1_7_only_if_cached(lines: list[Line]) -> None:
    box = cache()
    if lines and lines[0][0] == b"Accept":
        keep(box, ok(FRESH, (b"Vary", b"accept")), request=get((b"Accept", b"a")))
    if lines and lines[0][0] == b"X-Late":
        keep(box, ok(FRESH, ETAG))
        assert miss(box, (CC, b"only-if-cached"), at=NOW + 100).reason == "stale"
    assert miss(box, (CC, b"only-if-cached"), *lines, at=NOW + 100).only_if_cached


def test_switched_off_it_keeps_what_it_has_and_says_why_not() -> None:
    box = cache()
    keep(box, ok(FRESH))
    box.configure(terms(1 << 20, 1 << 18, enabled=False))
    assert miss(box).detail == "disabled"
    assert not keep(box, ok(FRESH))
    assert box.refusal == "disabled"
    box.configure(terms(1 << 20, 1 << 18, enabled=True))
    assert hit(box)


# -- variants --


def test_4_1_each_variant_for_its_requests() -> None:
    box = cache()
    for accept in (b"a", b"b"):
        keep(box, ok(FRESH, (b"Vary", b"Accept")), accept, get((b"Accept", accept)))
    assert hit(box, (b"Accept", b"a")).body == b"a"
    assert hit(box, (b"Accept", b"b")).body == b"b"
    assert miss(box, (b"Accept", b"c")).reason == "vary-miss"
    assert box.snapshot()["objects"] == 2


def test_4_1_a_newer_response_takes_the_place_of_what_answered_before() -> None:
    box = cache()
    keep(box, ok(FRESH, (b"Vary", b"Accept")), b"old", get((b"Accept", b"a")))
    keep(box, ok(FRESH), b"new", get((b"Accept", b"a")))
    assert hit(box, (b"Accept", b"a")).body == b"new"
    assert box.snapshot()["objects"] == 1


def test_4_1_one_with_vary_is_chosen_before_one_without() -> None:
    box = cache()
    keep(box, ok(FRESH, (b"Vary", b"Accept")), b"a", get((b"Accept", b"a")))
    keep(box, ok(FRESH, (b"Date", date(9))), b"any", get((b"Accept", b"b")))
    assert hit(box, (b"Accept", b"a")).body == b"a"
    assert hit(box, (b"Accept", b"c")).body == b"any"


def test_4_the_youngest_of_several() -> None:
    box = cache()
    both = get((b"A", b"1"), (b"B", b"1"))
    keep(box, ok(FRESH, (b"Vary", b"A"), (b"Date", date(0))), b"a", get((b"A", b"1")))
    keep(box, ok(FRESH, (b"Vary", b"B"), (b"Date", date(-9))), b"b", get((b"B", b"1")))
    found = box.lookup(KEY, both, NOW)
    assert isinstance(found, Hit)
    assert found.body == b"a"


def test_4_the_youngest_of_two_without_vary() -> None:
    box = cache()
    store = box._memory
    keep(box, ok(FRESH, (b"Date", date(0))), b"young")
    young = store.get(KEY)[0]
    store.remove(KEY)
    keep(box, ok(FRESH, (b"Date", date(-9))), b"old")
    store.put(young)
    assert hit(box).body == b"young"


SHARED: dict[str, tuple[Request, bool]] = {
    "plain": (get(), True),
    "its own conditions": (get((b"If-None-Match", b'"1"')), True),
    "cookie": (get((b"Cookie", b"a=b")), True),
    "head": (get(method=b"HEAD"), False),
    "authorization": (get((b"Authorization", b"Basic eDp5")), False),
    "directives": (get((CC, b"max-age=0")), False),
    "pragma": (get((b"Pragma", b"no-cache")), False),
    "range": (get((b"Range", b"bytes=0-1")), False),
    "if-range": (get((b"If-Range", b'"1"')), False),
    "body": (get((b"Content-Length", b"1")), False),
    "chunked": (get((b"Transfer-Encoding", b"chunked")), False),
}


@pytest.mark.parametrize(("request_", "shared"), SHARED.values(), ids=SHARED)
def test_what_is_fetched_may_be_for_others_too(request_: Request, shared: bool) -> None:
    found = cache().lookup(KEY, request_, NOW)
    assert isinstance(found, Miss)
    assert found.shared is shared


# -- storing --

REFUSALS: dict[str, tuple[Request, Response, int | None, str]] = {
    "3_no_store": (get(), ok((CC, b"no-store")), None, "no-store"),
    "3_nothing_to_reuse_by": (get(), ok(), None, "no-freshness"),
    "3_stale_on_arrival": (get(), ok(FRESH, (b"Age", b"100")), None, "no-freshness"),
    "3_no_cache_without_validator": (get(), ok((CC, b"no-cache, max-age=9")), 1, "no-freshness"),
    "3_head": (get(method=b"HEAD"), ok(FRESH), None, "method"),
    "3_post": (get(method=b"POST"), ok(FRESH), None, "method"),
    "too_large": (get(), ok(FRESH), (1 << 18) + 1, "too-large"),
    "3_partial": (get(), ok(FRESH, status=206), None, "partial"),
}


@pytest.mark.parametrize(("request_", "response", "length", "why"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(request_: Request, response: Response, length: int | None, why: str) -> None:
    box = cache()
    assert box.store(KEY, request_, response, NOW, NOW, length) is None
    assert box.refusal == why
    assert box.snapshot()["writing"] == 0


def test_larger_than_all_the_room() -> None:
    box = cache(limit=10_000, max_object=1 << 20)
    assert keep(box, ok(FRESH))
    assert box.store(KEY, get(), ok(FRESH), NOW, NOW, 10_000) is None
    assert box.refusal == "no-room"
    assert hit(box)


def test_a_refusal_is_of_the_last_store() -> None:
    box = cache()
    keep(box, ok())
    assert keep(box, ok(FRESH))
    assert box.refusal is None


def test_what_can_only_be_confirmed_is_stored_too() -> None:
    box = cache()
    assert keep(box, ok((CC, b"no-cache"), ETAG))
    assert stale(box).reason == "stale"


def open_writer(box: Cache, length: int | None = None, name: str = "w") -> Writer:
    writer = box.store(Key("open", name), get(), ok(FRESH), NOW, NOW, length)
    assert writer is not None
    return writer


def test_a_body_is_what_was_written() -> None:
    box = cache()
    writer = open_writer(box, 6)
    for part in (b"ab", b"", b"cdef"):
        writer.write(part)
    assert isinstance(box.lookup(Key("open", "w"), get(), NOW), Miss)
    assert writer.finish()
    assert hit(box, key=Key("open", "w")).body == b"abcdef"
    assert box.snapshot()["writing"] == 0


@pytest.mark.parametrize("parts", [[b"abc"], [b"abc", b"defg"], []], ids=["less", "more", "none"])
def test_3_3_a_body_of_another_length_is_not_stored(parts: list[bytes]) -> None:
    box = cache()
    writer = open_writer(box, 6)
    for part in parts:
        writer.write(part)
    assert not writer.finish()
    assert not writer.finish()
    assert box.snapshot()["objects"] == box.snapshot()["writing"] == 0


def test_a_body_that_grows_too_large_closes_its_writer() -> None:
    box = cache(max_object=10)
    writer = open_writer(box)
    writer.write(b"x" * 10)
    assert writer.open
    writer.write(b"x")
    assert not writer.open
    writer.write(b"x")
    assert not writer.finish()
    assert box.snapshot()["writing"] == 0


def test_an_abandoned_body_leaves_nothing() -> None:
    box = cache()
    writer = open_writer(box)
    writer.write(b"x")
    assert box.snapshot()["writing"] > 1
    writer.abandon()
    writer.abandon()
    assert box.snapshot()["writing"] == box.snapshot()["objects"] == 0


def test_a_stampede_of_large_bodies_leaves_half_of_the_room_to_others() -> None:
    box = cache(limit=200_000, max_object=200_000)
    for i in range(20):
        assert keep(box, ok(FRESH), bytes(2000), key=Key("open", f"popular{i}"))
        for _ in range(3):
            hit(box, key=Key("open", f"popular{i}"))
    writers = [open_writer(box, name=f"big{i}") for i in range(10)]
    for _ in range(100):
        for writer in writers:
            writer.write(bytes(1000))
            assert box.snapshot()["writing"] <= 100_000 or sum(w.open for w in writers) == 1
            assert box.snapshot()["bytes"] + box.snapshot()["writing"] <= 200_000
    assert sum(writer.open for writer in writers) >= 1
    assert box.snapshot()["objects"] >= 15


def test_one_body_alone_may_take_more_than_half() -> None:
    box = cache(limit=100_000, max_object=100_000)
    assert keep(box, ok(FRESH), bytes(90_000))


def test_many_small_parts_are_counted_as_what_they_take() -> None:
    box = cache()
    writer = open_writer(box)
    before = box.snapshot()["writing"]
    for _ in range(100):
        writer.write(b"x")
    assert box.snapshot()["writing"] - before > 100 * 40


# -- stale, and what confirms it --


def test_4_3_1_stale_says_how_to_ask() -> None:
    box = cache()
    keep(box, ok(FRESH, ETAG, (b"Last-Modified", date(-9))))
    found = stale(box, (b"If-None-Match", b'"mine"'), at=NOW + 100)
    assert found.reason == "stale"
    assert found.conditions == [ETAG_ASKED, (b"If-Modified-Since", date(-9))]
    assert ask(found.request.fields, found.conditions).get(b"if-none-match") == b'"1"'


ETAG_ASKED = (b"If-None-Match", b'"1"')


def test_5_2_1_4_a_client_may_want_it_confirmed() -> None:
    box = cache()
    keep(box, ok(FRESH, ETAG))
    assert stale(box, (CC, b"no-cache")).reason == "request"


def test_4_3_1_without_validator_there_is_nothing_to_ask_by() -> None:
    box = cache()
    keep(box, ok(FRESH))
    assert (stale(box, at=NOW + 100).reason, stale(box, at=NOW + 100).conditions) == ("stale", [])
    assert stale(box, (CC, b"no-cache")).reason == "request"
    assert box.snapshot()["stale"] == 3
    assert keep(box, ok(FRESH), at=NOW + 100)
    assert hit(box, at=NOW + 100)


def not_modified(*lines: Line) -> Response:
    return Response(304, Fields(lines))


def test_4_3_4_a_304_makes_it_fresh_again() -> None:
    box = cache()
    body = b"body" * 100
    keep(box, ok(FRESH, ETAG, (b"X", b"old"), (b"Content-Type", b"a/b")), body)
    late = NOW + 150
    answer = not_modified((b"Date", format_date(late)), ETAG, (b"X", b"new"), (b"Age", b"7"))
    found = box.refresh(stale(box, at=late), answer, late, late)
    assert found is not None
    assert found.body is body
    head = hit(box, at=late + 3).response(late + 3)
    assert head.status == 200
    assert head.fields.get(b"x") == b"new"
    assert head.fields.get(b"content-type") == b"a/b"
    assert head.fields.get(b"age") == b"10"
    assert hit(box, at=late + 3).ttl(late + 3) == 90
    assert box.snapshot()["objects"] == 1
    assert box.snapshot()["revalidated"] == 1


def test_4_3_4_a_304_without_date_counts_from_its_receipt() -> None:
    box = cache()
    keep(box, ok(FRESH, ETAG, (b"Date", date(0))))
    late = NOW + 5000
    box.refresh(stale(box, at=late), not_modified(), late, late)
    assert hit(box, at=late + 99)


def test_4_3_4_a_304_may_bring_a_new_lifetime() -> None:
    box = cache()
    keep(box, ok(FRESH, ETAG))
    late = NOW + 100
    box.refresh(stale(box, at=late), not_modified((CC, b"max-age=5")), late, late)
    assert hit(box, at=late + 4)
    assert stale(box, at=late + 5)


def test_4_3_4_a_304_of_something_else_forgets_it() -> None:
    box = cache()
    keep(box, ok(FRESH, ETAG))
    found = stale(box, at=NOW + 100)
    assert box.refresh(found, not_modified((b"ETag", b'"2"')), NOW, NOW) is None
    assert miss(box).reason == "uri-miss"


def test_4_3_4_a_304_that_forbids_storing_answers_once() -> None:
    box = cache()
    keep(box, ok(FRESH, ETAG))
    found = box.refresh(stale(box, at=NOW + 100), not_modified((CC, b"no-store")), NOW, NOW)
    assert found is not None
    assert found.body == b"body"
    assert miss(box).reason == "uri-miss"


def test_5_2_1_5_a_request_that_forbids_storing_changes_nothing() -> None:
    box = cache()
    keep(box, ok(FRESH, ETAG))
    late = NOW + 50
    found = stale(box, (CC, b"no-cache, no-store"), at=late)
    answer = box.refresh(found, not_modified((b"Date", format_date(late))), late, late)
    assert answer is not None
    assert answer.response(late).fields.get(b"age") == b"0"
    assert hit(box, at=late).response(late).fields.get(b"age") == b"50"


def test_4_3_4_a_304_to_a_head_confirms_the_get() -> None:
    box = cache()
    keep(box, ok(FRESH, ETAG))
    late = NOW + 100
    found = box.lookup(KEY, get(method=b"HEAD"), late)
    assert isinstance(found, Stale)
    assert box.refresh(found, not_modified(), late, late)
    assert hit(box, at=late + 1)


def test_what_left_while_it_was_confirmed_does_not_come_back() -> None:
    box = cache()
    keep(box, ok(FRESH, ETAG))
    late = NOW + 100
    found = stale(box, at=late)
    box.invalidate([KEY], late + 1)
    assert box.refresh(found, not_modified(), late, late + 2)
    assert miss(box, at=late + 2)


def test_what_was_replaced_while_it_was_confirmed_stays_replaced() -> None:
    box = cache()
    keep(box, ok(FRESH, ETAG), b"old")
    late = NOW + 100
    found = stale(box, at=late)
    keep(box, ok(FRESH, (b"ETag", b'"2"')), b"new", at=late)
    answer = box.refresh(found, not_modified(), late, late + 2)
    assert answer is not None
    assert answer.body == b"old"
    assert hit(box, at=late + 2).body == b"new"


def test_a_confirmed_object_keeps_its_fame() -> None:
    box = cache()
    keep(box, ok(FRESH, ETAG))
    hit(box)
    box.refresh(stale(box, at=NOW + 100), not_modified(), NOW + 100, NOW + 100)
    assert hit(box, at=NOW + 100).uses == 3


@pytest.mark.parametrize(
    ("lines", "stays"),
    [
        ([ETAG, (b"Content-Length", b"4")], True),
        ([ETAG, (b"Content-Length", b"5")], False),
        ([(b"ETag", b'"2"')], False),
    ],
    ids=["4.3.5_same", "4.3.5_length", "4.3.5_etag"],
)
def test_an_outdated_object_is_betrayed_by_a_head(lines: list[Line], stays: bool) -> None:
    box = cache()
    keep(box, ok(FRESH, ETAG))
    assert box.store(KEY, get(method=b"HEAD"), ok(*lines), NOW, NOW, None) is None
    assert isinstance(box.lookup(KEY, get(), NOW), Hit) is stays


def test_a_failed_head_betrays_nothing() -> None:
    box = cache()
    keep(box, ok(FRESH, ETAG))
    box.store(KEY, get(method=b"HEAD"), ok((b"ETag", b'"2"'), status=503), NOW, NOW, None)
    assert hit(box)


def test_a_head_of_200_betrays_a_stored_404() -> None:
    box = cache()
    keep(box, ok(FRESH, status=404))
    box.store(KEY, get(method=b"HEAD"), ok(), NOW, NOW, None)
    assert miss(box)


# -- invalidation --


def test_4_4_an_unsafe_method_invalidates_all_variants() -> None:
    box = cache()
    for accept in (b"a", b"b"):
        keep(box, ok(FRESH, (b"Vary", b"Accept")), accept, get((b"Accept", accept)))
    urls = invalidated(b"PUT", KEY.url, ok())
    assert box.invalidate([Key("open", url) for url in urls], NOW) == 2
    assert miss(box, (b"Accept", b"a")).reason == "uri-miss"
    assert box.snapshot()["invalidated"] == 2


def test_4_4_what_was_asked_for_before_is_not_stored_after() -> None:
    box = cache()
    writer = box.store(KEY, get(), ok(FRESH), NOW, NOW, None)
    assert writer is not None
    box.invalidate([KEY], NOW + 1)
    assert not writer.finish()
    assert not keep(box, ok(FRESH), at=NOW + 1)
    assert keep(box, ok(FRESH), at=NOW + 2)


def test_remembered_invalidations_are_bounded() -> None:
    box = cache()
    for i in range(5000):
        box.invalidate([Key("open", str(i))], NOW)
    assert len(box._outdated._keys) <= 1024


# -- the whole --


def test_clear_forgets_what_is_on_its_way_too() -> None:
    box = cache()
    keep(box, ok(FRESH))
    writer = open_writer(box)
    assert box.clear().result == {"memory": 1}
    assert not writer.open
    assert box.snapshot()["objects"] == box.snapshot()["writing"] == box.snapshot()["bytes"] == 0


def test_configure_keeps_what_fits() -> None:
    box = cache(limit=100_000)
    for i in range(10):
        keep(box, ok(FRESH), bytes(2000), key=Key("open", str(i)))
    box.configure(terms(20_000, 5, enabled=True))
    figures = box.snapshot()
    assert 1 <= figures["objects"] < 10
    assert figures["bytes"] <= figures["limit"] == 20_000
    assert box.store(KEY, get(), ok(FRESH), NOW, NOW, 6) is None
    box.configure(terms(100_000, 1 << 18, enabled=True))
    assert box.snapshot()["objects"] == figures["objects"]


def test_configure_abandons_what_has_no_room_any_more() -> None:
    box = cache(limit=100_000)
    writer = open_writer(box)
    writer.write(bytes(30_000))
    box.configure(terms(20_000, 1 << 18, enabled=True))
    assert not writer.open
    assert box.snapshot()["writing"] == 0


def test_what_was_decided_is_counted() -> None:
    box = cache()
    miss(box)
    keep(box, ok(FRESH, ETAG))
    hit(box)
    hit(box)
    stale(box, at=NOW + 100)
    box.lookup(KEY, get(method=b"POST"), NOW)
    figures = box.snapshot()
    assert all(type(value) is int for value in figures.values())
    assert {name: figures[name] for name in ("hits", "misses", "stale", "bypassed", "stored")} == {
        "hits": 2,
        "misses": 1,
        "stale": 1,
        "bypassed": 1,
        "stored": 1,
    }
    assert "hits 2\n" in repr(box)


def test_nothing_on_the_road_is_a_cycle() -> None:
    with no_cycles():
        box = cache()
        for i in range(5):
            keep(box, ok(FRESH, ETAG), key=Key("open", str(i)))
            open_writer(box, name=str(i)).abandon()
        keep(box, ok(FRESH, ETAG))
        found = box.refresh(stale(box, at=NOW + 100), not_modified(), NOW, NOW)
        assert found
        del box, found


# -- against a slow and obvious model --

SECONDS = st.sampled_from([b"0", b"5", b"60", b"x", b'"60"', b"-5"])


@st.composite
def directive(draw: st.DrawFn) -> bytes:
    name = draw(
        st.sampled_from(
            [
                b"max-age=",
                b"max-age=",
                b"s-maxage=",
                b"no-store",
                b"private",
                b"no-cache",
                b"must-revalidate",
                b"public",
                b"foo=",
            ]
        )
    )
    return name + draw(SECONDS) if name.endswith(b"=") else name


RESPONSES = st.tuples(
    st.lists(directive(), max_size=3), st.sampled_from([b"", b"accept", b"accept, x", b"*"])
)
REQUESTS = st.tuples(
    st.sampled_from([b"", b"a", b"b"]),
    st.sampled_from(
        [b"", b"", b"", b"no-cache", b"no-store", b"max-age=3", b"min-fresh=30", b"max-stale=30"]
    ),
    st.booleans(),
)
HISTORY = st.lists(
    st.one_of(
        st.tuples(st.just("fetch"), REQUESTS, RESPONSES),
        st.tuples(st.just("lookup"), REQUESTS, st.none()),
        st.tuples(st.just("wait"), st.sampled_from([1, 4, 10, 70]), st.none()),
        st.tuples(st.just("unsafe"), st.none(), st.none()),
    ),
    max_size=25,
)


class Kept:
    """One response that was fetched, in the terms of the model."""

    def __init__(self, request: Any, response: Any, at: float) -> None:
        self.accept, self.asked, self.authorized = request
        self.said, self.vary = response
        self.at = at
        self.outdated = False

    def number(self, name: bytes) -> int | None:
        values = [d.split(b"=")[1].strip(b'"') for d in self.said if d.startswith(name + b"=")]
        return min((int(v) if v.isdigit() else 0 for v in values), default=None)

    def may_answer(self, request: Any, now: float) -> bool:
        accept, asked, _ = request
        shared, age = self.number(b"s-maxage"), now - self.at
        lifetime = shared if shared is not None else self.number(b"max-age") or 0
        if b"no-store" in self.said or b"private" in self.said or self.asked == b"no-store":
            return False
        if b"*" in self.vary or (b"accept" in self.vary and accept != self.accept):
            return False
        if self.authorized and not (
            b"public" in self.said or shared is not None or b"must-revalidate" in self.said
        ):
            return False
        if self.outdated or b"no-cache" in self.said or asked == b"no-cache":
            return False
        if asked == b"max-stale=30" and shared is None and b"must-revalidate" not in self.said:
            return age <= lifetime + 30
        if asked == b"max-age=3" and age > 3:
            return False
        return age < lifetime - (29 if asked == b"min-fresh=30" else 0)


@settings(max_examples=400, deadline=None)
@given(history=HISTORY)
def test_nothing_is_served_that_a_slow_model_forbids(history: list[Any]) -> None:
    box = cache()
    now = NOW
    all_kept: list[Kept] = []
    for step, request, response in history:
        if step == "wait":
            now += request
            continue
        if step == "unsafe":
            box.invalidate([KEY], now)
            for each in all_kept:
                each.outdated = True
            now += 1
            continue
        accept, asked, authorized = request
        head = get(
            *([(b"Accept", accept)] if accept else []),
            *([(CC, asked)] if asked else []),
            *([(b"Authorization", b"x")] if authorized else []),
        )
        found = box.lookup(KEY, head, now)
        if isinstance(found, Hit):
            assert all_kept[int(found.body)].may_answer(request, now)
        elif isinstance(found, Stale) and step == "lookup":
            kept = all_kept[int(found.stored.body)]
            unchanged = (kept.asked, kept.authorized) == (asked, authorized)
            if unchanged and box.refresh(found, not_modified(), now, now):
                kept.at = now
        if step == "fetch":
            said, vary = response
            all_kept.append(Kept(request, response, now))
            name = b"%d" % (len(all_kept) - 1)
            keep(
                box,
                ok(
                    (b"Date", format_date(now)),
                    (b"ETag", b'"%b"' % name),
                    (CC, b", ".join(said)),
                    *([(b"Vary", vary)] if vary else []),
                ),
                name,
                head,
                now,
            )


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["open", "write", "write", "finish", "abandon", "configure"]),
            st.integers(0, 5),
            st.integers(0, 30_000),
        ),
        max_size=50,
    )
)
def test_no_history_of_writers_exceeds_the_bound(steps: list[tuple[str, int, int]]) -> None:
    box = cache(limit=60_000, max_object=50_000)
    writers: dict[int, Writer] = {}
    for step, which, size in steps:
        writer = writers.get(which)
        if step == "configure":
            box.configure(terms(size, 50_000, enabled=True))
        elif step == "open" and (writer is None or not writer.open):
            opened = box.store(Key("open", str(which)), get(), ok(FRESH), NOW, NOW, None)
            if opened is not None:
                writers[which] = opened
        elif writer is not None and step == "write":
            writer.write(bytes(size))
        elif writer is not None and step == "finish":
            writer.finish()
        elif writer is not None and step == "abandon":
            writer.abandon()
        figures = box.snapshot()
        assert figures["bytes"] + figures["writing"] <= figures["limit"]
        assert figures["writing"] == sum(each.held for each in writers.values())
    for each in writers.values():
        each.abandon()
    assert box.snapshot()["writing"] == 0


@settings(max_examples=300, deadline=None)
@given(
    kept=st.lists(
        st.tuples(
            st.sampled_from([b"", b"x"]),  # Vary
            st.sampled_from([b"a", b"b"]),  # the request's X
            st.sampled_from([b"max-age=0", b"max-age=9", b"max-age=9, no-cache", b"x"]),
            st.sampled_from([(b"Age", b"3"), ETAG]),
        ),
        max_size=3,
    ),
    asked=st.tuples(
        st.sampled_from([b"GET", b"HEAD", b"POST"]),
        st.lists(
            st.sampled_from(
                [
                    (b"X", b"a"),
                    (b"X", b"b"),
                    (b"Range", b"bytes=0-1"),
                    (b"Content-Length", b"0"),
                    (b"Content-Length", b"1"),
                    (b"Transfer-Encoding", b"chunked"),
                    (b"If-Match", b"*"),
                    (b"If-None-Match", b'"1"'),
                    (b"Pragma", b"no-cache"),
                    (b"Cookie", b"c"),
                ]
            ),
            max_size=2,
        ),
    ),
    wait=st.sampled_from([-5000.0, -1.0, 0.0, 5.5, 5.9995, 6.0, 8.5, 8.9995, 9.0, 50.0]),
    enabled=st.booleans(),
)
def test_the_short_way_to_a_hit_leads_where_the_long_one_does(
    kept: list[tuple[bytes, bytes, bytes, Line]],
    asked: tuple[bytes, list[Line]],
    wait: float,
    enabled: bool,
) -> None:
    box = cache()
    for vary, x, said, line in kept:
        keep(box, ok((CC, said), (b"Vary", vary), line), request=get((b"X", x)))
    box.configure(terms(1 << 20, 1 << 18, enabled=enabled))
    method, lines = asked
    pragma = [(CC, b"no-cache" if (b"Pragma", b"no-cache") in lines else b"means-nothing")]
    short = box.lookup(KEY, get(*lines, method=method), NOW + wait)
    long = box.lookup(KEY, get(*pragma, *lines, method=method), NOW + wait)
    if isinstance(short, Hit):
        assert short is long
    else:
        assert type(short) is type(long)
        assert short.reason == long.reason  # type: ignore[union-attr]
