"""tiers: what lies behind memory is asked in turn, and brought in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred

from twistproxy.cache.outdated import Outdated
from twistproxy.cache.purge import Purge
from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores.memory import MemoryStore
from twistproxy.cache.tiers import Tiers
from twistproxy.http.fields import Fields
from twistproxy.http.freshness import Freshness

KEY = Key("open", "http://a.test/")
NOW = 1000.0


def stored(key: Key = KEY, body: bytes = b"") -> Stored:
    return Stored(key, (), 200, b"", Fields(), Freshness(60, 0, 0), 0, body)


class Slow:
    """A store that answers when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[Key, Deferred[tuple[Stored, ...]]]] = []
        self.held: list[Stored] = []
        self.lacks = False
        self.gone: list[object] = []

    def get(self, key: Key) -> Any:
        if self.lacks:
            return ()
        answer: Deferred[tuple[Stored, ...]] = Deferred()
        self.asked.append((key, answer))
        return answer

    def answers(self, *found: Stored) -> None:
        self.asked.pop(0)[1].callback(found)

    def put(self, stored: Stored, instead_of: Iterable[Stored] = ()) -> bool:
        self.held.append(stored)
        return True

    def remove(self, key: Key) -> Any:
        self.gone.append(key)
        return Deferred()

    def purge(self, purge: Purge, now: float) -> Any:
        self.gone.append(purge)
        return 7

    def clear(self) -> Any:
        return 7

    def snapshot(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        self.gone.append("closed")


class House:
    def __init__(self, limit: int = 1 << 20) -> None:
        self.memory = MemoryStore(limit)
        self.disk, self.redis = Slow(), Slow()
        self.outdated = Outdated()
        behind = {"disk": self.disk, "redis": self.redis}
        self.tiers = Tiers(self.memory, behind, self.outdated)


def test_what_the_next_has_is_brought_into_memory() -> None:
    house = House()
    came: list[object] = []
    one = house.tiers.bring(KEY, NOW)
    two = house.tiers.bring(KEY, NOW)
    assert one
    assert two
    for each in (one, two):
        each.addCallback(came.append)
    assert len(house.disk.asked) == 1, "both wait for the same"
    house.disk.answers(stored(body=b"x"))
    assert came == [None, None]
    assert house.memory.get(KEY)[0].body == b"x"
    assert not house.redis.asked
    assert house.tiers.brought == {"disk": 1, "redis": 0}


def test_what_only_the_last_has_is_kept_by_those_before_it() -> None:
    house = House()
    coming = house.tiers.bring(KEY, NOW)
    assert coming
    house.disk.answers()
    assert not coming.called
    found = stored(body=b"x")
    house.redis.answers(found)
    assert coming.called
    assert house.memory.get(KEY) == (found,)
    assert house.disk.held == [found]
    assert not house.redis.held


def test_what_surely_nobody_has_is_not_waited_for() -> None:
    house = House()
    house.disk.lacks = house.redis.lacks = True
    assert house.tiers.bring(KEY, NOW) is None
    assert not house.tiers._bringing
    house.redis.lacks = False
    coming = house.tiers.bring(KEY, NOW)
    assert coming
    house.redis.answers()
    assert coming.called
    assert house.tiers.bring(KEY, NOW), "and it is asked again"


def test_what_was_outdated_meanwhile_stays_away() -> None:
    house = House()
    coming = house.tiers.bring(KEY, NOW)
    assert coming
    house.outdated.key(KEY, NOW + 1)
    house.disk.answers(stored())
    assert coming.called
    assert house.memory.get(KEY) == ()


def test_all_are_told_of_what_is_put_removed_and_purged() -> None:
    house = House()
    one = stored()
    assert house.tiers.put(one)
    assert house.disk.held == house.redis.held == [one]
    assert house.tiers.remove(KEY) == 1
    purge = Purge("tag", "blue")
    counts: list[object] = []
    house.tiers.purge(purge, NOW).addCallback(counts.append)
    house.tiers.clear().addCallback(counts.append)
    assert counts == [{"memory": 0, "disk": 7, "redis": 7}] * 2
    assert house.disk.gone == house.redis.gone == [KEY, purge]


def test_what_memory_has_no_room_for_others_may_keep() -> None:
    house = House(limit=5000)
    assert house.tiers.put(stored(body=bytes(10_000)))
    assert house.memory.objects == 0
    assert len(house.disk.held) == 1


def test_who_told_it_is_not_told_again() -> None:
    house = House()
    house.tiers.put(stored())
    purge = Purge("url", KEY.url)
    counts: list[object] = []
    house.tiers.purge(purge, NOW, but="redis").addCallback(counts.append)
    house.tiers.remove(KEY, but="redis")
    assert counts == [{"memory": 1, "disk": 7}]
    assert house.disk.gone == [purge, KEY]
    assert not house.redis.gone


def test_who_may_hold_what_should_be_gone_is_told_but_not_asked() -> None:
    house = House()
    house.tiers.use(house.tiers.behind, None, ["disk"])
    assert house.tiers.bring(KEY, NOW)
    assert (len(house.disk.asked), len(house.redis.asked)) == (0, 1)
    house.tiers.put(stored())
    house.tiers.remove(KEY)
    assert (len(house.disk.held), house.disk.gone) == (1, [KEY])


def test_after_a_reload_there_may_be_others() -> None:
    house = House()
    coming = house.tiers.bring(KEY, NOW)
    assert coming
    house.tiers.use({"redis": house.redis})
    house.disk.answers(stored(body=b"x"))
    assert coming.called
    assert house.memory.get(KEY) == ()
    assert house.tiers.brought == {"redis": 0}
