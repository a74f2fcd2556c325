"""S3-FIFO: who stays when room is needed."""

from __future__ import annotations

import random

from cycles import no_cycles
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
