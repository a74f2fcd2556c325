"""Sizes are honest: what a store counts is what the process spends."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores.memory import MemoryStore
from twistproxy.http.caching import Freshness
from twistproxy.http.fields import Fields

OBJECTS = 200


@pytest.mark.parametrize("lines", [0, 1, 5, 6, 11, 22, 43])
@pytest.mark.parametrize("variants", [0, 2])
@pytest.mark.parametrize("body", [0, 5000])
def test_no_less_is_counted_than_is_spent_and_not_much_more(
    lines: int, variants: int, body: int
) -> None:
    store = MemoryStore(1 << 30)
    gc.collect()
    tracemalloc.start()
    try:
        for i in range(OBJECTS):
            store.put(
                Stored(
                    Key("pool:" + "shop", f"http://shop.example/{i:06}"),
                    tuple((b"x-name-%d" % n, b"value %d %d" % (n, i)) for n in range(variants)),
                    200,
                    b"O" + b"K",
                    Fields([(b"X-Name-%d" % n, b"value %d %d" % (n, i)) for n in range(lines)]),
                    Freshness(60.0 + i, 0.5 + i, 1e9 + i),
                    1e9 + i,
                    bytes(body),
                )
            )
        spent, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert spent <= store.size <= 2 * spent


def test_what_remembers_the_gone_is_counted() -> None:
    store = MemoryStore(OBJECTS * 1500)
    gc.collect()
    tracemalloc.start()
    try:
        for i in range(3 * OBJECTS):
            key = Key("open", f"http://shop.example/{i:06}")
            store.put(Stored(key, (), 200, b"", Fields(), Freshness(60.0 + i, 0, 0), i))
        spent, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert store.evicted > OBJECTS
    assert spent <= store.size <= 2 * spent


def test_repr() -> None:
    stored = Stored(Key("open", "http://a/"), (), 200, b"", Fields(), Freshness(1, 0, 0), 0, b"abc")
    assert repr(stored) == "<Stored 200 open http://a/ 3 bytes>"
