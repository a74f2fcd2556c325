"""What an operator asks of the cache, and tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from twistproxy.cache.desk.desk import Desk
from twistproxy.cache.desk.warm import Warmer
from twistproxy.cache.outdated import Outdated
from twistproxy.cache.purge import Purge
from twistproxy.cache.refusals import Refusals
from twistproxy.cache.shares import Share
from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores.memory import MemoryStore
from twistproxy.cache.tiers import Tiers
from twistproxy.config.model import Cache
from twistproxy.http.cache_status import CacheStatus
from twistproxy.http.caching import Freshness
from twistproxy.http.fields import Fields


class Late(MemoryStore):
    """A store that answers later."""

    def __init__(self) -> None:
        super().__init__(1 << 20)
        self.asked: list[tuple[Key, Deferred[tuple[Stored, ...]]]] = []

    def get(self, key: Key) -> Any:
        self.asked.append((key, Deferred()))
        return self.asked[-1][1]

    def answer(self) -> None:
        for key, waiting in self.asked:
            waiting.callback(super().get(key))


class Asked:
    """A `desk.Asked`."""

    def __init__(self, **behind: MemoryStore) -> None:
        self.terms = Cache()
        self.refusals = Refusals()
        self.shares: Mapping[str, Share] = {"forward": Share(), "reverse": Share()}
        self.tiers = Tiers(MemoryStore(1 << 20), behind, Outdated())
        self.purges: list[tuple[Purge, float]] = []

    def purge(self, purge: Purge, now: float) -> Deferred[dict[str, int]]:
        self.purges.append((purge, now))
        return self.tiers.purge(purge, now)

    def clear(self) -> Deferred[dict[str, int]]:
        return self.tiers.clear()

    def snapshot(self) -> dict[str, Any]:
        return {"objects": self.tiers.memory.objects}


CLOCK = Clock()
WARMER = Warmer(lambda url: succeed(200), lambda call: CLOCK.callLater(1, call))


def desk(cache: Asked) -> Desk:
    return Desk(cache, WARMER, lambda: 1000.0, lambda: {8080}, lambda: ["open", "pool:a"])


def stored(url: str, who: str = "open", tags: tuple[str, ...] = ()) -> Stored:
    fresh = Freshness(60, 0, 1000.0)
    return Stored(Key(who, url), (), 200, b"OK", Fields(), fresh, 1000.0, b"body", tags)


def test_why_looks_at_all_spellings_and_whoever_answered() -> None:
    cache = Asked()
    for each in (
        stored("http://a.example:8080//x"),
        stored("http://a.example/x", "pool:a"),
        stored("http://a.example/x", "pool:a as b.example"),
        stored("http://a.example/y"),
    ):
        cache.tiers.put(each)
    cache.refusals.note(Key("pool:b", "http://a.example/x"), "private", 999.0)
    cache.refusals.note(Key("pool:b", "http://a.example/y"), "private", 999.0)
    account = desk(cache).why("http://A.example:8080//x")
    assert not isinstance(account, Deferred)
    assert account.url == "http://a.example:8080//x"
    assert {copy.key for copy in account.copies} == {
        Key("open", "http://a.example:8080//x"),
        Key("pool:a", "http://a.example/x"),
        Key("pool:a as b.example", "http://a.example/x"),
    }
    assert [refusal.key.who for refusal in account.refusals] == ["pool:b"]


def test_why_waits_for_stores_that_answer_later() -> None:
    disk = Late()
    cache = Asked(disk=disk)
    disk.put(stored("http://a.example/", "pool:a"))
    account = desk(cache).why("http://a.example/")
    assert isinstance(account, Deferred)
    assert not account.called
    disk.answer()
    assert [(copy.key.who, copy.where) for copy in account.result.copies] == [("pool:a", ("disk",))]


def test_why_of_no_url() -> None:
    with pytest.raises(ValueError, match=r"'a\.example' is not a URL"):
        desk(Asked()).why("a.example")


def test_top() -> None:
    cache = Asked()
    for n in range(5):
        each = stored(f"http://a.example/{n}")
        each.uses = n
        cache.tiers.put(each)
    top = desk(cache).top(2)
    assert not isinstance(top, Deferred)
    assert [each.hits for each in top.objects] == [4, 3]


def test_top_of_many_is_looked_for_some_a_turn() -> None:
    clock = Clock()
    cache = Asked()
    cache.tiers.memory = MemoryStore(1 << 30, lambda call: clock.callLater(1, call))
    for n in range(2000):
        each = stored(f"http://a.example/{n}")
        each.uses = n
        cache.tiers.put(each)
    top = desk(cache).top(1)
    assert isinstance(top, Deferred)
    assert not top.called
    clock.pump([1] * 9)
    assert [each.hits for each in top.result.objects] == [1999]


def test_purge_of_a_url_means_its_spellings_and_counts_all() -> None:
    cache = Asked(disk=MemoryStore(1 << 20))
    cache.tiers.put(stored("http://a.example:8080/x"))
    cache.tiers.put(stored("http://a.example/x", "pool:a"))
    cache.tiers.memory.remove(Key("pool:a", "http://a.example/x"))
    taken = desk(cache).purge("http://a.example:8080/x")
    assert taken.result == {"memory": 1, "disk": 2}
    assert cache.purges == [
        (Purge("url", "http://a.example:8080/x"), 1000.0),
        (Purge("url", "http://a.example/x"), 1000.0),
    ]


def test_purge_by_something_else() -> None:
    cache = Asked()
    cache.tiers.put(stored("http://a.example/x", tags=("news",)))
    assert desk(cache).purge("news", by="tag", soft=True).result == {"memory": 1}
    assert cache.tiers.memory.objects == 1
    assert desk(cache).purge("a.example", "host").result == {"memory": 1}
    assert cache.tiers.memory.objects == 0


@pytest.mark.parametrize(("value", "by"), [("a b", "tag"), ("(", "pattern"), ("a", "name")])
def test_what_is_no_purge(value: str, by: Any) -> None:
    cache = Asked()
    with pytest.raises(ValueError, match=r"tag|pattern|prefix"):
        desk(cache).purge(value, by)
    assert cache.purges == []


def test_clear() -> None:
    cache = Asked()
    cache.tiers.put(stored("http://a.example/x"))
    assert desk(cache).clear().result == {"memory": 1}


def test_warm() -> None:
    asked = desk(Asked())
    done = asked.warm(["http://a.example/"])
    assert asked.snapshot()["warming"]["running"]
    CLOCK.pump([1] * 30)
    assert done.result.statuses == {200: 1}
    assert asked.warmer is WARMER


def test_stats_are_its_repr() -> None:
    cache = Asked()
    cache.shares["reverse"].count(CacheStatus(hit=True), 10)
    told = desk(cache).stats()
    assert told.sides["both"]["hits"] == 1
    assert told.figures["objects"] == 0
    assert repr(desk(cache)) == repr(told)
    assert "warming\nrunning no" in repr(told)
