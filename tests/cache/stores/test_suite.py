"""What every store promises, run on all that are found in the room.

A store of which `MADE` knows nothing is made by its class from a number of bytes alone.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from attrs import define
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from disk_worker import Worker
from redis_nodes import Fleet
from twistproxy.cache import stores
from twistproxy.cache.purge import By, Purge
from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores import VARIANTS, Answer, Store
from twistproxy.cache.stores.memory import MemoryStore
from twistproxy.http.caching import Freshness
from twistproxy.http.fields import Fields

T = TypeVar("T")

NOW = 1_700_000_000.0
#: Bytes for the objects of a test: more than any of them needs, but where it says so.
ROOM = 4 << 20


@define(eq=False)
class Made:
    """A store, and how to wait for what it says. settle: all that waits is done."""

    store: Any
    settle: Callable[[], object] = lambda: None
    #: Whether the number of bytes is ours to hold, and all that is there known.
    bounded: bool = True
    #: How many objects there are, if the store doesn't count its own.
    count: Callable[[], int] | None = None

    @property
    def objects(self) -> int:
        return self.count() if self.count else self.store.snapshot()["objects"]

    def wait(self, answer: Answer[T]) -> T:
        """What it says in the end."""
        if not isinstance(answer, Deferred):
            return answer
        said: list[T] = []
        answer.addCallback(said.append)
        self.settle()
        return said[0]

    def get(self, key: Key) -> tuple[Stored, ...]:
        return self.wait(self.store.get(key))

    def put(self, stored: Stored, *instead_of: Stored) -> bool:
        """Whether it is there, once it is written."""
        kept: bool = self.store.put(stored, instead_of)
        self.settle()
        return kept


Make = Callable[[int], AbstractContextManager[Made]]


@contextmanager
def disk(room: int) -> Iterator[Made]:
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(Path(folder), room)
        yield Made(worker.store, worker.settle)
        worker.close()


@contextmanager
def redis(room: int) -> Iterator[Made]:
    fleet = Fleet()
    yield Made(fleet.node().store, fleet.settle, bounded=False, count=fleet.objects)
    fleet.close()


MADE: dict[str, Make] = {"DiskStore": disk, "RedisStore": redis}

FOUND: dict[str, Make] = {}
for module in pkgutil.iter_modules(stores.__path__):
    room = importlib.import_module(f"{stores.__name__}.{module.name}")
    for name, each in inspect.getmembers(room, inspect.isclass):
        if name.endswith("Store") and each is not Store:

            @contextmanager
            def plain(room: int, make: Callable[[int], Any] = each) -> Iterator[Made]:
                yield Made(make(room))

            FOUND[name] = MADE.get(name, plain)

every_store = pytest.mark.parametrize("make", FOUND.values(), ids=FOUND)
#: They are told what a new object replaces by a cache that looks into memory for it.
BEHIND = {name: make for name, make in FOUND.items() if name != "MemoryStore"}
behind_memory = pytest.mark.parametrize("make", BEHIND.values(), ids=BEHIND)


def stored(
    url: str, body: bytes = b"", vary: bytes | None = None, tags: tuple[str, ...] = ()
) -> Stored:
    variant = () if vary is None else ((b"accept", vary),)
    fields = Fields([(b"Content-Type", b"text/plain"), (b"Date", b"now")])
    freshness = Freshness(60, 1, NOW)
    return Stored(Key("open", url), variant, 200, b"OK", fields, freshness, NOW, body, tags=tags)


def content(stored: Stored) -> bytes:
    body = stored.body
    if isinstance(body, bytes):
        return body
    return os.pread(body.fileno(), len(body), body.offset)  # type: ignore[union-attr]


def seen(found: tuple[Stored, ...]) -> list[tuple[object, ...]]:
    """All that somebody can see of them."""
    return [
        (
            each.key,
            each.variant,
            each.status,
            each.reason,
            each.lines,
            each.freshness,
            each.made,
            each.tags,
            content(each),
        )
        for each in found
    ]


def test_those_we_have_are_found() -> None:
    assert {"DiskStore", "MemoryStore", "RedisStore"} <= set(FOUND)


BODIES = {
    "none": 0,
    "a byte": 1,
    "small": 5000,
    "64 KiB": 64 << 10,
    "more": (64 << 10) + 1,
    "a MiB": 1 << 20,
}


@every_store
@pytest.mark.parametrize("size", BODIES.values(), ids=BODIES)
def test_what_is_put_is_got_and_counted(make: Make, size: int) -> None:
    with make(ROOM) as made:
        one, two = stored("a", os.urandom(size), tags=("t", "ü")), stored("b")
        assert made.put(one)
        assert made.put(two)
        assert seen(made.get(one.key)) == seen((one,))
        assert seen(made.get(two.key)) == seen((two,))
        assert made.objects == 2
        assert not made.bounded or size < made.store.snapshot()["bytes"]


@every_store
def test_of_what_is_surely_not_there_that_is_said_at_once(make: Make) -> None:
    with make(ROOM) as made:
        assert not made.bounded or made.store.get(Key("open", "a")) == ()
        assert made.get(Key("open", "a")) == ()


@every_store
@pytest.mark.parametrize(
    "other", [Key("pool:x", "a"), Key("open", "b"), Key("open", "a", "query")], ids=str
)
def test_another_key_is_another_object(make: Make, other: Key) -> None:
    with make(ROOM) as made:
        made.put(stored("a"))
        assert made.get(other) == ()


@every_store
def test_what_is_asked_for_right_after_it_was_put_is_got(make: Make) -> None:
    with make(ROOM) as made:
        one = stored("a", b"1234")
        made.store.put(one)
        assert seen(made.get(one.key)) == seen((one,))


@every_store
def test_variants_come_last_put_first(make: Make) -> None:
    with make(ROOM) as made:
        one, two = stored("a", vary=b"1"), stored("a", vary=b"2")
        made.put(one)
        made.put(two)
        assert seen(made.get(one.key)) == seen((two, one))


@every_store
def test_an_object_takes_the_place_of_others(make: Make) -> None:
    with make(ROOM) as made:
        one, two, other = (stored("a", vary=b"%d" % i) for i in range(3))
        new = stored("a", b"new")
        for old in (one, two, other):
            made.put(old)
        assert made.put(new, one, two)
        assert seen(made.get(new.key)) == seen((new, other))
        assert made.objects == 2


@every_store
@pytest.mark.parametrize("size", [0, 100, 100_000])
def test_what_comes_back_can_be_put_under_another_head(make: Make, size: int) -> None:
    """As a 304 does it: the same body, perhaps in a file."""
    with make(ROOM) as made:
        first = stored("a", os.urandom(size), b"1")
        made.put(first)
        made.put(stored("a", vary=b"2"))
        old = made.get(first.key)[1]
        new = stored("a", vary=b"1")
        new.freshness, new.body = Freshness(90, 0, NOW + 60), old.body
        assert made.put(new, old)
        found = made.get(first.key)
        assert [each.freshness.lifetime for each in found] == [90, 60]
        assert content(found[0]) == first.body
        assert made.objects == 2


@every_store
def test_its_very_variant_is_replaced_unasked(make: Make) -> None:
    with make(ROOM) as made:
        made.put(stored("a", b"old", b"1"))
        made.put(stored("a", b"new", b"1"), stored("a", vary=b"3"))
        assert [content(each) for each in made.get(Key("open", "a"))] == [b"new"]


@every_store
def test_what_is_replaced_goes_even_if_the_new_is_too_large(make: Make) -> None:
    with make(ROOM) as made:
        old = stored("a", vary=b"1")
        made.put(old)
        if made.bounded:
            assert not made.put(stored("a", bytes(ROOM)), old)
            assert made.get(old.key) == ()
            assert made.objects == 0


@every_store
def test_too_large_an_object_evicts_nothing(make: Make) -> None:
    with make(ROOM) as made:
        old = stored("a")
        made.put(old)
        if made.bounded:
            assert not made.put(stored("b", bytes(ROOM)))
            assert made.get(Key("open", "b")) == ()
        assert seen(made.get(old.key)) == seen((old,))


@every_store
def test_variants_of_a_key_are_bounded(make: Make) -> None:
    with make(ROOM) as made:
        all_of_them = [stored("a", vary=b"%d" % i) for i in range(VARIANTS + 3)]
        for each in all_of_them:
            made.put(each)
        assert seen(made.get(Key("open", "a"))) == seen(tuple(reversed(all_of_them[3:])))
        assert made.objects == VARIANTS


@every_store
def test_remove_forgets_all_variants_of_one_key(make: Make) -> None:
    with make(ROOM) as made:
        for each in (stored("a"), stored("a", vary=b"1"), stored("b")):
            made.put(each)
        assert made.wait(made.store.remove(Key("open", "a"))) == 2
        assert made.wait(made.store.remove(Key("open", "a"))) == 0
        assert made.get(Key("open", "a")) == ()
        assert made.objects == 1


@every_store
def test_remove_and_clear_catch_what_is_being_written(make: Make) -> None:
    with make(ROOM) as made:
        made.store.put(stored("a", b"1"))
        assert made.wait(made.store.remove(Key("open", "a"))) == 1
        made.store.put(stored("a", b"2"))
        assert made.wait(made.store.clear()) == 1
        assert made.get(Key("open", "a")) == ()


@every_store
def test_clear_forgets_everything(make: Make) -> None:
    with make(ROOM) as made:
        for name in "abc":
            made.put(stored(name, bytes(1000)))
        assert made.wait(made.store.clear()) == 3
        assert all(made.get(Key("open", name)) == () for name in "abc")
        assert made.objects == 0
        made.settle()
        assert made.put(stored("a"))
        assert made.get(Key("open", "a")) != ()


@every_store
def test_others_leave_when_there_is_no_room(make: Make) -> None:
    with make(1 << 20) as made:
        if not made.bounded:
            return
        for i in range(100):
            assert made.put(stored(f"{i}", bytes(30_000)))
            figures = made.store.snapshot()
            assert figures["bytes"] <= figures["limit"] == 1 << 20
        assert made.get(Key("open", "99"))
        assert made.get(Key("open", "0")) == ()
        assert 10 < figures["objects"] < 40


PURGED: dict[str, tuple[By, str, set[int]]] = {
    "url, whoever answered, in all variants": ("url", "http://a.example/", {0, 1, 2}),
    "prefix": ("prefix", "http://a.example/", {0, 1, 2, 3}),
    "host": ("host", "a.example", {0, 1, 2, 3}),
    "tag": ("tag", "news", {1, 4}),
    "pattern": ("pattern", "/x$", {3, 4}),
    "what is not there": ("url", "http://c.example/", set()),
    "a tag that is not there": ("tag", "new", set()),
    "a URL that is none": ("url", "http://a.example/\udcff", set()),
}


@every_store
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize(("by", "value", "meant"), PURGED.values(), ids=PURGED)
def test_purge_takes_what_it_means(
    make: Make, by: By, value: str, meant: set[int], soft: bool
) -> None:
    objects = [
        stored("http://a.example/"),
        stored("http://a.example/", b"body", b"1", ("news", "other")),
        stored("http://a.example/", b"body", b"2"),
        stored("http://a.example/x", bytes(100_000)),
        stored("http://b.example/x", b"body", tags=("front", "news")),
    ]
    objects[1].key = Key("pool:a", objects[1].key.url)
    with make(ROOM) as made:
        for each in objects[:-1]:
            made.put(each)
        made.store.put(objects[-1])  # is being written
        assert made.wait(made.store.purge(Purge(by, value, soft), NOW + 10)) == len(meant)
        for at, each in enumerate(objects):
            found = [one for one in made.get(each.key) if one.variant == each.variant]
            if at not in meant:
                assert [one.freshness.usable(NOW + 10) for one in found] == [True]
            elif soft:
                (one,) = found
                assert not one.freshness.usable(NOW + 10)
                assert one.freshness.age(NOW + 10) == 11
                assert one.freshness.ttl(NOW + 15) == -5
            else:
                assert found == []
        left = len(objects) - (0 if soft else len(meant))
        assert made.objects == left


@behind_memory
def test_a_closed_store_has_nothing_and_keeps_nothing(make: Make) -> None:
    with make(ROOM) as made:
        made.put(stored("a"))
        assert made.wait(made.store.close()) is None
        assert made.get(Key("open", "a")) == ()
        assert not made.put(stored("b"))
        assert made.wait(made.store.purge(Purge("url", "a"), NOW)) == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 9), st.integers(0, 200_000)),
        st.tuples(st.just("get"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("remove"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("purge"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("settle"), st.just(0), st.just(0)),
        st.tuples(st.just("clear"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=100, deadline=None)
@given(name=st.sampled_from(sorted(FOUND)), steps=STEPS)
def test_no_history_exceeds_the_bound_or_invents_anything(
    name: str, steps: list[tuple[str, int, int]]
) -> None:
    last: dict[Key, Stored] = {}
    with FOUND[name](600_000) as made:
        for step, number, size in steps:
            key = Key("open", str(number))
            if step == "put":
                new = stored(str(number), bytes([number]) * size)
                made.put(new, *made.get(key))
                last[key] = new
            elif step == "get":
                found = made.get(key)
                assert seen(found) in ([], seen((last[key],)) if key in last else [])
            elif step == "remove":
                made.wait(made.store.remove(key))
                last.pop(key, None)
            elif step == "purge":
                made.wait(made.store.purge(Purge("url", key.url), NOW))
                last.pop(key, None)
            elif step == "settle":
                made.settle()
            else:
                made.wait(made.store.clear())
                last.clear()
            figures = made.store.snapshot()
            assert not made.bounded or figures["bytes"] <= figures["limit"]
            assert figures["objects"] >= 0
        for key, each in last.items():
            assert seen(made.get(key)) in ([], seen((each,)))


# -- the store in front of all, whose room can be reserved ---------------------------------------


def test_what_is_got_is_what_was_put() -> None:
    store = MemoryStore(1 << 20)
    one, two = stored("a", b"1234"), stored("b")
    store.put(one)
    store.put(two)
    assert store.get(one.key) == (one,)
    assert store.get(one.key)[0].body is one.body
    assert (store.objects, store.size) == (2, one.size + two.size)
    assert set(store) == {one, two}


def test_clear_forgets_objects_and_keeps_reservations() -> None:
    store = MemoryStore(1 << 20)
    store.put(stored("a"))
    store.reserve(1000)
    assert store.clear() == 1
    assert (store.objects, store.size, store.reserved) == (0, 0, 1000)
    assert store.put(stored("a"))


def test_others_leave_for_an_object() -> None:
    size = stored("a").size
    store = MemoryStore(3 * size)
    for name in "abcd":
        assert store.put(stored(name))
    assert (store.objects, store.size, store.evicted) == (3, 3 * size, 1)
    assert store.get(Key("open", "d"))


def test_what_is_replaced_is_not_evicted() -> None:
    store = MemoryStore(1 << 20)
    old = stored("a", vary=b"1")
    store.put(old)
    new = stored("a", b"new")
    store.put(new, [old])
    store.remove(new.key)
    assert store.evicted == 0


def test_others_leave_for_a_reservation() -> None:
    size = stored("a").size
    store = MemoryStore(3 * size)
    for name in "abc":
        store.put(stored(name))
    assert store.reserve(size + 1)
    assert (store.objects, store.reserved) == (1, size + 1)


def test_more_than_all_the_room_can_not_be_reserved() -> None:
    store = MemoryStore(10_000)
    store.put(stored("a"))
    assert store.reserve(6000)
    assert not store.reserve(4001)
    assert store.reserved == 6000
    assert store.objects == 1
    store.release(6000)
    assert store.reserve(10_000)


def test_objects_leave_when_the_limit_shrinks() -> None:
    size = stored("a").size
    store = MemoryStore(10 * size)
    for name in "abcdef":
        store.put(stored(name))
    store.resize(2 * size)
    assert (store.limit, store.objects) == (2 * size, 2)
    store.resize(10 * size)
    assert store.objects == 2


RESERVING_STEPS = st.lists(
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


@settings(max_examples=150, deadline=None)
@given(steps=RESERVING_STEPS)
def test_no_history_of_reservations_exceeds_the_bound(
    steps: list[tuple[str, int, int]],
) -> None:
    store = MemoryStore(16_000)
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
