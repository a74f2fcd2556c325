"""S3-FIFO: who stays when room is needed."""

from __future__ import annotations

import random

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from cycles import no_cycles
from twistproxy.cache.purge import By, Purge
from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores.memory import MemoryStore
from twistproxy.http.caching import Freshness
from twistproxy.http.fields import Fields


def stored(name: object, body: bytes = b"") -> Stored:
    key = Key("open", f"{name}")
    return Stored(key, (), 200, b"", Fields(), Freshness(60, 0, 0), 0, body)


SIZE = stored("xxx").size


def ask(store: MemoryStore, name: object) -> bool:
    """As a road would: a hit, or a miss that is fetched and stored."""
    found = store.get(Key("open", f"{name}"))
    if found:
        found[0].uses += 1
        return True
    store.put(stored(name))
    return False


def test_a_scan_does_not_flush_what_is_asked_for_again() -> None:
    store = MemoryStore(100 * SIZE)
    popular = [f"p{i:02}" for i in range(60)]
    for _ in range(4):
        for name in popular:
            ask(store, name)
    for i in range(1000):
        ask(store, f"scan{i}")
    assert sum(ask(store, name) for name in popular) >= 57


def test_better_than_last_recently_used_on_a_mix_of_one_hit_wonders() -> None:
    """The measure of the paper: a skewed workload with many objects that are asked for once."""
    chance = random.Random(1)
    requests: list[str] = []
    for i in range(20_000):
        once = chance.random() < 0.4
        requests.append(f"o{i}" if once else f"r{int(chance.paretovariate(0.8)) % 1000}")
    store = MemoryStore(100 * SIZE)
    ours = sum(ask(store, name) for name in requests)
    recent: dict[str, None] = {}
    theirs = 0
    for name in requests:
        theirs += name in recent
        recent.pop(name, None)
        recent[name] = None
        if len(recent) > 100:
            del recent[next(iter(recent))]
    assert ours > theirs


def test_what_comes_back_soon_after_it_left_goes_to_main() -> None:
    store = MemoryStore(20 * SIZE)
    for i in range(30):
        ask(store, f"{i:03}")
    gone = next(f"{i:03}" for i in range(29, -1, -1) if not store.get(Key("open", f"{i:03}")))
    ask(store, gone)
    for i in range(100, 200):
        ask(store, i)
    assert store.get(Key("open", gone))


def test_two_hits_in_small_lead_to_main_and_one_does_not() -> None:
    store = MemoryStore(20 * SIZE)
    for name, times in (("one", 2), ("two", 3)):
        for _ in range(times):
            ask(store, name)
    for i in range(100, 200):
        ask(store, i)
    assert not store.get(Key("open", "one"))
    assert store.get(Key("open", "two"))


def in_main(store: MemoryStore, name: str) -> Stored:
    for _ in range(3):
        ask(store, name)
    for i in range(100, 200):
        ask(store, f"{name}{i}")
    (found,) = store.get(Key("open", name))
    assert found in store._main
    return found


def test_fame_in_small_does_not_count_in_main() -> None:
    assert in_main(MemoryStore(20 * SIZE), "a").uses == 0


def test_old_fame_fades() -> None:
    store = MemoryStore(20 * SIZE)
    in_main(store, "old").uses = 10**6
    for i in range(99):  # each goes to main, where as many rounds as fame has are soon over
        for _ in range(3):
            ask(store, f"new{i:02}")
        for j in range(30):
            ask(store, f"once{i:02}{j:02}")
    assert not store.get(Key("open", "old"))


def test_one_eviction_passes_over_a_bounded_number() -> None:
    store = MemoryStore(1000 * SIZE)
    for i in range(1000):
        ask(store, f"{i:03}")
    for limit in (999, 998):
        for each in store:
            each.uses = 3
        store.resize(limit * SIZE)
        assert store.objects == limit
        assert sum(each.uses < 3 for each in store) <= 64


def test_all_that_main_holds_may_be_popular() -> None:
    store = MemoryStore(100 * SIZE)
    for i in range(100, 200):
        ask(store, i)
        ask(store, i)
        ask(store, i)
    for i in range(200, 300):
        for each in store:
            each.uses = 9
        ask(store, i)
    assert store.objects == 100
    assert store.evicted == 100


