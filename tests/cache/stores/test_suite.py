"""What every store promises, run on all that are found in the room."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistproxy.cache import stores
from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores import VARIANTS, Store
from twistproxy.http.caching import Freshness
from twistproxy.http.fields import Fields

MakeStore = Callable[[int], Store]

FOUND: dict[str, MakeStore] = {
    name: each
    for module in pkgutil.iter_modules(stores.__path__)
    for name, each in inspect.getmembers(
        importlib.import_module(f"{stores.__name__}.{module.name}"), inspect.isclass
    )
    if name.endswith("Store") and each is not Store
}

every_store = pytest.mark.parametrize("make", FOUND.values(), ids=FOUND)


def stored(url: str, body: bytes = b"", vary: bytes | None = None) -> Stored:
    variant = () if vary is None else ((b"accept", vary),)
    return Stored(Key("open", url), variant, 200, b"OK", Fields(), Freshness(60, 0, 0), 0, body)


def test_the_memory_store_is_found() -> None:
    assert "MemoryStore" in FOUND


@every_store
def test_what_is_put_is_got_and_counted(make: MakeStore) -> None:
    store = make(1 << 20)
    assert store.get(Key("open", "a")) == ()
    one, two = stored("a", b"1234"), stored("b")
    assert store.put(one)
    assert store.put(two)
    assert store.get(one.key) == (one,)
    assert store.get(one.key)[0].body is one.body
    assert store.get(Key("pool:x", "a")) == ()
    assert (store.objects, store.size) == (2, one.size + two.size)
    assert set(store) == {one, two}


@every_store
def test_variants_come_last_put_first(make: MakeStore) -> None:
    store = make(1 << 20)
    one, two = stored("a", vary=b"1"), stored("a", vary=b"2")
    store.put(one)
    store.put(two)
    assert store.get(one.key) == (two, one)


@every_store
def test_an_object_takes_the_place_of_others(make: MakeStore) -> None:
    store = make(1 << 20)
    one, two, other = stored("a", vary=b"1"), stored("a", vary=b"2"), stored("a", vary=b"3")
    new = stored("a", b"new")
    for old in (one, two, other):
        store.put(old)
    assert store.put(new, [one, two])
    assert store.get(new.key) == (new, other)
    assert store.size == new.size + other.size
    assert store.evicted == 0


@every_store
def test_what_is_replaced_goes_even_if_the_new_is_too_large(make: MakeStore) -> None:
    store = make(10_000)
    old = stored("a")
    store.put(old)
    assert not store.put(stored("a", bytes(10_000)), [old])
    assert (store.objects, store.size) == (0, 0)


@every_store
def test_too_large_an_object_evicts_nothing(make: MakeStore) -> None:
    store = make(10_000)
    old = stored("a")
    store.put(old)
    assert not store.put(stored("b", bytes(10_000)))
    assert store.get(old.key) == (old,)


@every_store
def test_what_is_not_there_can_be_replaced(make: MakeStore) -> None:
    store = make(10_000)
    gone, new = stored("a"), stored("a")
    assert store.put(new, [gone])
    assert store.get(new.key) == (new,)


@every_store
def test_variants_of_a_key_are_bounded(make: MakeStore) -> None:
    store = make(1 << 20)
    all_of_them = [stored("a", vary=b"%d" % i) for i in range(VARIANTS + 3)]
    for each in all_of_them:
        store.put(each)
    assert store.get(Key("open", "a")) == tuple(reversed(all_of_them[3:]))
    assert (store.objects, store.evicted) == (VARIANTS, 3)


@every_store
def test_remove_forgets_all_variants_of_one_key(make: MakeStore) -> None:
    store = make(1 << 20)
    for each in (stored("a"), stored("a", vary=b"1"), stored("b")):
        store.put(each)
    assert store.remove(Key("open", "a")) == 2
    assert store.remove(Key("open", "a")) == 0
    assert store.objects == 1
    assert store.evicted == 0


@every_store
def test_clear_forgets_objects_and_keeps_reservations(make: MakeStore) -> None:
    store = make(1 << 20)
    store.put(stored("a"))
    store.reserve(1000)
    assert store.clear() == 1
    assert (store.objects, store.size, store.reserved) == (0, 0, 1000)
    assert store.put(stored("a"))


@every_store
def test_others_leave_for_an_object(make: MakeStore) -> None:
    size = stored("a").size
    store = make(3 * size)
    for name in "abcd":
        assert store.put(stored(name))
    assert (store.objects, store.size, store.evicted) == (3, 3 * size, 1)
    assert store.get(Key("open", "d"))


@every_store
def test_others_leave_for_a_reservation(make: MakeStore) -> None:
    size = stored("a").size
    store = make(3 * size)
    for name in "abc":
        store.put(stored(name))
    assert store.reserve(size + 1)
    assert (store.objects, store.reserved) == (1, size + 1)


@every_store
def test_more_than_all_the_room_can_not_be_reserved(make: MakeStore) -> None:
    store = make(10_000)
    store.put(stored("a"))
    assert store.reserve(6000)
    assert not store.reserve(4001)
    assert store.reserved == 6000
    assert store.objects == 1
    store.release(6000)
    assert store.reserve(10_000)


@every_store
def test_objects_leave_when_the_limit_shrinks(make: MakeStore) -> None:
    size = stored("a").size
    store = make(10 * size)
    for name in "abcdef":
        store.put(stored(name))
    store.resize(2 * size)
    assert (store.limit, store.objects) == (2 * size, 2)
    store.resize(10 * size)
    assert store.objects == 2


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 9), st.integers(0, 6000)),
        st.tuples(st.just("hit"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("remove"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("reserve"), st.just(0), st.integers(0, 9000)),
        st.tuples(st.just("release"), st.just(0), st.just(0)),
        st.tuples(st.just("resize"), st.just(0), st.integers(4000, 20_000)),
        st.tuples(st.just("clear"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@every_store
@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_no_history_exceeds_the_bound_or_invents_anything(
    make: MakeStore, steps: list[tuple[str, int, int]]
) -> None:
    store = make(16_000)
    last: dict[Key, Stored] = {}
    held: list[int] = []
    for step, name, size in steps:
        key = Key("open", str(name))
        if step == "put":
            new = stored(str(name), bytes(size))
            last[key] = new
            assert store.put(new, store.get(key)) is (new.size <= store.limit - sum(held))
        elif step == "hit":
            for each in store.get(key):
                each.uses += 1
        elif step == "remove":
            assert store.remove(key) <= 1
        elif step == "reserve":
            if store.reserve(size):
                held.append(size)
        elif step == "release":
            if held:
                store.release(held.pop())
        elif step == "resize":
            if sum(held) <= size:
                store.resize(size)
        else:
            store.clear()
        objects = list(store)
        assert store.size + store.reserved <= store.limit
        assert store.reserved == sum(held)
        assert store.size == sum(each.size for each in objects)
        assert store.objects == len(objects)
        for each in objects:
            assert store.get(each.key) == (each,)
            assert last[each.key] is each
