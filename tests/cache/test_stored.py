"""Sizes are honest: what a store counts is what the process spends. Heads are right each second."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cycles import no_cycles
from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores.memory import MemoryStore
from twistproxy.http.cache_status import CacheStatus
from twistproxy.http.caching import Freshness
from twistproxy.http.dates import format_date
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request, Response

OBJECTS = 200
NOW = 1e9
A_MINUTE = Freshness(60, 0, NOW)


def encode(response: Response) -> bytes:
    return b"HTTP/1.1 %d %b\r\n%b" % (response.status, response.reason, response.fields.encode())


def passed_on(response: Response) -> bytes:
    """What the road makes of a head, as long as it may be."""
    response.fields.add(b"X-Proxy", b"x" * 250)
    return encode(response)


@pytest.mark.parametrize("lines", [0, 1, 6, 43])
@pytest.mark.parametrize("variants", [0, 2])
@pytest.mark.parametrize("body", [0, 5000])
@pytest.mark.parametrize("hit", [False, True])
def test_no_less_is_counted_than_is_spent_and_not_much_more(
    lines: int, variants: int, body: int, hit: bool
) -> None:
    store = MemoryStore(1 << 30)
    gc.collect()
    tracemalloc.start()
    try:
        for i in range(OBJECTS):
            stored = Stored(
                Key("pool:" + "shop", f"http://shop.example/{i:06}"),
                tuple((b"x-name-%d" % n, b"value %d %d" % (n, i)) for n in range(variants)),
                200,
                b"O" + b"K",
                Fields([(b"X-Name-%d" % n, b"value %d %d" % (n, i)) for n in range(lines)]),
                Freshness(60.0 + i, 0.5 + i, 1e9 + i),
                1e9 + i,
                bytes(body),
            )
            store.put(stored)
            if hit:
                stored.head("reverse", NOW + i + 5.2, passed_on)
        spent, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Room for its head is counted before the first hit.
    assert spent <= store.size <= (2 if hit else 2.5) * spent


def test_what_remembers_the_gone_is_counted() -> None:
    store = MemoryStore(OBJECTS * 1500)
    gc.collect()
    tracemalloc.start()
    try:
        for i in range(3 * OBJECTS):
            key = Key("open", f"http://shop.example/{i:06}")
            stored = Stored(key, (), 200, b"", Fields(), Freshness(60.0 + i, 0, 0), i)
            stored.head("forward", 5.5, passed_on)
            store.put(stored)
        spent, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert store.evicted > OBJECTS
    assert spent <= store.size <= 2 * spent


def test_the_garbage_collector_does_not_walk_what_is_stored() -> None:
    with no_cycles():
        store = MemoryStore(1 << 20)
        before = len(gc.get_objects())
        for i in range(100):
            key = Key("open", str(i % 50))
            fields = Fields([(b"X-Name", b"value %d" % i)])
            variant = ((b"accept", b"%d" % i), (b"x", None))
            stored = Stored(key, variant, 200, b"", fields, Freshness(60.0 + i, 0, NOW), NOW)
            stored.head(("forward", i), NOW + 0.5, encode)
            store.put(stored)
        del key, fields, variant, stored
        gc.collect(0)  # which finds out what is only plain values
        assert store.objects == 100
        assert len(gc.get_objects()) <= before + 10  # none for an object
        store.clear()


def test_the_table_of_a_store_can_be_frozen_while_it_is_empty() -> None:
    store = MemoryStore(1 << 20)
    assert gc.is_tracked(store._by_key)


# -- fields --

NAMES = st.from_regex(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,9}", fullmatch=True)
VALUES = st.from_regex(rb"([!-~\x80-\xff]([ \t!-~\x80-\xff]{0,9}[!-~\x80-\xff])?)?", fullmatch=True)


def stored(
    *lines: tuple[bytes, bytes],
    status: int = 200,
    fresh: Freshness = A_MINUTE,
    body: bytes = b"abc",
) -> Stored:
    key = Key("open", "http://a/")
    return Stored(key, (), status, b"OK", Fields(lines), fresh, NOW, body)


@given(lines=st.lists(st.tuples(NAMES, VALUES), max_size=5))
def test_lines_are_kept_as_they_were(lines: list[tuple[bytes, bytes]]) -> None:
    assert stored(*lines).fields == Fields(lines)


def test_fields_may_be_changed() -> None:
    one = stored((b"X", b"1"))
    one.fields.add(b"Set-Cookie", b"mine")
    assert list(one.fields) == [(b"X", b"1")]


# -- the head of a hit --

EIGHTHS = st.integers(-80, 800).map(lambda n: n / 8)  # their sums are exact


@given(
    lifetime=EIGHTHS.filter(lambda n: n >= 0),
    initial_age=EIGHTHS.filter(lambda n: n >= 0),
    moments=st.lists(st.tuples(EIGHTHS, st.sampled_from("ab")), min_size=1, max_size=9),
)
def test_a_prepared_head_says_what_a_fresh_one_does(
    lifetime: float, initial_age: float, moments: list[tuple[float, str]]
) -> None:
    one = stored((b"X", b"1"), fresh=Freshness(lifetime, initial_age, NOW))
    for moment, flavour in moments:
        now = NOW + moment

        def make(response: Response, by: str = flavour) -> bytes:
            response.fields.set(b"Via", by.encode())
            return encode(response)

        age = one.response(now).fields.all(b"age")
        assert len(age) == 1
        assert one.head(flavour, now, make) == b"".join(
            [
                b"HTTP/1.1 200 OK\r\nX: 1\r\nVia: %b\r\n" % flavour.encode(),
                b"Content-Length: 3\r\nAge: %b\r\n" % age[0],
                b"Cache-Status: %b\r\n" % CacheStatus(hit=True, ttl=one.ttl(now)).encode(),
            ]
        )


class Road:
    """Counts how often it is asked for a head."""

    def __init__(self, answer: bytes | None = b"HTTP/1.1 200 OK\r\n") -> None:
        self.answer = answer
        self.asked = 0

    def __call__(self, response: Response) -> bytes | None:
        self.asked += 1
        return self.answer


def test_a_head_is_made_once_and_in_one_second_it_is_one_object() -> None:
    one, road = stored(), Road()
    heads = [one.head(("forward", 1), NOW + n / 10 + 0.05, road) for n in range(100)]
    assert road.asked == 1
    assert len({id(head) for head in heads}) == 10


def test_each_flavour_has_its_head() -> None:
    one, first, second = stored(), Road(b"first\r\n"), Road(b"second\r\n")
    for _ in range(2):
        head = one.head(("forward", 1), NOW + 0.5, first)
        assert head is not None
        assert head.startswith(b"first")
        head = one.head(("forward", 2), NOW + 0.5, second)
        assert head is not None
        assert head.startswith(b"second")


def test_what_can_not_be_prepared_is_not_tried_again() -> None:
    one, road = stored(), Road(None)
    for n in range(5):
        assert one.head("reverse", NOW + n, road) is None
    assert road.asked == 1
    assert one.head("forward", NOW, Road()) is not None


def test_a_head_longer_than_counted_is_not_kept() -> None:
    one, road = stored(), Road(b"X: %b\r\n" % (b"x" * 400))
    for n in range(5):
        head = one.head("reverse", NOW + 0.5, road)
        assert head is not None
        assert head.startswith(b"X: xxx")
        assert road.asked == n + 1


def test_a_204_has_no_length() -> None:
    head = stored(status=204, body=b"").head("reverse", NOW, Road())
    assert head == b"HTTP/1.1 200 OK\r\nAge: 0\r\nCache-Status: twistproxy; hit; ttl=60\r\n"


def test_a_304_is_for_who_has_it() -> None:
    one = stored((b"Date", format_date(NOW)), (b"ETag", b'"1"'), (b"Content-Type", b"a/b"))
    request = Request(b"GET", b"/", Fields([(b"If-None-Match", b'"1"')]))
    head = one.not_modified(request, NOW + 3)
    assert head is not None
    assert encode(head).endswith(b'ETag: "1"\r\nAge: 3\r\n')
    assert one.not_modified(Request(b"GET", b"/", Fields()), NOW) is None


def test_repr() -> None:
    assert repr(stored()) == "<Stored 200 open http://a/ 3 bytes>"