def test_a_replaced_object_keeps_its_place_in_main() -> None:
    store = MemoryStore(20 * SIZE)
    for _ in range(3):
        ask(store, "aaa")
    for i in range(100, 130):
        ask(store, i)
    old = store.get(Key("open", "aaa"))[0]
    store.put(stored("aaa"), [old])
    for i in range(200, 300):
        ask(store, i)
    assert store.get(Key("open", "aaa"))


def test_ghosts_are_no_more_than_objects() -> None:
    store = MemoryStore(20 * SIZE)
    for i in range(100, 900):
        ask(store, i)
        assert len(store._ghosts) <= store.objects + 1


def test_nothing_is_kept_alive_by_a_cycle() -> None:
    with no_cycles():
        store = MemoryStore(20 * SIZE)
        for i in range(100, 200):
            ask(store, i)
        store.clear()
        del store


def test_repr() -> None:
    assert repr(MemoryStore(10)) == "<MemoryStore 0 objects, 0 of 10 bytes>"


# -- purge --


def tagged(who: str, url: str, *tags: str, vary: bytes | None = None) -> Stored:
    variant = () if vary is None else ((b"accept", vary),)
    return Stored(
        Key(who, url), variant, 200, b"", Fields(), Freshness(60, 0, 0), 0, b"body", tags=tags
    )


PURGED: dict[str, tuple[By, str, set[int]]] = {
    "url, whoever answered, in all variants": ("url", "http://a.example/", {0, 1, 2}),
    "prefix": ("prefix", "http://a.example/", {0, 1, 2, 3}),
    "host": ("host", "a.example", {0, 1, 2, 3}),
    "tag": ("tag", "news", {1, 4}),
    "pattern": ("pattern", "/x$", {3, 4}),
    "what is not there": ("url", "http://c.example/", set()),
    "a tag that is not there": ("tag", "other", set()),
}


@pytest.mark.parametrize(("by", "value", "gone"), PURGED.values(), ids=PURGED)
def test_purge_takes_what_it_means(by: By, value: str, gone: set[int]) -> None:
    store = MemoryStore(1 << 20)
    objects = [
        tagged("open", "http://a.example/"),
        tagged("pool:a", "http://a.example/", "news", vary=b"1"),
        tagged("pool:a", "http://a.example/", vary=b"2"),
        tagged("pool:a", "http://a.example/x"),
        tagged("pool:b", "http://b.example/x", "front", "news"),
    ]
    for each in objects:
        assert store.put(each)
    assert store.purge(Purge(by, value), 0) == len(gone)
    assert set(store) == {each for at, each in enumerate(objects) if at not in gone}
    assert store.size == sum(each.size for each in store)
    assert store.evicted == 0


def test_a_soft_purge_leaves_it_in_its_place_and_stale() -> None:
    store = MemoryStore(1 << 20)
    old, other = tagged("open", "a", "news"), tagged("open", "b")
    store.put(old)
    store.put(other)
    assert store.purge(Purge("tag", "news", soft=True), 10.0) == 1
    assert store.get(old.key) == (old,)
    assert old.freshness.ttl(10.0) == 0
    assert not old.freshness.usable(10.0)
    assert other.freshness.usable(10.0)


def test_what_has_left_is_in_no_index() -> None:
    store = MemoryStore(1 << 20)
    first = tagged("pool:a", "a", "t", "u")
    store.put(first)
    store.put(tagged("pool:a", "a", "t"), [first])
    assert store.purge(Purge("tag", "u"), 0) == 0
    assert store.keys("a") == [Key("pool:a", "a")]
    assert store.purge(Purge("tag", "t"), 0) == 1
    assert store.keys("a") == []
    assert (store._by_tag, store._whos) == ({}, {})
    store.put(first)
    store.clear()
    assert (store._by_tag, store._whos) == ({}, {})


def test_a_url_means_what_was_asked_of_it_by_queries_too() -> None:
    store = MemoryStore(1 << 20)
    for query in ("", "q1", "q2"):
        key = Key("open", "a", query)
        store.put(Stored(key, (), 200, b"", Fields(), Freshness(60, 0, 0), 0))
    assert set(store.keys("a")) == {Key("open", "a", query) for query in ("", "q1", "q2")}
    store.remove(Key("open", "a", "q1"))
    assert store.purge(Purge("url", "a"), 0) == 2
    assert (store._queries, store._whos) == ({}, {})


def test_an_evicted_object_is_in_no_index() -> None:
    size = tagged("pool:0", "0", "0").size
    store = MemoryStore(3 * size)
    for i in range(9):
        store.put(tagged(f"pool:{i}", f"{i}", f"{i}"))
    assert len(store._by_tag) == len(store._whos) == store.objects == 3


def turns(clock: Clock, done: Deferred[object]) -> int:
    """In how many turns it is done."""
    count = 0
    while not done.called:
        clock.advance(1)
        count += 1
    return count


def large(clock: Clock, objects: int) -> MemoryStore:
    store = MemoryStore(1 << 30, lambda call: clock.callLater(1, call))
    for i in range(objects):
        store.put(tagged("open", f"http://a.example/{i}", "all", *["few"] * (i % 8 == 0)))
    return store


@pytest.mark.parametrize(
    "purge", [Purge("prefix", "http://a.example/"), Purge("tag", "all")], ids=lambda p: p.by
)
def test_what_means_many_is_done_a_few_a_turn(purge: Purge) -> None:
    clock = Clock()
    store = large(clock, 2250)
    done = store.purge(purge, 0)
    assert isinstance(done, Deferred)
    store.remove(Key("open", "http://a.example/0"))  # the last to be looked at
    store.put(tagged("open", "http://b.example/"))
    assert turns(clock, done) == 5 + 1  # the last finds that it is done
    assert done.result == 2249
    assert store.objects == 1


def test_a_tag_of_few_is_looked_up() -> None:
    clock = Clock()
    store = large(clock, 8000)
    done = store.purge(Purge("tag", "few"), 0)
    assert isinstance(done, Deferred)
    store.remove(Key("open", "http://a.example/8"))
    assert turns(clock, done) == 2 + 1
    assert done.result == 999
    assert store.purge(Purge("tag", "few"), 0) == 0


def test_others_have_their_turn_between() -> None:
    clock = Clock()
    store = large(clock, 1500)
    both = [store.purge(Purge("pattern", f"{digit}$"), 0) for digit in (1, 2)]
    store.purge(Purge("url", "http://a.example/3"), 0)
    assert store.objects == 1499
    assert [turns(clock, each) for each in both if isinstance(each, Deferred)] == [7, 1]
    assert [each.result for each in both if isinstance(each, Deferred)] == [150, 150]


def test_a_survey_shows_all() -> None:
    clock = Clock()
    shown: list[Stored] = []
    small = large(clock, 5)
    assert small.survey(shown.append) is None
    assert set(shown) == set(small)
    shown.clear()
    store = large(clock, 1250)
    done = store.survey(shown.append)
    assert done is not None
    assert turns(clock, done) == 3 + 1
    assert set(shown) == set(store)


def test_who_waits_when_it_is_closed_is_told_what_there_was() -> None:
    clock = Clock()
    store = large(clock, 1250)
    done = store.purge(Purge("host", "a.example"), 0)
    assert isinstance(done, Deferred)
    clock.advance(1)
    store.close()
    assert done.result == 500
    assert not clock.getDelayedCalls()
    assert store.objects == 750


def test_a_purge_leaves_no_cycle() -> None:
    clock = Clock()
    store = large(clock, 1250)
    with no_cycles():
        done = store.purge(Purge("prefix", "http://a.example/"), 0)
        assert isinstance(done, Deferred)
        turns(clock, done)
        del done


def test_snapshot() -> None:
    store = MemoryStore(10_000)
    store.put(stored("a"))
    store.reserve(100)
    assert store.snapshot() == {
        "objects": 1,
        "bytes": store.size,
        "limit": 10_000,
        "reserved": 100,
        "evicted": 0,
    }
